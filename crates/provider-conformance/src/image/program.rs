//! What the kit must know of the program that it puts into an image.

/// Why a program cannot be the only file of an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramError {
    /// It is no program for Linux.
    #[error("it is no program for Linux (ELF, 64 bits, little-endian)")]
    NoProgram,
    /// It needs libraries that the image does not have.
    #[error(
        "it needs shared libraries; build a static one with \
         RUSTFLAGS=\"-C target-feature=+crt-static\" and --target, or for a musl target"
    )]
    NotStatic,
    /// It is for a machine that the kit has no name for.
    #[error("it is for a machine of the ELF number {0}; known are amd64, arm64 and riscv64")]
    UnknownMachine(u16),
}

/// The segment that names a program's loader.
const PT_INTERP: u32 = 3;

/// The architecture of that program, in the words of Go and of OCI.
pub(super) fn architecture(program: &[u8]) -> Result<&'static str, ProgramError> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(ProgramError::NoProgram);
    }
    if has_loader(program).ok_or(ProgramError::NoProgram)? {
        return Err(ProgramError::NotStatic);
    }
    match short(program, 18).ok_or(ProgramError::NoProgram)? {
        62 => Ok("amd64"),
        183 => Ok("arm64"),
        243 => Ok("riscv64"),
        other => Err(ProgramError::UnknownMachine(other)),
    }
}

/// Whether one of its segments names a loader.
fn has_loader(program: &[u8]) -> Option<bool> {
    let table = usize::try_from(u64::from_le_bytes(take(program, 32)?)).ok()?;
    let size = usize::from(short(program, 54)?);
    for at in 0..usize::from(short(program, 56)?) {
        let place = at.checked_mul(size)?.checked_add(table)?;
        if u32::from_le_bytes(take(program, place)?) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(take(bytes, at)?))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_libraries_is_refused() {
        // This test itself is one.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(architecture(&own), Err(ProgramError::NotStatic));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x02\x01"] {
            assert_eq!(architecture(bytes), Err(ProgramError::NoProgram));
        }
        let mut strange = [0; 64];
        strange[..6].copy_from_slice(b"\x7fELF\x02\x01");
        strange[18] = 8;
        assert_eq!(architecture(&strange), Err(ProgramError::UnknownMachine(8)));
        strange[18] = 183;
        assert_eq!(architecture(&strange), Ok("arm64"));
    }
}
