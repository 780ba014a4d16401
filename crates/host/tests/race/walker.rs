//! A guest that walks what is swapped under it.

use std::sync::atomic::{AtomicU64, Ordering};

use vnode_core::fs::{Access, Rename};
use vnode_core::{Errno, Follow, OpenFlags, Place, Result};

use crate::canaries::{Canaries, NAME};
use crate::guest::Guest;

/// What is in files of the directory that is swapped, and where the guest's own tree has what the link names.
pub(crate) const INSIDE: &[u8] = b"inside";
pub(crate) const THROUGH_LINK: &[u8] = b"through the link";

/// How often each came out.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// The directory was seen, or the link followed in the guest's own tree.
    pub(crate) directory: AtomicU64,
    pub(crate) link: AtomicU64,
    /// A way up was there, or the directory was out of the root.
    pub(crate) up: AtomicU64,
    pub(crate) no_way_up: AtomicU64,
    /// Something was made, or removed, or moved; or nothing was.
    pub(crate) changed: AtomicU64,
    pub(crate) unchanged: AtomicU64,
    pub(crate) listed: AtomicU64,
    /// No descriptor was left, of the few that a guest has.
    pub(crate) full: AtomicU64,
}

impl Outcomes {
    /// How often the rarest of those was seen that show that the swap hit.
    pub(crate) fn least(&self) -> u64 {
        let Outcomes { directory, link, up, no_way_up, changed, listed, .. } = self;
        let all = [directory, link, up, no_way_up, changed, listed];
        all.map(|outcome| outcome.load(Ordering::Relaxed)).into_iter().min().unwrap_or(0)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A walker: a guest, and a number that its names are of.
pub(crate) struct Walker<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) number: usize,
    /// Whether it has few descriptors, so that what it holds is found again.
    pub(crate) few: bool,
    pub(crate) outcomes: &'a Outcomes,
    pub(crate) canaries: &'a Canaries,
    pub(crate) seed: u64,
}

impl Walker<'_> {
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 8) % below
    }

    /// What a race may come to; anything else is a bug.
    fn expect<T>(&self, what: &str, came: Result<T>) -> Option<T> {
        match came {
            Ok(value) => Some(value),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::EXIST | Errno::NOTEMPTY) => None,
            // The swap came between two looks at one name; the file is looked for anew forty times.
            Err(Errno::LOOP) if what == "create" => None,
            // What was made before stands where the other directory was.
            Err(Errno::ISDIR) if matches!(what, "create" | "rename") => None,
            Err(Errno::STALE) => None,
            Err(Errno::MFILE) if self.few => {
                count(&self.outcomes.full);
                None
            }
            Err(errno) => panic!("{what}: {errno}"),
        }
    }

    fn sees(&self, what: &str, ino: u64) {
        assert!(!self.canaries.inodes.contains(&ino), "{what} came to an inode outside");
    }

    pub(crate) fn step(&mut self) {
        match self.random(12) {
            0..=3 => self.look(),
            4..=5 => self.list(),
            6..=7 => self.change(),
            8..=10 => self.climb(),
            _ => self.swap(),
        }
    }

    fn look(&mut self) {
        const PATHS: [&str; 8] = [
            "swap/dir/secret",
            "swap/dir/sub/secret",
            "swap/dir/sub/../secret",
            "swap/dir/../dir/secret",
            "swap/dir//./secret",
            "swap/to/secret",
            "swap/to/../sub/secret",
            "swap/dir/sub/up/secret",
        ];
        let path = PATHS[self.random(PATHS.len() as u64) as usize];
        if let Some(attr) = self.expect("stat", self.guest.stat(path)) {
            self.sees(path, attr.ino);
        }
        if let Some(attr) = self.expect("stat", self.guest.stat("swap/dir/")) {
            self.sees("swap/dir/", attr.ino);
        }
        if let Some(content) = self.expect("read", self.guest.read(path)) {
            match &content[..] {
                INSIDE => count(&self.outcomes.directory),
                THROUGH_LINK => count(&self.outcomes.link),
                other => panic!("{path}: read {other:?}"),
            }
        }
        let fifo = self.guest.open("swap/dir/fifo", Access::READ, OpenFlags::empty());
        assert!(self.expect("open", fifo).is_none(), "the FIFO outside was found");
    }

    fn list(&mut self) {
        let path = ["swap/dir", "swap/dir/sub/..", "swap/to", "swap"][self.random(4) as usize];
        if let Some(names) = self.expect("list", self.guest.list(path)) {
            assert!(!names.contains_key(NAME.as_bytes()), "{path}: outside was listed");
            count(&self.outcomes.listed);
        }
    }

    /// Makes, moves and removes; whatever was there, all of it is gone in the end but for what another swap hides.
    fn change(&mut self) {
        let mine = format!("swap/dir/mine-{}", self.number);
        let other = format!("swap/dir/sub/other-{}", self.number);
        let guest = self.guest;
        let made = match self.random(5) {
            0 => self.expect("create", guest.put(&mine, b"made")),
            1 => self.expect("mkdir", guest.mkdir(&mine)),
            2 => self.expect("symlink", guest.symlink("../dir/spare", &mine)),
            3 => self.expect("link", guest.link("swap/dir/spare", Follow::No, &mine)),
            // Through a link whose end is swapped.
            _ => self.expect("create", guest.put(format!("swap/through-{}", self.number), b"made")),
        };
        let moved = self.expect("rename", guest.rename(&mine, &other, Rename::NoReplace));
        self.expect("rename", guest.rename(&other, &mine, Rename::Replace));
        for path in [mine, other] {
            match guest.unlink(&path) {
                Err(Errno::ISDIR) => self.expect("rmdir", guest.rmdir(&path)),
                removed => self.expect("unlink", removed),
            };
        }
        let done = made.is_some() || moved.is_some();
        count(if done { &self.outcomes.changed } else { &self.outcomes.unchanged });
    }

    /// Holds a directory that is moved out of the root and back, and looks for what is above it.
    fn climb(&mut self) {
        let path = ["moving/a/b/c", "moving/x/b/c", "moving/a", "moving/a/b"][self.random(4) as usize];
        let Some(held) = self.expect("resolve", self.guest.resolve(path)) else { return };
        for _ in 0..4 {
            let up = "../".repeat(1 + self.random(4) as usize);
            match self.guest.stat_from(&held, &up) {
                Ok(attr) => {
                    self.sees(&up, attr.ino);
                    count(&self.outcomes.up);
                }
                Err(Errno::NOENT) => count(&self.outcomes.no_way_up),
                other => drop(self.expect("climb", other)),
            }
            self.search(&held, &format!("{up}{NAME}"));
            self.search(&held, &format!("{up}outside/{NAME}"));
            self.search(&held, &format!("{up}../outside/{NAME}"));
        }
        // The names of what is above, as long as that is inside.
        match self.guest.call(|caller| caller.getcwd(&held)) {
            Ok(path) => {
                let path = String::from_utf8(path).unwrap();
                assert!(path.starts_with("/moving/"), "the way to {path}");
                count(&self.outcomes.up);
            }
            Err(Errno::NOENT) => count(&self.outcomes.no_way_up),
            other => drop(self.expect("getcwd", other)),
        }
        if let Some(names) = self.expect("list", self.guest.list_place(&held)) {
            assert!(!names.contains_key(NAME.as_bytes()));
            count(&self.outcomes.listed);
        }
    }

    fn search(&self, from: &Place, path: &str) {
        assert!(self.expect(path, self.guest.stat_from(from, path)).is_none(), "{path} was found");
    }

    /// Guests swap, too.
    fn swap(&mut self) {
        let swapped = match self.random(3) {
            0 => self.guest.rename("swap/dir", "swap/link", Rename::Exchange),
            1 => self.guest.rename("moving/a/b", "moving/x/b", Rename::NoReplace),
            _ => self.guest.rename("moving/x/b", "moving/a/b", Rename::NoReplace),
        };
        self.expect("swap", swapped);
    }
}
