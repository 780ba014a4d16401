//! Kernels without the newer calls, as seen through a filter that answers those with `ENOSYS`.

use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use vnode_core::fs::{Access, Rename};
use vnode_core::{Errno, OpenFlags};
use vnode_host::Host;

use crate::guest::Guest;
use crate::scene::{Picture, SECRET, Scene};
use crate::{apart, escapes};

/// Executes a command with calls answered by `ENOSYS`: `without NUMBER... -- COMMAND...`.
const WITHOUT: &str = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **words) {
    struct sock_filter filter[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned short len = 1;
    int word = 1;
    for (; word < count && strcmp(words[word], "--") != 0 && len < 60; word++) {
        struct sock_filter is = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(words[word]), 0, 1);
        struct sock_filter answer = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
        filter[len++] = is;
        filter[len++] = answer;
    }
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[len++] = allow;
    struct sock_fprog program = {len, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    execv(words[word + 1], words + word + 1);
    return 1;
}
"#;

/// The launcher, compiled; nothing where there is no compiler.
fn launcher(dir: &Path) -> Option<String> {
    let (source, program) = (dir.join("without.c"), dir.join("without"));
    std::fs::write(&source, WITHOUT).unwrap();
    match Command::new("cc").arg("-o").arg(&program).arg(&source).status() {
        Ok(status) if status.success() => Some(program.to_str().unwrap().to_owned()),
        _ => {
            apart::skipped("no C compiler for a filter of system calls");
            None
        }
    }
}

/// Whether the test is done: it was, without those calls, or it can't be.
fn done(test: &str, without: &[i64]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = launcher(dir.path()) else { return true };
    let numbers: Vec<String> = without.iter().map(i64::to_string).collect();
    let mut words = vec![program.as_str()];
    words.extend(numbers.iter().map(String::as_str));
    words.push("--");
    apart::was_done(test, &words)
}

/// What everything comes to, by whatever calls.
fn works(scene: &Scene) {
    let guest = Guest::new(Host::builder(), &scene.served);
    let before = Picture::of(&scene.outside);
    guest.mkdir("a").unwrap();
    guest.mkdir("a/b").unwrap();
    guest.put("a/b/file", b"text").unwrap();
    assert_eq!(guest.read("a/b/file").unwrap(), b"text");
    guest.chmod("a/b/file", 0o640).unwrap();
    assert_eq!(guest.stat("a/b/../b/file").unwrap().mode.raw() & 0o7777, 0o640);
    guest.symlink(scene.outside.join("secret").to_str().unwrap(), "a/out").unwrap();
    guest.symlink("b/", "a/link").unwrap();
    assert_eq!(guest.read("a/out"), Err(Errno::NOENT));
    assert_eq!(guest.read("a/link/file").unwrap(), b"text");
    assert_eq!(guest.put("a/out", b"changed"), Err(Errno::NOENT));
    escapes::change_a_link_itself(&guest, "a/out");
    guest.truncate("a/b/file", 2).unwrap();
    guest.rename("a/b/file", "a/moved", Rename::NoReplace).unwrap();
    assert_eq!(guest.read("a/moved").unwrap(), b"te");
    assert_eq!(guest.open("a/none/x", Access::READ, OpenFlags::CREATE).map(drop), Err(Errno::NOENT));
    let times = guest.on("a/moved", |caller, base, path| {
        let then = vnode_core::SetTime::To(vnode_core::Timespec { sec: 5, nsec: 7 });
        caller.set_times(base, path, vnode_core::Follow::Yes, Some(then), Some(then))
    });
    assert_eq!((times, guest.stat("a/moved").unwrap().mtime.sec), (Ok(()), 5));
    assert_eq!(Picture::of(&scene.outside), before);
    assert_eq!(std::fs::read(scene.outside.join("secret")).unwrap(), SECRET);
}

#[test]
fn names_are_found_one_by_one_without_openat2() {
    if done("old_kernels::names_are_found_one_by_one_without_openat2", &[libc::SYS_openat2]) {
        return;
    }
    let missing = openat2(CWD, "/", OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH);
    assert_eq!(missing.map(drop), Err(rustix::io::Errno::NOSYS), "the filter isn't there");
    works(&Scene::new());
}

#[test]
fn modes_are_set_without_fchmodat2() {
    let without = [libc::SYS_openat2, libc::SYS_fchmodat2, libc::SYS_faccessat2];
    if done("old_kernels::modes_are_set_without_fchmodat2", &without) {
        return;
    }
    works(&Scene::new());
}
