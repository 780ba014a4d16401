//! Faults that are not the archive's, in children: they end the process, or are for whoever handled them before.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;

use memmap2::Mmap;
use vnode_archive::Archive;
use vnode_core::Errno;
use vnode_core::fs::{InPlace, SharedBytes};

use crate::tree::Mounted;
use crate::truncation::archive;

/// Set in a child.
const CHILD: &str = "VNODE_ARCHIVE_CHILD";

/// Runs a test of this program in a child, where `act` is what it does.
fn in_child(test: &str, act: impl FnOnce()) -> Option<ExitStatus> {
    in_child_at(test, Path::new("."), |_| act())
}

/// The same with a directory that the child is told.
fn in_child_at(test: &str, at: &Path, act: impl FnOnce(&Path)) -> Option<ExitStatus> {
    if let Some(at) = std::env::var_os(CHILD) {
        act(Path::new(&at));
        return None;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(CHILD, at);
    Some(child.output().unwrap().status)
}

/// Reads what was cut off from an archive, so that the handler is there and was needed.
fn use_handler() {
    let file = archive();
    let mounted = Mounted::new(Archive::open(file.path()).unwrap());
    file.as_file().set_len(0).unwrap();
    assert_eq!(mounted.read("large"), Err(Errno::IO));
}

/// Reads behind the end of a file that is mapped, but not by an archive.
fn fault() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    // SAFETY: that it is truncated is what is tried.
    let map = unsafe { Mmap::map(&file).unwrap() };
    file.set_len(0).unwrap();
    std::hint::black_box(map[1 << 19]);
    std::process::exit(7);
}

#[test]
fn the_process_survives_a_truncated_archive() {
    let status = in_child("faults::the_process_survives_a_truncated_archive", use_handler);
    assert!(status.is_none_or(|status| status.success()));
}

/// How many mappings this process may have, if that is not too many to be tried.
fn most_mappings() -> Option<usize> {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let most = most.and_then(|most| most.trim().parse().ok()).filter(|most| *most <= 1 << 17);
    if most.is_none() {
        eprintln!("skipped: nobody can have so many mappings");
    }
    most
}

const PAGE: usize = 4096;

/// An archive of one file of so many pages, none of which take room, and all that is handed out of it.
fn holes(at: &Path, pages: usize) -> (File, SharedBytes) {
    let file = File::options().read(true).write(true).create_new(true).open(at).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("large").unwrap();
    header.set_size((pages * PAGE) as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o600);
    header.set_cksum();
    file.write_all_at(header.as_bytes(), 0).unwrap();
    file.set_len((512 + pages * PAGE) as u64).unwrap();
    let mounted = Mounted::new(Archive::open(at).unwrap());
    let large = mounted.open("large").unwrap();
    match mounted.with(|caller| large.in_place(caller.cx, 0, (pages * PAGE) as u64).unwrap()) {
        InPlace::Bytes(held) => (file, held),
        InPlace::Hole(_) => panic!("a hole"),
    }
}

/// Reads every second page, and then all of them, which never takes many mappings.
fn touch_all(held: &SharedBytes, most: usize) {
    for step in [2, 1] {
        for (count, at) in (0..held.len()).step_by(step * PAGE).enumerate() {
            assert_eq!(held[at], 0);
            if count % 16_384 == 16_383 {
                let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
                assert!(mappings < most / 4, "{mappings}");
            }
        }
    }
}

/// A page that is put in the middle of others counts as a mapping of its own, and there may be 65530 of them.
#[test]
fn the_process_survives_more_faults_than_there_may_be_mappings() {
    let Some(most) = most_mappings() else { return };
    let status = in_child("faults::the_process_survives_more_faults_than_there_may_be_mappings", || {
        let directory = tempfile::tempdir().unwrap();
        let pages = 2 * most + 1000;
        let (file, held) = holes(&directory.path().join("tar"), pages);
        file.set_len(0).unwrap();
        touch_all(&held, most);
    });
    assert!(status.is_none_or(|status| status.success()), "{status:?}");
}

/// The medium fails for each page of a file that is as long as ever: tmpfs has no room for a hole that is mapped.
#[test]
fn the_process_survives_a_medium_that_fails_for_every_page() {
    let Some(most) = most_mappings() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if std::env::var_os(CHILD).is_none() && !mount("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"], at) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let status = in_child_at("faults::the_process_survives_a_medium_that_fails_for_every_page", at, |at| {
        let pages = 2 * most + 1000;
        let (file, held) = holes(&at.join("tar"), pages);
        touch_all(&held, most);
        // What is only read is asked of the file itself, which tells of zeros without room for them.
        drop(held);
        let mounted = Mounted::new(Archive::open(at.join("tar")).unwrap());
        assert!(mounted.read("large").unwrap().iter().all(|&byte| byte == 0));
        drop(file);
    });
    if status.is_some() {
        assert!(mount("umount", &[], at));
    }
    assert!(status.is_none_or(|status| status.success()), "{status:?}");
}

fn mount(program: &str, arguments: &[&str], at: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(at).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_fault_elsewhere_ends_the_process() {
    let status = in_child("faults::a_fault_elsewhere_ends_the_process", || {
        use_handler();
        fault();
    });
    assert!(status.is_none_or(|status| status.signal() == Some(libc::SIGBUS)), "{status:?}");
}

#[test]
fn a_signal_that_is_sent_ends_the_process() {
    let status = in_child("faults::a_signal_that_is_sent_ends_the_process", || {
        // The handler of Rust's library takes no notice of the first that is sent.
        handle(libc::SIG_DFL, 0);
        use_handler();
        // SAFETY: it has no preconditions.
        unsafe { libc::raise(libc::SIGBUS) };
        std::process::exit(7);
    });
    assert!(status.is_none_or(|status| status.signal() == Some(libc::SIGBUS)), "{status:?}");
}

extern "C" fn leave(_signal: libc::c_int) {
    // SAFETY: it may be called in a handler.
    unsafe { libc::_exit(42) };
}

extern "C" fn leave_with_code(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a handler with `SA_SIGINFO` gets a whole one; `_exit` may be called in a handler.
    unsafe { libc::_exit(40 + (*info).si_code) };
}

/// Handles `SIGBUS`, before an archive does.
fn handle(handler: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: all zeros is an action; the handlers do what may be done in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (action.sa_sigaction, action.sa_flags) = (handler, flags);
        assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()), 0);
    }
}

#[test]
fn who_handled_faults_before_still_does() {
    let status = in_child("faults::who_handled_faults_before_still_does", || {
        handle(leave as extern "C" fn(_) as libc::sighandler_t, 0);
        use_handler();
        fault();
    });
    assert!(status.is_none_or(|status| status.code() == Some(42)), "{status:?}");
}

#[test]
fn who_handled_faults_before_is_told_of_them() {
    let status = in_child("faults::who_handled_faults_before_is_told_of_them", || {
        handle(leave_with_code as extern "C" fn(_, _, _) as libc::sighandler_t, libc::SA_SIGINFO);
        use_handler();
        fault();
    });
    // `BUS_ADRERR` is 2.
    assert!(status.is_none_or(|status| status.code() == Some(42)), "{status:?}");
}

#[test]
fn who_ignored_the_signal_still_does() {
    let status = in_child("faults::who_ignored_the_signal_still_does", || {
        handle(libc::SIG_IGN, 0);
        use_handler();
        // SAFETY: it has no preconditions.
        unsafe { libc::raise(libc::SIGBUS) };
        std::process::exit(7);
    });
    assert!(status.is_none_or(|status| status.code() == Some(7)), "{status:?}");
}
