//! The user that functions run as, looked up in `/etc/passwd`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
    /// Its home directory.
    pub home: PathBuf,
}

/// Why a user was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// Nobody of that name or number.
    #[error("there is no user {0:?} in /etc/passwd")]
    Unknown(String),
    /// The list of users cannot be read.
    #[error("/etc/passwd cannot be read")]
    Unreadable(#[source] io::Error),
}

impl User {
    /// Finds a user by name, or by number.
    ///
    /// # Errors
    /// When `/etc/passwd` has no such user or cannot be read. Users of other sources (LDAP) are
    /// not found.
    pub fn find(name: &str) -> Result<Self, UserError> {
        let users = fs::read_to_string(Path::new("/etc/passwd")).map_err(UserError::Unreadable)?;
        Self::find_in(&users, name).ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    fn find_in(users: &str, wanted: &str) -> Option<Self> {
        let all = || users.lines().filter_map(Self::parse);
        all().find(|user| user.name == wanted).or_else(|| {
            let number: u32 = wanted.parse().ok()?;
            all().find(|user| user.uid == number)
        })
    }

    /// `name:password:uid:gid:comment:home:shell`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        Some(Self {
            name: name.to_owned(),
            uid,
            gid,
            home: PathBuf::from(home),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/r:/bin/sh\n# a comment\nbroken:x\n\
        7:x:70:70::/seven:/bin/sh\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let nobody = User::find_in(USERS, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert_eq!(nobody.home, Path::new("/nonexistent"));
        assert_eq!(User::find_in(USERS, "65534"), Some(nobody));
        // A name that looks like a number is a name first, as for chown(1).
        assert_eq!(User::find_in(USERS, "7").unwrap().uid, 70);
    }

    #[test]
    fn an_unknown_user_is_named_in_the_error() {
        assert_eq!(User::find_in(USERS, "broken"), None);
        let error = User::find("no-such-user-here").unwrap_err().to_string();
        assert!(error.contains("no-such-user-here"), "{error}");
    }
}
