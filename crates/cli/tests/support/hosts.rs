//! Directories of the host in tests, and a guest that does things in them.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "a part of tests, of which each uses some")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Ran, guest, vnode};

/// A directory of the host that is gone with the test.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    /// With the file `there` in it.
    pub(crate) fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        fs::write(dir.path().join("there"), "host's").unwrap();
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its path, or that of something in it.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path().join(name)).is_ok()
    }

    /// Everything in it that a guest could change.
    pub(crate) fn picture(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut left = vec![self.path().to_owned()];
        while let Some(path) = left.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = match meta.file_type() {
                kind if kind.is_file() => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                _ => String::new(),
            };
            let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
            lines.push(format!("{} {:o} {} {times:?} {content}", path.display(), meta.mode(), meta.nlink()));
            if meta.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        lines.sort();
        lines
    }
}

/// `vnode run` with options, of the guest that does what `steps` say.
pub(crate) fn command(options: &[&str], steps: &str) -> Command {
    let mut command = vnode();
    command.arg("run").args(options).arg(guest("files")).args(steps.split_whitespace());
    command
}

/// Runs the guest; what it says, a line for each step.
#[track_caller]
pub(crate) fn files(options: &[&str], steps: &str) -> Vec<String> {
    let ran = Ran::from(command(options, steps).output().unwrap());
    lines(&ran)
}

/// What a guest said that ran to its end; vnode says nothing then but what was changed in overlays.
#[track_caller]
pub(crate) fn lines(ran: &Ran) -> Vec<String> {
    let kept = |line: &str| {
        line.contains("; kept in ") || line.ends_with("nothing of it is kept (--keep NAME keeps it)")
    };
    assert!(ran.code == Some(0) && ran.stderr.lines().all(kept), "{ran:?}");
    ran.stdout.lines().map(str::to_owned).collect()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
