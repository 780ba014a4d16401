//! A thread whose system calls another thread answers, or lets through (`seccomp_unotify(2)`).
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::apart;

/// The calls that are asked about: all that a directory of the host is served by, but for closing.
pub(crate) const CALLS: [(libc::c_long, &str); 38] = [
    (libc::SYS_openat, "openat"),
    (libc::SYS_openat2, "openat2"),
    (libc::SYS_newfstatat, "newfstatat"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_fstat, "fstat"),
    (libc::SYS_statfs, "statfs"),
    (libc::SYS_fstatfs, "fstatfs"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_lseek, "lseek"),
    (libc::SYS_pread64, "pread64"),
    (libc::SYS_preadv, "preadv"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_pwritev2, "pwritev2"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_truncate, "truncate"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_readlinkat, "readlinkat"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchmodat2, "fchmodat2"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_utimensat, "utimensat"),
    (libc::SYS_getxattr, "getxattr"),
    (libc::SYS_setxattr, "setxattr"),
    (libc::SYS_listxattr, "listxattr"),
    (libc::SYS_removexattr, "removexattr"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fstatfs, "fstatfs"),
];

pub(crate) fn name_of(number: libc::c_long) -> &'static str {
    CALLS.iter().find(|call| call.0 == number).map_or("?", |call| call.1)
}

/// Has the thread's calls asked about; the descriptor by which that is done.
fn ask_from_now_on() -> std::io::Result<OwnedFd> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = vec![statement(BPF_LD | BPF_W | BPF_ABS, 0)];
    for (number, _) in CALLS {
        // The call's number is the first of what the filter is given.
        filter.push(libc::sock_filter { jf: 1, ..statement(BPF_JMP | BPF_JEQ | BPF_K, number as u32) });
        filter.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_USER_NOTIF));
    }
    filter.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the calls change what the thread may do and nothing else; the program is a whole filter that lives until
    // they return, and what is answered is a new descriptor.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        let listener = libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program);
        match i32::try_from(listener) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

/// Answers the call that is waiting; whether a signal ended the wait before.
fn answer_one(listener: &OwnedFd, answer: &mut dyn FnMut(libc::c_long) -> Option<i32>) -> bool {
    // SAFETY: both structs are numbers, for which zeros are valid, and as large as the kernel's own.
    let (mut asked, mut told) = unsafe {
        (core::mem::zeroed::<libc::seccomp_notif>(), core::mem::zeroed::<libc::seccomp_notif_resp>())
    };
    // SAFETY: the descriptor is one for such requests, and the kernel writes the struct of the request.
    if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) } != 0 {
        return true;
    }
    told.id = asked.id;
    match answer(asked.data.nr.into()) {
        Some(errno) => told.error = -errno,
        None => told.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    }
    // SAFETY: as above; the kernel reads the struct.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut told) != 0 }
}

/// Does `work` on a thread of its own, each of whose calls `answer` answers by the number of an error or lets through.
/// How many answers came too late because of a signal, too. Nothing where the kernel has no such thing, which is said.
pub(crate) fn supervised<T: Send>(
    mut answer: impl FnMut(libc::c_long) -> Option<i32>,
    work: impl FnOnce() -> T + Send,
) -> Option<(T, u64)> {
    let (tell, told) = mpsc::channel();
    let mut late = 0;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let listener = ask_from_now_on();
            let asked = listener.is_ok();
            tell.send(listener).unwrap();
            asked.then(work)
        });
        match told.recv().unwrap() {
            Err(error) => {
                apart::skipped(&format!("calls of the host that fail: no filter of calls: {error}"))
            }
            Ok(listener) => {
                let time = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                while !thread.is_finished() {
                    let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
                    if poll(&mut waiting, Some(&time)).is_ok_and(|ready| ready > 0)
                        && waiting[0].revents().contains(PollFlags::IN)
                    {
                        late += u64::from(answer_one(&listener, &mut answer));
                    }
                }
            }
        }
        let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map(|done| (done, late))
    })
}
