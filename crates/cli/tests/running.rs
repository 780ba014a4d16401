//! What goes to the guest and what comes back: arguments, environment, streams, preopens, limits, ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{
    CREATE, Module, PRINT_ARGS, PRINT_ENV, PRINT_PREOPENS, Ran, exits_with, guest, run, run_with_input, vnode,
};

#[test]
fn arguments_behind_the_module_are_the_guests() {
    let module = Module::new(PRINT_ARGS);
    let path = module.path();
    module.run(&[], &["a", "--help", "--", "-x", ""]).prints(&format!("{path}\0a\0--help\0--\0-x\0\0"));
    module.run(&["--argv0", "name"], &["--tmpfs", "/"]).prints("name\0--tmpfs\0/\0");
}

#[test]
fn a_module_comes_from_stdin_in_either_format() {
    let module = Module::new(PRINT_ARGS);
    let text = std::fs::read(module.path()).unwrap();
    run_with_input(vnode().args(["run", "-", "x"]), &text).prints("-\0x\0");
    let binary = wat::parse_bytes(&text).unwrap();
    run_with_input(vnode().args(["run", "-", "x"]), &binary).prints("-\0x\0");
}

#[test]
fn the_environment_is_what_was_asked_for_and_nothing_else() {
    let module = Module::new(PRINT_ENV);
    module.run(&[], &[]).prints("");
    let file = module.directory.path().join("env");
    std::fs::write(&file, "# defaults\nA=1\nB=2\nTAKEN\n").unwrap();
    let output = vnode()
        .env("TAKEN", "from outside")
        .env_remove("UNSET")
        .args(["run", "--env", "B=3=4", "--env", "UNSET", "-eC=", "--env-file"])
        .arg(&file)
        .arg(module.path())
        .output()
        .unwrap();
    Ran::from(output).prints("A=1\0TAKEN=from outside\0B=3=4\0C=\0");
}

#[test]
fn preopens_are_the_mounts_in_order_or_the_root() {
    let module = Module::new(PRINT_PREOPENS);
    module.run(&[], &[]).prints("/ ");
    module.run(&["--tmpfs", "b/", "--tmpfs", "/a"], &[]).prints("b/ /a ");
    module.run(&["--tmpfs", "/a", "--preopen", "/"], &[]).prints("/a / ");
    module.run(&["--tmpfs", "/a/b/c", "--preopen", "/a/b=name"], &[]).prints("/a/b/c name ");
    module.run(&["--tmpfs", "/a", "--cwd", "/a"], &[]).prints("/a . ");
    module.run(&["--tmpfs", "."], &[]).prints(". ");
    module.run(&["--preopen", "/"], &[]).prints("/ ");
    // What lies further down may be named first.
    module.run(&["--tmpfs", "/a/b", "--tmpfs", "/a", "--preopen", "/a/b=both"], &[]).prints("/a/b /a both ");
}

#[test]
fn stdin_stdout_and_stderr_are_three_streams() {
    // Copies what it reads to stderr, then says so on stdout.
    let module = Module::new(
        r#"(data (i32.const 100) "done\n")
        (func (export "_start")
            (loop $more
                (i32.store (i32.const 0) (i32.const 1000))
                (i32.store (i32.const 4) (i32.const 50000))
                (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (if (i32.load (i32.const 8)) (then
                    (call $print (i32.const 2) (i32.const 1000) (i32.load (i32.const 8)))
                    (br $more))))
            (call $print (i32.const 1) (i32.const 100) (i32.const 5)))"#,
    );
    let input = "a line\n".repeat(100_000);
    let ran = run_with_input(vnode().args(["run", &module.path()]), input.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "done\n"));
    assert!(ran.stderr == input, "{} of {} bytes", ran.stderr.len(), input.len());
}

#[test]
fn exit_codes_are_the_guests() {
    for code in [0, 1, 7, 124, 255, 256 + 3] {
        let module = Module::new(&format!(r#"(func (export "_start") (call $exit (i32.const {code})))"#));
        let ran = module.run(&[], &[]);
        assert_eq!(ran.code, Some(code & 0xff));
        assert_eq!(ran.stderr, "");
    }
    // SIGABRT and SIGTERM in WASI's numbers.
    for (signal, code) in [(6, 134), (15, 128 + 15)] {
        let module =
            Module::new(&format!(r#"(func (export "_start") (drop (call $raise (i32.const {signal}))))"#));
        assert_eq!(module.run(&[], &[]).code, Some(code), "{signal}");
    }
}

#[test]
fn a_trap_is_134_with_the_names_of_the_functions() {
    let module = Module::new(
        r#"(data (i32.const 100) "before\n")
        (func $inner (unreachable))
        (func $outer (call $inner))
        (func (export "_start") (call $print (i32.const 1) (i32.const 100) (i32.const 7)) (call $outer))"#,
    );
    let ran = module.run(&[], &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(134), "before\n"));
    assert!(ran.stderr.starts_with("vnode: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("wasm trap: "), "{}", ran.stderr);
    let inner = ran.stderr.find("!inner").unwrap();
    assert!(inner < ran.stderr.find("!outer").unwrap(), "{}", ran.stderr);
}

#[test]
fn the_time_limit_ends_a_guest_that_runs_or_waits() {
    let spin = Module::new(r#"(func (export "_start") (loop $again (br $again)))"#);
    let wait = Module::new(
        r#"(func (export "_start")
            (i32.store (i32.const 0) (i32.const 100))
            (i32.store (i32.const 4) (i32.const 1))
            (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))"#,
    );
    for module in [spin, wait] {
        let start = Instant::now();
        let mut child = vnode()
            .args(["run", "--timeout", "300ms", &module.path()])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The pipe is kept open: the guest waits for bytes that never come.
        let stdin = child.stdin.take();
        let status = child.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
        drop(stdin);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(status.code(), Some(124));
        assert!(stderr.contains("ended after 300ms (--timeout)"), "{stderr}");
    }
    let quick = Module::new(r#"(func (export "_start"))"#);
    quick.run(&["--timeout", "60s"], &[]).prints("");
    quick.run(&["--timeout", "0"], &[]).prints("");
}

#[test]
fn what_cant_be_interrupted_holds_up_for_a_moment_only() {
    let module = Module::text(
        r#"(module (memory (export "memory") 1 1 shared) (func (export "_start")
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#,
    );
    let start = Instant::now();
    let ran = module.run(&["--timeout", "100ms"], &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(124), ""), "{ran:?}");
    assert!(start.elapsed() < Duration::from_millis(1800), "{:?}", start.elapsed());
}

#[test]
fn a_trace_shows_a_call_that_waits() {
    let module = Module::new(
        r#"(func (export "_start")
            (i32.store (i32.const 0) (i32.const 100))
            (i32.store (i32.const 4) (i32.const 1))
            (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))"#,
    );
    let trace = module.directory.path().join("trace");
    let mut child = vnode()
        .args(["run", &format!("--trace={}", trace.display()), &module.path()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let shown = |part: &str| {
        while !std::fs::read_to_string(&trace).is_ok_and(|text| text.contains(part)) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", std::fs::read_to_string(&trace));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    shown("fd_read(0<stdin>, 1 <unfinished ...>\n");
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    shown("<... fd_read resumed>) = 1 <");
}

#[test]
fn an_exception_that_nobody_catches_is_a_trap() {
    let module = Module::text(r#"(module (tag $e) (func $thrower (export "_start") (throw $e)))"#);
    let ran = module.run(&[], &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(134), ""), "{ran:?}");
    assert!(ran.stderr.contains("m.wat: wasm trap: uncaught exception"), "{ran:?}");
}

#[test]
fn limits_reach_the_guest_as_error_numbers() {
    // ENOSPC, from inodes and from bytes.
    assert_eq!(exits_with(CREATE).run(&["--tmpfs", "/x:inodes=1"], &[]).code, Some(51));
    assert_eq!(exits_with(CREATE).run(&["--max-fs-inodes", "1"], &[]).code, Some(51));
    assert_eq!(exits_with(CREATE).run(&["--tmpfs", "/x:inodes=2"], &[]).code, Some(0));
    // EMFILE: three streams and the preopen are four.
    assert_eq!(exits_with(CREATE).run(&["--max-open-files", "4"], &[]).code, Some(33));
    assert_eq!(exits_with(CREATE).run(&["--max-open-files", "5"], &[]).code, Some(0));
    // EROFS.
    assert_eq!(exits_with(CREATE).run(&["--tmpfs", "/x:ro"], &[]).code, Some(69));
    assert_eq!(exits_with(CREATE).run(&["--tmpfs", "/:ro"], &[]).code, Some(69));
    let grows = Module::new(
        r#"(func (export "_start") (call $exit (i32.eq (memory.grow (i32.const 9)) (i32.const -1))))"#,
    );
    assert_eq!(grows.run(&["--max-memory", "256K"], &[]).code, Some(1));
    assert_eq!(grows.run(&["--max-memory", "1M"], &[]).code, Some(0));
}

#[test]
fn users_are_checked_against_owners_and_modes() {
    // EACCES is 2.
    let code = |options: &[&str]| exits_with(CREATE).run(options, &[]).code;
    assert_eq!(code(&["--user", "5"]), Some(0), "an empty filesystem is the user's own");
    assert_eq!(code(&["--user", "5", "--tmpfs", "/tmp"]), Some(0), "anybody may write a tmpfs");
    assert_eq!(code(&["--user", "5", "--tmpfs", "/x:mode=755,uid=0"]), Some(2));
    assert_eq!(code(&["--user", "5:6,7", "--tmpfs", "/x:mode=775,uid=0,gid=7"]), Some(0));
    assert_eq!(code(&["--user", "5:6,8", "--tmpfs", "/x:mode=775,uid=0,gid=7"]), Some(2));
    assert_eq!(code(&["--user", "0", "--tmpfs", "/x:mode=0,uid=9"]), Some(0));
}

#[test]
fn strict_forbids_absolute_links() {
    let link = "(call $symlink (i32.const 101) (i32.const 4) (i32.const 3) (i32.const 100) (i32.const 1))";
    assert_eq!(exits_with(link).run(&[], &[]).code, Some(0));
    assert_eq!(exits_with(link).run(&["--strict"], &[]).code, Some(63), "EPERM");
}

#[test]
fn the_guests_umask_is_its_own() {
    // EACCES for a directory that may not be searched by its own user.
    let make = "(drop (call $mkdir (i32.const 3) (i32.const 100) (i32.const 1)))";
    let enter = "(call $mkdir (i32.const 3) (i32.const 100) (i32.const 4))";
    let module = Module::new(&format!(
        r#"(data (i32.const 100) "f/ab") (func (export "_start") {make} (call $exit {enter}))"#
    ));
    assert_eq!(module.run(&["--user", "5"], &[]).code, Some(0));
    assert_eq!(module.run(&["--user", "5", "--umask", "777"], &[]).code, Some(2));
}

#[test]
fn ctrl_c_ends_it_as_any_program() {
    use std::os::unix::process::ExitStatusExt as _;
    let module = Module::new(
        r#"(data (i32.const 100) "x")
        (func (export "_start") (call $print (i32.const 1) (i32.const 100) (i32.const 1)) (loop $again (br $again)))"#,
    );
    // Whoever started the tests in the background may have the signal ignored, and what they start inherits that.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_vnode"), "run", &module.path()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2), "a shell tells 130");
}

#[test]
fn a_closed_stdout_is_epipe_to_the_guest() {
    // Writes without end, until a write fails; exits with the error (EPIPE is 64).
    let module = Module::new(
        r#"(func (export "_start") (local $errno i32)
            (i32.store (i32.const 0) (i32.const 1000))
            (i32.store (i32.const 4) (i32.const 50000))
            (loop $again
                (local.set $errno (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if $again (i32.eqz (local.get $errno))))
            (call $exit (local.get $errno)))"#,
    );
    let mut child = vnode().args(["run", &module.path()]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(64));
}

#[test]
fn compiled_modules_are_kept_and_can_be_left_alone() {
    let module = Module::new(PRINT_ARGS);
    let cache = module.directory.path().join("cache");
    let stats = |options: &[&str]| {
        let output = vnode()
            .env("XDG_CACHE_HOME", &cache)
            .args(["run", "--stats=json"])
            .args(options)
            .arg(module.path())
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        report["cached"].as_bool().unwrap()
    };
    assert!(!stats(&["--no-cache"]));
    assert!(!cache.exists(), "nothing is kept");
    assert!(!stats(&[]));
    assert!(cache.join("vnode/modules").is_dir());
    assert!(stats(&[]));
    assert!(!stats(&["--no-cache"]));
}

#[test]
fn without_a_place_for_the_cache_programs_run_all_the_same() {
    let module = Module::new(PRINT_ARGS);
    let output = vnode()
        .env("XDG_CACHE_HOME", "/dev/null/x")
        .args(["run", "--quiet", "--argv0", "a", &module.path()])
        .output()
        .unwrap();
    Ran::from(output).prints("a\0");
    let output = vnode().env_clear().args(["run", "--argv0", "a", &module.path()]).output().unwrap();
    Ran::from(output).prints("a\0");
}

#[test]
fn the_tour_runs() {
    let ran = run(["run", &guest("tour")]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("A tour of the filesystem"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_guest_reads_what_is_typed_line_by_line() {
    let module = Module::new(
        r#"(func (export "_start")
            (loop $more
                (i32.store (i32.const 0) (i32.const 1000))
                (i32.store (i32.const 4) (i32.const 50000))
                (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (if (i32.load (i32.const 8)) (then
                    (call $print (i32.const 1) (i32.const 1000) (i32.load (i32.const 8)))
                    (br $more)))))"#,
    );
    let mut child =
        vnode().args(["run", &module.path()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        let mut echo = [0; 4];
        // Before the end of input: nothing is held back on the way.
        stdout.read_exact(&mut echo).unwrap();
        assert_eq!(echo, line.as_bytes());
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
