//! What a function's program consists of on this machine, and whether it has changed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::options::StackOptions;
use crate::stack::StackFunction;
use crate::watches::{Watches, counts};

/// More files and directories than this of one program are not followed.
const MOST_ENTRIES: usize = 20_000;
/// Nor are directories below so many others.
const DEEPEST: usize = 32;

/// What a program consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Its files: what its command names.
    files: Vec<PathBuf>,
    /// The directory that it runs in.
    tree: Option<PathBuf>,
}

/// What the files of a program looked like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    seen: BTreeMap<PathBuf, Stamp>,
    /// There is more than is followed.
    pub(crate) cut: bool,
}

/// What differs in a file that was written or replaced.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Inputs {
    /// Finds what the image and the command of a function name, as the runtime does.
    pub(crate) fn of(function: &StackFunction, options: &StackOptions) -> Self {
        let Some(programs) = &options.programs else {
            return Self::default();
        };
        let mut inputs = Self {
            files: Vec::new(),
            tree: function.directory.clone(),
        };
        let below = [
            programs.functions_dir.as_ref(),
            options.working_dir.as_ref(),
        ];
        let below = below.into_iter().flatten().next();
        let image = function.spec.image.as_str();
        let untagged = image.strip_suffix(":latest").unwrap_or(image);
        for image in [image, untagged] {
            // Joining an absolute path gives that path.
            let path = below.map_or_else(|| PathBuf::from(image), |dir| dir.join(image));
            if path.is_dir() {
                inputs.tree = Some(path);
                break;
            }
            if path.is_absolute() && path.exists() {
                inputs.files.push(path);
                break;
            }
        }
        let beside = inputs.tree.clone();
        let beside = beside.or_else(|| Some(inputs.files.first()?.parent()?.to_owned()));
        let process = function.spec.env_process.as_deref().unwrap_or_default();
        for (index, word) in process.split_whitespace().enumerate() {
            let mut path = match &beside {
                Some(dir) => dir.join(word),
                None => PathBuf::from(word),
            };
            if index == 0 && !word.contains('/') && !path.exists() {
                let mut dirs = programs.search_path.split(':').map(Path::new);
                let found = dirs.find(|dir| dir.is_absolute() && dir.join(word).is_file());
                path = found.unwrap_or(Path::new("")).join(word);
            }
            // One that is not there yet may come.
            let is_program = index == 0 && word.contains('/');
            if path.is_absolute() && (path.is_file() || is_program) {
                inputs.files.push(path);
            }
        }
        inputs
    }

    /// Follows everything that belongs to the program, and looks at it. Each directory is followed
    /// before it is read, so that nothing is missed in between.
    pub(crate) fn look(&self, watches: &mut Watches, besides: &[PathBuf]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for file in &self.files {
            watches.file(file);
            snapshot.add(file);
        }
        if let Some(tree) = &self.tree {
            // So that one that is replaced as a whole is noticed.
            watches.file(tree);
            snapshot.walk(tree, 0, watches, besides);
        }
        snapshot
    }
}

impl Snapshot {
    fn add(&mut self, path: &Path) {
        // A link counts as what it leads to, one that leads nowhere as itself.
        if let Ok(found) = fs::metadata(path).or_else(|_| fs::symlink_metadata(path)) {
            self.seen.insert(path.to_owned(), Stamp::of(&found));
        }
    }

    fn walk(&mut self, dir: &Path, depth: usize, watches: &mut Watches, besides: &[PathBuf]) {
        if depth > DEEPEST {
            self.cut = true;
            return;
        }
        watches.everything_in(dir);
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if !counts(&entry.file_name(), kind.is_dir()) || besides.contains(&path) {
                continue;
            }
            if self.seen.len() >= MOST_ENTRIES {
                self.cut = true;
                return;
            }
            if kind.is_dir() {
                self.walk(&path, depth + 1, watches, besides);
            } else if kind.is_file() || kind.is_symlink() {
                if kind.is_symlink() {
                    watches.file(&path);
                }
                self.add(&path);
            }
        }
    }

    /// A file in which two of them differ.
    pub(crate) fn difference<'a>(&'a self, other: &'a Self) -> Option<&'a Path> {
        let differs = |a: &'a Self, b: &'a Self| {
            let mut changed = a
                .seen
                .iter()
                .filter(|(path, stamp)| b.seen.get(*path) != Some(*stamp));
            changed.next().map(|(path, _)| path.as_path())
        };
        differs(self, other).or_else(|| differs(other, self))
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
        }
    }
}
