//! Mappings are few, however many files are open: it needs a process of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{Cursor, Write as _};

use vnode_archive::Archive;
use vnode_core::fs::{Access, At, Filesystem};
use vnode_core::io::Sink;
use vnode_core::{Clock, Credentials, Cx, Name, Timespec};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// More than may be mapped.
const FILES: usize = 4200;
/// Too much to be unpacked on the heap.
const SIZE: usize = (64 << 10) + 1;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

fn mappings() -> Option<usize> {
    std::fs::read_to_string("/proc/self/maps").ok().map(|maps| maps.lines().count())
}

#[test]
fn a_host_has_memory_left_whatever_is_opened() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut content = vec![0; SIZE];
    content[SIZE - 1] = 7;
    for number in 0..FILES {
        zip.start_file(number.to_string(), options).unwrap();
        zip.write_all(&content).unwrap();
    }
    let before = mappings();
    let archive = Archive::builder().bytes(zip.finish().unwrap().into_inner()).unwrap();
    let (who, root) = (Credentials::root(), archive.root());
    let cx = Cx::new(&who, &Epoch);
    for number in 0..FILES {
        let name = number.to_string();
        let at = At { dir: &root, name: Name::new(name.as_bytes()).unwrap() };
        let file = archive.open(&cx, &archive.lookup(&cx, at).unwrap(), Access::READ).unwrap();
        let mut byte = [0];
        assert_eq!(file.read_at(&cx, SIZE as u64 - 1, &mut Sink::from_slice(&mut byte)), Ok(1));
        assert_eq!(byte, [7], "{number}");
    }
    if let Some((before, now)) = before.zip(mappings()) {
        // Those of neighbours may be one to the kernel.
        assert!(now - before < 4150, "{before} mappings, then {now}");
    }
    drop(archive);
    if let Some((before, now)) = before.zip(mappings()) {
        assert!(now < before + 64, "{before} mappings, then {now}");
    }
}
