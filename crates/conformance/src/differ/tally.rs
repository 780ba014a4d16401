//! What a run of sequences has tried: successes and errors of each operation, and what it must have seen.

use std::collections::BTreeMap;
use std::fmt;

use crate::value::Outcome;

/// The least share of calls of each operation that must succeed: failing all the time tests little.
const LEAST_SUCCESS: u64 = 30;

/// The errors that the man page of each operation lists, Linux's memory filesystem can give, and the sequences
/// can reach. Not here: `EFAULT`, `EINTR`, `EIO`, `EMFILE`, `ENFILE`, `ENOMEM`, `EMLINK`, `EDQUOT`, `ETXTBSY`,
/// `EOVERFLOW`, `ENODEV`, `EWOULDBLOCK`; `ENOSPC`, whose unit of room is each filesystem's own (cases cover it).
const EXPECTED: &[(&str, &str)] = &[
    ("access", "EACCES ELOOP ENAMETOOLONG ENOENT ENOTDIR EROFS EBADF"),
    ("cat", "EACCES EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR ENXIO EBADF"),
    ("chdir", "EACCES ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("chmod", "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS"),
    ("chown", "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS"),
    ("close", "EBADF"),
    ("fallocate", "EBADF EINVAL"),
    ("fchdir", "EBADF ENOTDIR EACCES"),
    ("file", "EACCES EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR EROFS ENXIO EBADF"),
    ("fstat", "EBADF"),
    ("fsync", "EBADF"),
    ("ftruncate", "EBADF EINVAL"),
    ("getcwd", "ENOENT"),
    ("getxattr", "EACCES EBADF ELOOP ENAMETOOLONG ENODATA ENOENT ENOTDIR EOPNOTSUPP ERANGE"),
    ("link", "EACCES EBADF EEXIST ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS EXDEV"),
    ("listxattr", "EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR EACCES"),
    ("ls", "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("lseek", "EBADF EINVAL ENXIO"),
    ("lstat", "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("mkdir", "EACCES EBADF EEXIST ELOOP ENAMETOOLONG ENOENT ENOTDIR EROFS"),
    ("mknod", "EACCES EBADF EEXIST ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS"),
    ("open", "EACCES EBADF EEXIST EINVAL EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR ENXIO EROFS"),
    ("pread", "EBADF EINVAL EISDIR"),
    ("pwrite", "EBADF EINVAL"),
    ("read", "EBADF EISDIR"),
    ("readlink", "EACCES EBADF EINVAL ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("removexattr", "EACCES EBADF ELOOP ENAMETOOLONG ENODATA ENOENT ENOTDIR EOPNOTSUPP EPERM EROFS"),
    (
        "rename",
        "EACCES EBADF EBUSY EEXIST EINVAL EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR ENOTEMPTY EPERM EROFS EXDEV",
    ),
    ("rmdir", "EACCES EBADF EBUSY EINVAL ELOOP ENAMETOOLONG ENOENT ENOTDIR ENOTEMPTY EPERM EROFS"),
    ("setxattr", "EACCES EBADF EEXIST ELOOP ENAMETOOLONG ENODATA ENOENT ENOTDIR EOPNOTSUPP EPERM EROFS"),
    ("stat", "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("statfs", "EACCES ELOOP ENAMETOOLONG ENOENT ENOTDIR"),
    ("symlink", "EACCES EBADF EEXIST ELOOP ENAMETOOLONG ENOENT ENOTDIR EROFS"),
    ("truncate", "EACCES EINVAL EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR EROFS"),
    ("unlink", "EACCES EBADF EBUSY EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS"),
    ("utimens", "EACCES EBADF EINVAL ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS"),
    ("write", "EBADF"),
];

/// Each operation with the errors that a test of it must see.
pub fn expected() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXPECTED.iter().flat_map(|(verb, errors)| errors.split_whitespace().map(|errno| (*verb, errno)))
}

#[derive(Clone, Debug, Default)]
struct Counts {
    successes: u64,
    errors: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn all(&self) -> u64 {
        self.successes + self.errors.values().sum::<u64>()
    }
}

/// Successes and errors of each operation.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<String, Counts>);

impl Tally {
    /// Counts what a call came to.
    pub fn count(&mut self, verb: &str, outcome: &Outcome) {
        let counts = self.0.entry(verb.to_owned()).or_default();
        match outcome {
            Ok(_) => counts.successes += 1,
            Err(errno) => *counts.errors.entry(errno.name()).or_default() += 1,
        }
    }

    /// Adds what another run has seen.
    pub fn merge(&mut self, other: &Tally) {
        for (verb, counts) in &other.0 {
            let own = self.0.entry(verb.clone()).or_default();
            own.successes += counts.successes;
            for (errno, count) in &counts.errors {
                *own.errors.entry(errno).or_default() += count;
            }
        }
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.0.values().map(Counts::all).sum()
    }

    /// What the run should have tried and didn't: operations that mostly failed, errors never seen.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (verb, errors) in EXPECTED {
            let Some(counts) = self.0.get(*verb) else {
                gaps.push(format!("{verb}: never called"));
                continue;
            };
            if counts.successes * 100 < counts.all() * LEAST_SUCCESS {
                gaps.push(format!("{verb}: {} of {} calls succeeded", counts.successes, counts.all()));
            }
            for errno in errors.split_whitespace() {
                if !counts.errors.contains_key(errno) {
                    gaps.push(format!("{verb}: {errno} was never seen"));
                }
            }
        }
        gaps
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (verb, counts) in &self.0 {
            let share = counts.successes * 100 / counts.all().max(1);
            write!(f, "{verb:12} {:>8} ok ({share:>3} %)", counts.successes)?;
            for (errno, count) in &counts.errors {
                write!(f, "  {errno} {count}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::Errno;

    #[test]
    fn every_expected_error_has_a_name() {
        for (verb, errors) in EXPECTED {
            for name in errors.split_whitespace() {
                assert!(Errno::ALL.iter().any(|errno| errno.name() == name), "{verb}: {name}");
            }
        }
    }

    #[test]
    fn gaps_are_found() {
        let mut tally = Tally::default();
        tally.count("close", &Err(Errno::BADF));
        let gaps = tally.gaps();
        assert!(gaps.contains(&"close: 0 of 1 calls succeeded".into()));
        assert!(gaps.contains(&"open: never called".into()));
        assert!(!gaps.iter().any(|gap| gap.contains("close: EBADF")));
    }
}
