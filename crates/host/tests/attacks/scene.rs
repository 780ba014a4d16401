//! A directory to serve, beside one that no guest may reach.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// What is in the files outside.
pub(crate) const SECRET: &[u8] = b"outside";

/// A directory of its own in memory, removed with the value.
pub(crate) struct Scene {
    top: Option<tempfile::TempDir>,
    /// The directory that is served.
    pub(crate) served: PathBuf,
    /// The directory that must stay as it is: `secret`, `sub/secret`.
    pub(crate) outside: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let within = Path::new("/dev/shm");
        Scene::within(if within.is_dir() { within } else { Path::new("/tmp") })
    }

    /// The same in a directory.
    pub(crate) fn within(dir: &Path) -> Scene {
        let top = tempfile::Builder::new().prefix("vnode-attacks-").tempdir_in(dir).unwrap();
        let (served, outside) = (top.path().join("served"), top.path().join("outside"));
        fs::create_dir(&served).unwrap();
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("secret"), SECRET).unwrap();
        fs::write(outside.join("sub/secret"), SECRET).unwrap();
        Scene { top: Some(top), served, outside }
    }

    /// A path in the directory that is served.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.served.join(path)
    }

    pub(crate) fn mkdir(&self, path: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.at(path), content).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let Some(top) = self.top.take().map(tempfile::TempDir::keep) else { return };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(&top)) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
        // Deeper than what recursion could remove.
        let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(top).status();
    }
}

/// All that can be told of a tree, but for access times.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture(BTreeMap<PathBuf, Told>);

/// Mode, inode, links, size; times of the last change of content and of attributes.
type Told = ([u64; 4], [i64; 4], Vec<u8>);

impl Picture {
    pub(crate) fn of(top: &Path) -> Picture {
        let mut all = BTreeMap::new();
        let mut pending = vec![top.to_owned()];
        while let Some(path) = pending.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let numbers = [meta.mode().into(), meta.ino(), meta.nlink(), meta.len()];
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
            all.insert(path, (numbers, times, content));
        }
        Picture(all)
    }
}

/// What an operation comes to, which must not take that long.
pub(crate) fn within<T: Send + 'static>(time: Duration, what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || done.send(what()));
    wait.recv_timeout(time).expect("it hangs, or it panicked")
}

/// The time that this thread was busy, whatever else the machine did.
pub(crate) fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
