//! A tar archive, as POSIX.1-1988 has it (ustar), with short names only.

/// Everything in an archive comes in blocks of this size.
const BLOCK: usize = 512;

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a directory, of root.
    pub(super) fn directory(&mut self, name: &str, mode: u32) {
        self.header(&format!("{name}/"), mode, 0, b'5');
    }

    /// Adds a file, of root.
    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.header(name, mode, content.len(), b'0');
        self.0.extend_from_slice(content);
        self.fill();
    }

    /// The archive, with its end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8) {
        let mut header = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, width: usize| {
            let end = header.len() + width;
            header.extend_from_slice(text.as_bytes());
            header.resize(end, 0);
        };
        field(name, 100);
        field(&format!("{mode:07o}"), 8);
        // The user, the group, and below the time: root, and the beginning of time.
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{size:011o}"), 12);
        field("00000000000", 12);
        // The sum of the header with blanks in the place of the sum.
        field("        ", 8);
        field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
        field("", 100);
        field("ustar\0", 6);
        field("00", 2);
        field("", BLOCK - 265);

        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        let sum = format!("{sum:06o}\0 ");
        if let Some(place) = header.get_mut(148..156) {
            place.copy_from_slice(sum.as_bytes());
        }
        self.0.extend_from_slice(&header);
    }

    /// Fills the last block.
    fn fill(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut archive = Archive::new();
        archive.directory("tmp", 0o1777);
        archive.file("program", 0o755, &[7; 513]);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % BLOCK, 0);

        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.tar");
        std::fs::write(&file, bytes).unwrap();
        let listed = std::process::Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--utc", "--file"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let text = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0][..3], ["drwxrwxrwt", "0/0", "0"]);
        assert_eq!(lines[0][5], "tmp/");
        assert_eq!(lines[1][..3], ["-rwxr-xr-x", "0/0", "513"]);
        assert_eq!(lines[1][5], "program");
    }
}
