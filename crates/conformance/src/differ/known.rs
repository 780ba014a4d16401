//! What a sequence is about, and what is there to aim at.

use vnode_core::Errno;

use crate::call::{self, Env};
use crate::subject::{At, OpenFlags, Subject, User};

/// What a sequence is about, besides names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// One filesystem, one user: root.
    Plain,
    /// Other users, modes and owners.
    Users,
    /// A filesystem mounted on `m`, a read-only view of `s` on `r`.
    Mounts,
}

impl Theme {
    /// The lines that every sequence of the theme starts with: a little of everything, so that calls find
    /// something from the first on.
    pub fn prelude(self) -> &'static [&'static str] {
        match self {
            Theme::Plain => &[
                "mkdir a",
                "file b 0123456789",
                "mkdir a/b",
                "symlink ../b a/c",
                "symlink c c",
                "setxattr b user.a value",
                "open b rw as h",
                "open a r,dir as i",
            ],
            Theme::Users => &[
                "chmod / 777",
                "mkdir a 700",
                "file a/a secret",
                "mkdir a/b",
                "file b 0123456789",
                "chmod b 666",
                "setxattr b user.a value",
                "mkdir c",
                "chmod c 1777",
                "file c/a x",
                "mkdir c/b",
                "open b rw as h",
                "open a r,dir as i",
            ],
            Theme::Mounts => &[
                "mkdir m",
                "mount tmpfs m",
                "file m/a 0123456789",
                "mkdir m/b",
                "mkdir s",
                "file s/a data",
                "mkdir s/b",
                "symlink a s/c",
                "setxattr s/a user.a value",
                "mkdir r",
                "mount bind s r ro",
                "file f",
                "mount bind s/a f",
                "open m/a rw as h",
                "open r r,dir as i",
            ],
        }
    }

    /// Where the prelude set an extended attribute.
    pub(super) fn tagged(self) -> &'static [u8] {
        match self {
            Theme::Plain | Theme::Users => b"/b",
            Theme::Mounts => b"/s/a",
        }
    }

    /// Whether a path can't be moved or removed, whatever it names.
    pub(super) fn is_fixed(self, path: &[u8]) -> bool {
        let points: &[&[u8]] = match self {
            Theme::Plain | Theme::Users => &[b"/"],
            Theme::Mounts => &[b"/", b"/m", b"/r", b"/f"],
        };
        points.contains(&path)
    }

    pub(super) fn names(self) -> &'static [&'static [u8]] {
        match self {
            Theme::Plain | Theme::Users => &[b"a", b"b", b"c"],
            Theme::Mounts => &[b"a", b"b", b"m", b"s", b"r", b"f"],
        }
    }
}

/// What is there, as paths from the root.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(super) dirs: Vec<Vec<u8>>,
    pub(super) empty: Vec<Vec<u8>>,
    pub(super) files: Vec<Vec<u8>>,
    pub(super) links: Vec<Vec<u8>>,
    pub(super) others: Vec<Vec<u8>>,
}

impl Known {
    /// Looks at a subject's tree, as root.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn of(subject: &mut dyn Subject, env: &Env) -> vnode_core::Result<Known> {
        let mut known = Known::default();
        let switch = env.user != User::root();
        if switch {
            subject.become_user(&User::root())?;
        }
        known.enter(subject, Vec::new())?;
        if switch {
            subject.become_user(&env.user)?;
        }
        Ok(known)
    }

    fn enter(&mut self, subject: &mut dyn Subject, path: Vec<u8>) -> vnode_core::Result<()> {
        let spelled = if path.is_empty() { b"/".to_vec() } else { path.clone() };
        let dir = subject.openat(At::cwd(&spelled), OpenFlags::READ | OpenFlags::DIRECTORY, 0)?;
        let entries = call::list(subject, dir);
        subject.close(dir)?;
        let entries = match entries {
            // Removed, and still the root of a mount.
            Err(Errno::NOENT) => return Ok(()),
            entries => entries?,
        };
        if entries.len() == 2 {
            self.empty.push(spelled.clone());
        }
        self.dirs.push(spelled);
        for entry in entries {
            if entry.name == b"." || entry.name == b".." {
                continue;
            }
            let below = [path.as_slice(), b"/", &entry.name].concat();
            match entry.kind {
                4 => self.enter(subject, below)?,
                8 => self.files.push(below),
                10 => self.links.push(below),
                _ => self.others.push(below),
            }
        }
        Ok(())
    }

    /// The paths of the directories.
    pub fn directories(&self) -> impl Iterator<Item = &[u8]> {
        self.dirs.iter().map(Vec::as_slice)
    }

    /// The paths of the regular files.
    pub fn regular_files(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(Vec::as_slice)
    }

    /// The paths of `all` that can be moved and removed.
    pub(super) fn loose(all: &[Vec<u8>], theme: Theme) -> Vec<Vec<u8>> {
        all.iter().filter(|path| !theme.is_fixed(path)).cloned().collect()
    }

    pub(super) fn inodes(&self) -> Vec<Vec<u8>> {
        [self.dirs.as_slice(), &self.files, &self.links, &self.others].concat()
    }

    pub(super) fn removable(&self) -> Vec<Vec<u8>> {
        [self.files.as_slice(), &self.links, &self.others].concat()
    }
}
