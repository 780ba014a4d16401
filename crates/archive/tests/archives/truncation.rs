//! Archives that somebody truncates, rewrites or replaces while they are read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::NamedTempFile;
use vnode_archive::Archive;
use vnode_core::fs::InPlace;
use vnode_core::io::Sink;
use vnode_core::{Credentials, Cx, Errno};

use crate::tree::{Epoch, Mounted};

pub(crate) const LEN: usize = 1 << 20;

/// An archive of a small file and a large one.
pub(crate) fn archive() -> NamedTempFile {
    let mut tar = tar::Builder::new(NamedTempFile::new().unwrap());
    for (name, len) in [("small", 100), ("large", LEN)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(len as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, name, &vec![b'x'; len][..]).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_was_cut_off_is_eio_and_the_rest_is_read() {
    let file = archive();
    let mounted = Mounted::new(Archive::open(file.path()).unwrap());
    let (small, large) = (mounted.open("small").unwrap(), mounted.open("large").unwrap());
    file.as_file().set_len(8192).unwrap();
    mounted.with(|caller| {
        let read = |at| {
            let mut bytes = vec![0; 4096];
            large
                .read_at(caller.cx, at, &mut Sink::from_slice(&mut bytes))
                .map(|count| bytes[..count].to_vec())
        };
        assert_eq!(read(LEN as u64 / 2), Err(Errno::IO));
        // What is there is read, and the end of what is there is found.
        assert_eq!(read(0), Ok(vec![b'x'; 4096]));
        assert_eq!(read(LEN as u64 - 1), Err(Errno::IO));
        assert_eq!(large.in_place(caller.cx, 0, 1).unwrap_err(), Errno::OPNOTSUPP);
        let mut bytes = [0; 200];
        assert_eq!(small.read_at(caller.cx, 0, &mut Sink::from_slice(&mut bytes)), Ok(100));
        assert_eq!(bytes[..100], [b'x'; 100]);
    });
    // What comes back is read again.
    file.as_file().write_all_at(&vec![b'y'; 2 << 20], 4096).unwrap();
    assert_eq!(mounted.read("large").unwrap()[LEN / 2..], vec![b'y'; LEN / 2]);
}

#[test]
fn what_was_handed_out_in_place_is_zeros_where_it_was_cut_off() {
    let file = archive();
    let mounted = Mounted::new(Archive::open(file.path()).unwrap());
    let large = mounted.open("large").unwrap();
    let held = mounted.with(|caller| large.in_place(caller.cx, 4096, LEN as u64).unwrap());
    let InPlace::Bytes(held) = held else { panic!("a hole") };
    assert_eq!(held.len(), LEN - 4096);
    assert!(held.iter().all(|&byte| byte == b'x'));
    file.as_file().set_len(0).unwrap();
    assert!(held[8192..].iter().all(|&byte| byte == 0));
    drop((mounted, large));
    // They are held for as long as somebody wants them.
    assert_eq!(held[LEN / 2], 0);
}

/// Not zeros in its place, which a copy would take for the content.
#[test]
fn what_was_cut_off_is_not_handed_out_in_place() {
    let file = archive();
    let mounted = Mounted::new(Archive::open(file.path()).unwrap());
    let large = mounted.open("large").unwrap();
    // Nobody read it, so that no fault was caught.
    file.as_file().set_len(8192 + 4096).unwrap();
    mounted.with(|caller| {
        let at = |offset, len| match large.in_place(caller.cx, offset, len) {
            Ok(InPlace::Bytes(bytes)) => Ok(bytes.to_vec()),
            Ok(InPlace::Hole(_)) => panic!("a hole"),
            Err(errno) => Err(errno),
        };
        assert_eq!(at(LEN as u64 / 2, 4096), Err(Errno::IO));
        assert_eq!(at(0, LEN as u64), Err(Errno::IO));
        assert_eq!(at(4096, 8192), Err(Errno::IO));
        assert_eq!(at(0, 4096), Ok(vec![b'x'; 4096]));
    });
}

#[test]
fn a_name_that_leads_elsewhere_changes_nothing() {
    let file = archive();
    let archive = Archive::open(file.path()).unwrap();
    std::fs::remove_file(file.path()).unwrap();
    File::create(file.path()).unwrap().write_all(b"something else").unwrap();
    assert_eq!(Mounted::new(archive).read("large").unwrap(), vec![b'x'; LEN]);
}

/// Readers in several threads, while the file is cut and written again and again.
#[test]
fn readers_survive_whatever_is_done_to_the_file() {
    let file = archive();
    let whole = std::fs::read(file.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|number| {
                let (file, done) = (&file, &done);
                scope.spawn(move || {
                    let mut failed = 0_u32;
                    while !done.load(Ordering::Relaxed) {
                        // While it is cut, there is no archive.
                        let Ok(archive) = Archive::open(file.path()) else { continue };
                        let mounted = Mounted::new(archive);
                        let Ok(large) = mounted.open("large") else { continue };
                        let who = Credentials::root();
                        let cx = Cx::new(&who, &Epoch);
                        for at in (0..LEN).step_by(32 << 10).skip(number) {
                            let mut bytes = vec![1; 64 << 10];
                            match large.read_at(&cx, at as u64, &mut Sink::from_slice(&mut bytes)) {
                                Ok(count) => {
                                    assert!(count > 0);
                                    let strange =
                                        bytes[..count].iter().find(|&&byte| byte != b'x' && byte != 0);
                                    assert_eq!(strange, None);
                                }
                                Err(errno) => {
                                    assert_eq!(errno, Errno::IO);
                                    failed += 1;
                                }
                            }
                        }
                    }
                    failed
                })
            })
            .collect();
        let writer = OpenOptions::new().write(true).open(file.path()).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(700);
        let mut rounds = 0;
        while std::time::Instant::now() < until || rounds < 10 {
            rounds += 1;
            writer.set_len([0, 5000, 500_000][rounds % 3]).unwrap();
            std::thread::yield_now();
            writer.write_all_at(&whole, 0).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        done.store(true, Ordering::Relaxed);
        let failed: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(failed > 0, "nobody noticed");
    });
}
