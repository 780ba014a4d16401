//! Faults that are not the archive's, in children: they end the process, or are for whoever handled them before.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::ptr;

use memmap2::Mmap;
use vnode_archive::Archive;
use vnode_core::Errno;

use crate::tree::Mounted;
use crate::truncation::archive;

/// Set in a child.
const CHILD: &str = "VNODE_ARCHIVE_CHILD";

/// Runs a test of this program in a child, where `act` is what it does.
fn in_child(test: &str, act: impl FnOnce()) -> Option<ExitStatus> {
    if std::env::var_os(CHILD).is_some() {
        act();
        return None;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
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
