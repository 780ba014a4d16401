//! How an overlay starts over a lower of very many files: without looking at them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::Tree;
use vnode_adapt::{Faults, Op};
use vnode_core::FilesystemRef;
use vnode_host::Host;

const FILES: u32 = 100_000;

/// A directory in memory, removed with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let within = Path::new("/dev/shm");
        let within = if within.is_dir() { within.to_owned() } else { std::env::temp_dir() };
        let path = within.join(format!("vnode-overlay-start-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_lower_of_a_hundred_thousand_files_is_not_looked_at() {
    let scratch = Scratch::new();
    for number in 0..FILES {
        fs::File::create(scratch.0.join(format!("file-{number}"))).unwrap();
    }
    let faults = Faults::new(FilesystemRef::new::<Host>(Host::new(&scratch.0).unwrap()));
    let control = faults.control();
    let lower = Tree(FilesystemRef::new::<Faults<FilesystemRef>>(faults));
    let start = |_| {
        let began = Instant::now();
        let overlay = Tree::over(&[&lower], &Tree::memory());
        let attr = overlay.attr("file-99999").unwrap();
        assert_eq!(attr.size, 0);
        began.elapsed()
    };
    // What else the machine does makes it slower, never faster.
    let fastest = (0..5).map(start).min().unwrap();
    println!("ready in {fastest:?}");
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    assert_eq!(control.calls_of(Op::OpenDir), 0);
    assert!(control.calls() < 5 * 20, "{} calls of the lower", control.calls());
    // They are there all the same.
    let overlay = Tree::over(&[&lower], &Tree::memory());
    assert_eq!(overlay.list("").unwrap().len(), FILES as usize);
}
