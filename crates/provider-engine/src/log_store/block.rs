//! A block: lines that were read together, as they lie in a segment.
//!
//! | bytes | |
//! |---|---|
//! | 4 | a mark, by which blocks are found again behind damage |
//! | 4 | how many bytes the lines have |
//! | 8 | the number of the first line; every line of a function has one, dropped ones too |
//! | 8 | the time of the first line, in ns since 1970; each further line is 1 ns later |
//! | 4 | how many lines there are |
//! | 2 | how many bytes the instance's name has |
//! | 1 | bit 0: standard error; bit 1: before it, lines are missing that nobody could count |
//! | 1 | 0 |
//! | 8 | checksum of the lines (XXH3) |
//! | n | the instance's name |
//! | 8 | checksum of all of the above |
//! | n | the lines, each with its newline |
//!
//! Numbers are little-endian. A gap between the numbers of two blocks is lines that are missing. A
//! block without lines says how far the numbers went.

use memchr::memmem;
use provider_types::LogOutput;
use xxhash_rust::xxh3::xxh3_64;

const MARK: [u8; 4] = [0xF5, b'l', b'g', 0xB1];
const STDERR: u8 = 1;
const LOSS: u8 = 2;
/// The part of the head before the instance's name.
const FIXED: usize = 40;
const SUM: usize = 8;

/// What stands before the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The number of the first line.
    pub(super) first: u64,
    /// The time of the first line.
    pub(super) time: u64,
    /// How many lines there are.
    pub(super) count: u32,
    pub(super) output: LogOutput,
    /// Lines are missing before these, and nobody could count them.
    pub(super) loss: bool,
    pub(super) instance: &'a str,
}

/// A block that was read and is undamaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) head: Head<'a>,
    pub(super) lines: &'a [u8],
    /// How many bytes it takes in all.
    pub(super) size: usize,
}

/// What the bytes at some place are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Block(Block<'a>),
    /// The start of a block of so many bytes in all; its head is undamaged where it is given.
    Part(usize, Option<Head<'a>>),
    Damage,
}

impl Head<'_> {
    /// The number after the last line's.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// The time of the last line.
    pub(super) fn last_time(&self) -> u64 {
        self.time
            .saturating_add(u64::from(self.count.saturating_sub(1)))
    }

    /// How many bytes a block of these lines has.
    pub(super) fn size(&self, lines: &[u8]) -> u64 {
        (FIXED + self.instance.len() + SUM + lines.len()) as u64
    }

    /// Appends the head of a block of these lines.
    pub(super) fn write(&self, lines: &[u8], to: &mut Vec<u8>) {
        let start = to.len();
        // What is too long was refused before.
        let length = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let name = u16::try_from(self.instance.len()).unwrap_or(u16::MAX);
        let mut flags = 0;
        if self.output == LogOutput::Stderr {
            flags |= STDERR;
        }
        if self.loss {
            flags |= LOSS;
        }
        to.extend_from_slice(&MARK);
        to.extend_from_slice(&length.to_le_bytes());
        to.extend_from_slice(&self.first.to_le_bytes());
        to.extend_from_slice(&self.time.to_le_bytes());
        to.extend_from_slice(&self.count.to_le_bytes());
        to.extend_from_slice(&name.to_le_bytes());
        to.extend_from_slice(&[flags, 0]);
        to.extend_from_slice(&xxh3_64(lines).to_le_bytes());
        to.extend_from_slice(self.instance.as_bytes());
        let sum = xxh3_64(to.get(start..).unwrap_or_default());
        to.extend_from_slice(&sum.to_le_bytes());
    }
}

/// Looks at the bytes at the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Found<'_> {
    let marked = MARK.iter().zip(bytes).all(|(mark, byte)| mark == byte);
    if !marked {
        return Found::Damage;
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Found::Part(FIXED + SUM, None);
    };
    let mut fields = Fields(fixed.get(MARK.len()..).unwrap_or_default());
    let length = usize::try_from(u32::from_le_bytes(fields.take())).unwrap_or(usize::MAX);
    let first = u64::from_le_bytes(fields.take());
    let time = u64::from_le_bytes(fields.take());
    let count = u32::from_le_bytes(fields.take());
    let name = usize::from(u16::from_le_bytes(fields.take()));
    let [flags, _] = fields.take();
    let lines_sum = u64::from_le_bytes(fields.take());
    let head_size = FIXED + name + SUM;
    let Some((instance, rest)) = rest.split_at_checked(name) else {
        return Found::Part(head_size, None);
    };
    let Some((sum, rest)) = rest.split_at_checked(SUM) else {
        return Found::Part(head_size, None);
    };
    let summed = bytes.get(..FIXED + name).unwrap_or_default();
    let (true, Ok(instance)) = (
        xxh3_64(summed).to_le_bytes() == *sum,
        std::str::from_utf8(instance),
    ) else {
        return Found::Damage;
    };
    let output = if flags & STDERR == 0 {
        LogOutput::Stdout
    } else {
        LogOutput::Stderr
    };
    let head = Head {
        first,
        time,
        count,
        output,
        loss: flags & LOSS != 0,
        instance,
    };
    let size = head_size.saturating_add(length);
    match rest.split_at_checked(length) {
        None => Found::Part(size, Some(head)),
        Some((lines, _)) if xxh3_64(lines) == lines_sum => {
            Found::Block(Block { head, lines, size })
        }
        Some(_) => Found::Damage,
    }
}

/// The next undamaged block, and where it starts.
pub(super) fn find(bytes: &[u8]) -> Option<(usize, Block<'_>)> {
    // Nearly always it is the next one.
    if let Found::Block(block) = read(bytes) {
        return Some((0, block));
    }
    memmem::find_iter(bytes, &MARK).find_map(|at| match read(bytes.get(at..)?) {
        Found::Block(block) => Some((at, block)),
        Found::Part(..) | Found::Damage => None,
    })
}

/// All undamaged blocks and where they start.
pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = (usize, Block<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (skipped, block) = find(bytes.get(at..)?)?;
        let start = at + skipped;
        at = start + block.size;
        Some((start, block))
    })
}

/// Takes fields off bytes that are long enough.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(head: Head<'_>, lines: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        head.write(lines, &mut bytes);
        bytes.extend_from_slice(lines);
        bytes
    }

    fn head(first: u64, count: u32, instance: &str) -> Head<'_> {
        Head {
            first,
            time: 7,
            count,
            output: LogOutput::Stderr,
            loss: false,
            instance,
        }
    }

    #[test]
    fn the_form_stays_what_it_is() {
        let mut head = head(3, 2, "f-1");
        head.loss = true;
        let bytes = block(head, b"a\nb\n");
        let shown: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            shown,
            "f56c67b1040000000300000000000000070000000000000002000000030003\
             00def96152f1433429662d311da1e775364a152e610a620a"
        );
    }

    #[test]
    fn an_end_that_is_missing_is_seen_at_every_byte() {
        let lines = b"one\n\xff\0\n";
        let bytes = block(head(9, 2, "instance"), lines);
        for end in 0..bytes.len() {
            let found = read(&bytes[..end]);
            let Found::Part(size, head) = found else {
                panic!("{end}: {found:?}");
            };
            assert!(size > end && size <= bytes.len());
            let whole_head = end >= bytes.len() - lines.len();
            assert_eq!(head.map(|head| head.end()), whole_head.then_some(11));
        }
        let Found::Block(found) = read(&bytes) else {
            panic!("damaged");
        };
        assert_eq!((found.lines, found.size), (&lines[..], bytes.len()));
    }

    #[test]
    fn every_bit_counts() {
        let bytes = block(head(9, 2, "i"), b"one\ntwo\n");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&damaged), Found::Block(_)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn what_is_behind_damage_is_found(
            before in prop::collection::vec(any::<u8>(), 0..200),
            lines in prop::collection::vec(any::<u8>(), 0..200),
            instance in "[a-z0-9-]{0,40}",
            first: u64, time: u64, count: u32, loss: bool, stdout: bool,
        ) {
            let output = if stdout { LogOutput::Stdout } else { LogOutput::Stderr };
            let head = Head { first, time, count, output, loss, instance: &instance };
            let mut bytes = before.clone();
            bytes.extend(block(head, &lines));
            bytes.extend_from_slice(b"rest");
            let found: Vec<_> = all(&bytes).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].0, before.len());
            prop_assert_eq!(found[0].1.head, head);
            prop_assert_eq!(found[0].1.lines, &lines[..]);
        }
    }
}
