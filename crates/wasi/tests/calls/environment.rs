//! Arguments, environment, clocks, random bytes, preopens, ending.

use vnode_core::Errno;
use vnode_kernel::{Exit, Process};
use vnode_wasi::preview1;

use crate::guest::*;

#[test]
fn arguments_and_environment_are_c_strings() {
    let mut guest =
        Guest::with(|builder| builder.args(["prog", "", "b c"]).env("A", "1").env("B", "x=y").env("A", "2"));
    guest.call(|p, m| preview1::args_sizes_get(p, m, RESULT, RESULT + 4)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u32(RESULT + 4)), (3, 10));
    guest.call(|p, m| preview1::args_get(p, m, 64, BUFFER)).unwrap();
    assert_eq!(guest.get(BUFFER, 11), b"prog\0\0b c\0\xee");
    assert_eq!([64, 68, 72].map(|at| guest.u32(at)), [BUFFER, BUFFER + 5, BUFFER + 6]);
    assert_eq!(guest.u32(76), 0xeeee_eeee);
    guest.call(|p, m| preview1::environ_sizes_get(p, m, RESULT, RESULT + 4)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u32(RESULT + 4)), (2, 10));
    guest.call(|p, m| preview1::environ_get(p, m, 64, BUFFER)).unwrap();
    assert_eq!(guest.get(BUFFER, 10), b"B=x=y\0A=2\0");
    assert_eq!(guest.call(|p, m| preview1::args_get(p, m, 64, MEMORY - 9)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::args_get(p, m, MEMORY - 11, BUFFER)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::args_sizes_get(p, m, RESULT, OUTSIDE)), Err(Errno::FAULT));
    let mut bare = Guest::new();
    assert_eq!(bare.call(|p, m| preview1::args_get(p, m, u32::MAX, u32::MAX)), Ok(()));
}

#[test]
fn what_no_c_program_can_get_is_refused() {
    let build = |change: fn(vnode_kernel::ProcessBuilder) -> vnode_kernel::ProcessBuilder| {
        change(Process::builder(namespace())).build().err()
    };
    assert_eq!(build(|builder| builder.arg("a\0b")), Some(Errno::INVAL));
    assert_eq!(build(|builder| builder.env("A\0", "")), Some(Errno::INVAL));
    assert_eq!(build(|builder| builder.env("", "x")), Some(Errno::INVAL));
    assert_eq!(build(|builder| builder.env("A=B", "x")), Some(Errno::INVAL));
    assert_eq!(build(|builder| builder.env("A", "x")), None);
}

#[test]
fn clocks_and_random_bytes() {
    let mut guest = Guest::new();
    for id in 0..4 {
        guest.call(|p, m| preview1::clock_res_get(p, m, id, RESULT)).unwrap();
        assert!(guest.u64(RESULT) >= 1);
        guest.call(|p, m| preview1::clock_time_get(p, m, id, 0, RESULT)).unwrap();
        let first = guest.u64(RESULT);
        guest.call(|p, m| preview1::clock_time_get(p, m, id, u64::MAX, RESULT)).unwrap();
        assert!(guest.u64(RESULT) >= first);
    }
    assert_eq!(guest.call(|p, m| preview1::clock_time_get(p, m, 4, 0, RESULT)), Err(Errno::INVAL));
    assert_eq!(guest.call(|p, m| preview1::clock_res_get(p, m, u32::MAX, RESULT)), Err(Errno::INVAL));
    assert_eq!(guest.call(|p, m| preview1::clock_time_get(p, m, 0, 0, OUTSIDE)), Err(Errno::FAULT));
    guest.call(|p, m| preview1::random_get(p, m, BUFFER, 10_000)).unwrap();
    let random = guest.get(BUFFER, 10_001);
    assert!(random[..10_000].chunks(20).all(|chunk| chunk.iter().any(|&byte| byte != 0xee)));
    assert_eq!(random[10_000], 0xee);
    assert_eq!(guest.call(|p, m| preview1::random_get(p, m, 0, u32::MAX)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::random_get(p, m, u32::MAX, 0)), Ok(()));
}

#[test]
fn preopens_are_found_from_three_on() {
    let mut guest = Guest::built(|namespace| {
        let root = namespace.root().clone();
        Process::builder(namespace).preopen("/work", root.clone()).preopen(".", root)
    });
    for (fd, name) in [(3, "/work"), (4, ".")] {
        guest.put(RESULT, &[0xee; 8]);
        guest.call(|p, m| preview1::fd_prestat_get(p, m, fd, RESULT)).unwrap();
        assert_eq!(guest.get(RESULT, 8), [0, 0, 0, 0, name.len() as u8, 0, 0, 0]);
        let len = name.len() as u32;
        guest.call(|p, m| preview1::fd_prestat_dir_name(p, m, fd, BUFFER, len)).unwrap();
        assert_eq!(guest.get(BUFFER, len), name.as_bytes());
        let short = guest.call(|p, m| preview1::fd_prestat_dir_name(p, m, fd, BUFFER, len - 1));
        assert_eq!(short, Err(Errno::NAMETOOLONG));
    }
    for fd in [0, 5, u32::MAX] {
        assert_eq!(guest.call(|p, m| preview1::fd_prestat_get(p, m, fd, RESULT)), Err(Errno::BADF));
        let name = guest.call(|p, m| preview1::fd_prestat_dir_name(p, m, fd, BUFFER, 100));
        assert_eq!(name, Err(Errno::BADF));
    }
}

#[test]
fn ending() {
    let mut guest = Guest::new();
    let exit = |guest: &mut Guest, code| exit_of(guest.outcome(|p, m| preview1::proc_exit(p, m, code)));
    assert_eq!(exit(&mut guest, 3), Exit::Status(3));
    assert_eq!(exit(&mut guest, u32::MAX), Exit::Status(u32::MAX));
    // WASI's numbers: ABRT 6, TERM 15, CHLD 16, STOP 18, SYS 30; Linux's SYS is 31.
    for (signal, number) in [(6, 6), (15, 15), (30, 31), (23, 24)] {
        let raised = Guest::new().outcome(|p, m| preview1::proc_raise(p, m, signal));
        assert_eq!(exit_of(raised), Exit::Signal(number), "{signal}");
    }
    for signal in [0, 16, 17, 22, 27] {
        assert_eq!(guest.call(|p, m| preview1::proc_raise(p, m, signal)), Ok(()), "{signal}");
    }
    assert_eq!(guest.call(|p, m| preview1::proc_raise(p, m, 18)), Err(Errno::NOTSUP));
    for signal in [31, 256, u32::MAX] {
        assert_eq!(guest.call(|p, m| preview1::proc_raise(p, m, signal)), Err(Errno::INVAL));
    }
    assert_eq!(guest.process.end(Exit::Status(3)), Exit::Status(3));
    assert_eq!(guest.process.end(Exit::Killed), Exit::Status(3));
    assert!(guest.process.fds().is_empty());
}
