//! What no guest may reach, watched.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use crate::scene::{Picture, Scene};

/// A name that is nowhere inside.
pub(crate) const NAME: &str = "canary";

/// The directory outside, as it is to stay.
pub(crate) struct Canaries {
    dir: PathBuf,
    before: Picture,
    watch: OwnedFd,
    /// Numbers of the inodes that no guest may come to.
    pub(crate) inodes: BTreeSet<u64>,
}

impl Canaries {
    /// Puts them outside, and has each watched for whatever is done with it: that it is opened, read, listed, changed.
    pub(crate) fn new(scene: &Scene) -> Canaries {
        let dir = scene.outside.clone();
        std::fs::write(dir.join(NAME), b"canary").unwrap();
        mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        let paths = ["", "secret", "sub", "sub/secret", NAME, "fifo"].map(|name| dir.join(name));
        let above = [dir.parent().unwrap(), dir.parent().unwrap().parent().unwrap()];
        let numbers = paths.iter().map(PathBuf::as_path).chain(above);
        let inodes = numbers.map(|path| std::fs::symlink_metadata(path).unwrap().ino()).collect();
        let before = Picture::of(&dir);
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for path in &paths {
            add_watch(&watch, path, WatchFlags::ALL_EVENTS).unwrap();
        }
        Canaries { dir, before, watch, inodes }
    }

    fn events(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.watch, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => events.push(format!("{event:?}")),
                Err(Errno::AGAIN) => return events,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Nothing was done with them, and that would have been noticed.
    pub(crate) fn check(&self) {
        assert_eq!(self.events(), Vec::<String>::new(), "outside was touched");
        assert_eq!(Picture::of(&self.dir), self.before);
        // What the comparison read.
        assert!(self.events().len() >= 8, "the watch sees nothing");
        assert_eq!(std::fs::read_dir(&self.dir).unwrap().count(), 4);
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}
