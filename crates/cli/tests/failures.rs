//! What can't be done: each kind of failure, its exit code and its sentence.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use support::{Module, guest, run, run_with_input, vnode};

#[test]
fn no_action_and_unknown_options_are_wrong_usage() {
    run(&[] as &[&str]).fails(125, "Usage: vnode <COMMAND>");
    run(["fly"]).fails(125, "unrecognized subcommand 'fly'");
    run(["rnu"]).fails(125, "'run'");
    run(["completion"]).fails(125, "'completions'");
    run(["hello.wasm"]).fails(125, "'run hello.wasm'");
    run(["run"]).fails(125, "MODULE");
    run(["run", "--tmpf", "/x", "m.wasm"]).fails(125, "a similar argument exists: '--tmpfs'");
    run(["run", "--stats=xml", "m.wasm"]).fails(125, "[possible values: text, json]");
    run(["completions", "tcsh"]).fails(125, "possible values: bash");
}

#[test]
fn values_of_options_are_checked() {
    for (option, value, says) in [
        ("--timeout", "soon", "not a number"),
        ("--timeout", "1w", "unknown unit \"w\""),
        ("--max-memory", "1X", "unknown unit \"X\""),
        ("--max-stack", "0", "64K to 1G"),
        ("--umask", "9", "octal"),
        ("--umask", "1000", "up to 777"),
        ("--user", "root", "write numbers"),
        ("--user", "-1", "\"-1\" is no user"),
        ("--timeout", "-1", "\"-1\" is not a number"),
        ("--env", "=x", "name is missing"),
        ("--preopen", "/a/../b", "has \"..\""),
        ("--preopen", "/a=", "name behind ="),
        ("--tmpfs", "", "guest's directory is missing"),
        ("--tmpfs", "/x:sise=1", "unknown key \"sise\""),
        ("--copy", "src", "write HOST::GUEST"),
        ("--mount", "dst=/x", "type= is missing"),
        ("--dir", ".::", "guest's directory is missing"),
        ("--dir", ".::/x::size=1", "size is not for host"),
        ("--volume", ".:/x:z", "neither HOST:GUEST nor HOST:GUEST:ro"),
        ("--mapdir", ".", "not GUEST:HOST"),
        ("--mount", "type=host,dst=/x", "src= is missing: the host's directory"),
        ("--mount", "type=host,src=.,dst=/x,xdev=1", "deny or allow"),
        (
            "--mount",
            "type=bind,src=.,dst=/x",
            "not there yet; there are host, tmpfs, copy, image and overlay",
        ),
        ("--mount", "type=image,dst=/x", "src= is missing: the host's archive"),
        ("--image", "::/x", "host's path is missing"),
        ("--overlay", "image=a.tar,oci", "comes before keys; write image=a.tar::GUEST,oci"),
        ("--dir", ".::/x::emulate=maybe", "yes, memory or no"),
        ("--mount", "type=overlay,src=.,dst=/x", "src is not for overlay"),
        ("--overlay", ".::/x,upper", "upper needs a value: upper=DIR"),
        ("--quota", "much", "much"),
        ("--mount", "type=cifs,dst=/x", "type=cifs is unknown"),
    ] {
        run(["run", option, value, "m.wasm"]).fails(125, says);
    }
}

#[test]
fn options_that_are_to_come_say_what_to_do_instead() {
    run(["run", "--bind", "/a::/x", "m.wasm"]).fails(125, "bind mounts aren't there yet");
}

#[test]
fn a_module_that_is_not_there_is_127_and_one_that_cant_be_read_126() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing.wasm");
    run(["run".as_ref(), path.as_os_str()]).fails(127, "missing.wasm: there is no such module");
    run(["run".as_ref(), directory.path().as_os_str()]).fails(126, "a directory, not a module");
}

#[test]
fn what_is_no_module_is_said_to_be_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.wasm");
    let whole = std::fs::read(guest("exitcode")).unwrap();
    let header = b"\0asm\x01\0\0\0";
    for (bytes, says) in [
        (&b""[..], "it is empty"),
        (b"hello", "not a WebAssembly module"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"#!/bin/sh\n", "it is a script"),
        (&header[..5], "truncated: it ends after 5 bytes"),
        (&whole[..whole.len() / 2], "truncated"),
        (b"(module (func (export \"_start\") i32.bogus))", "unknown operator"),
        (b"(module (func (export \"_start\") i32.add))", "invalid"),
        (b"(module (func (export \"_start\") i32.bogus))", "m.wasm:1:"),
        (b"(module (func (export \"_start\") (param i32)))", "the module's _start has the type"),
        (b"(module (func (export \"_start\") (result i32) i32.const 0))", "takes and gives nothing"),
        (b"(component)", "component"),
        (header, "no function _start"),
        (b"(module (func (export \"_initialize\")))", "reactor"),
        (
            b"(module (import \"wasix_64v1\" \"proc_fork\" (func)) (func (export \"_start\")))",
            "WASIX program of 64-bit addresses",
        ),
        (
            b"(module (import \"env\" \"x\" (func)) (func (export \"_start\")))",
            "env.x, which vnode doesn't know",
        ),
        (
            b"(module (import \"wasi\" \"thread-spawn\" (func)) (func (export \"_start\")))",
            "wasi.thread-spawn, but with another type",
        ),
        (
            b"(module (import \"wasi_unstable\" \"fd_close\" (func)) (func (export \"_start\")))",
            "fd_close, but with another type",
        ),
        (
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
              \x0a\x08\x01\x06\0\x06\x40\x19\x0b\x0b",
            "wasm-opt --translate-to-exnref",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        run(["run".as_ref(), path.as_os_str()]).fails(126, says);
    }
    let from_stdin = run_with_input(vnode().args(["run", "-"]), b"hello");
    from_stdin.fails(126, "the module from stdin: not a WebAssembly module");
}

#[test]
fn a_module_that_needs_more_than_the_limits_is_not_started() {
    let module = Module::new(r#"(func (export "_start"))"#);
    module.run(&["--max-memory", "64K"], &[]).fails(126, "--max-memory");
}

#[test]
fn mounts_that_cant_be_are_told_before_the_guest_starts() {
    let module = Module::new(support::PRINT_PREOPENS);
    let here = module.directory.path().to_str().unwrap();
    module.run(&["--tmpfs", "/x", "--tmpfs", "x/."], &[]).fails(125, "two mounts are on /x");
    module.run(&["--copy", "/no/such::/x"], &[]).fails(125, "can't copy /no/such: No such file");
    module.run(&["--copy", "/dev/null::/x"], &[]).fails(125, "neither a directory nor a tar archive");
    module
        .run(&["--copy", &format!("{here}/m.wat::/x")], &[])
        .fails(125, "neither a directory nor a tar archive");
    module
        .run(&["--preopen", "/nowhere"], &[])
        .fails(125, "can't open /nowhere in the guest's tree: no such file");
    module
        .run(&["--max-open-files", "3"], &[])
        .fails(125, "can't open what the guest starts with: too many open files (EMFILE); --max-open-files");
    module.run(&["--cwd", "/nowhere"], &[]).fails(125, "can't open /nowhere in the guest's tree");
    module.run(&["--env-file", "/no/such"], &[]).fails(125, "can't read /no/such");
    module.run(&["--trace=/no/such/file"], &[]).fails(125, "can't write the trace to /no/such/file");
    let options = format!("type=copy,src={here},dst=/x,size=0,inodes=1");
    module.run(&["--mount", &options], &[]).fails(125, "inodes=");
    std::fs::write(module.directory.path().join("e"), "A=1\n=x\n").unwrap();
    module.run(&["--env-file", &format!("{here}/e")], &[]).fails(125, "e:2: the variable's name is missing");
    std::fs::write(module.directory.path().join("e"), "export A=1\n").unwrap();
    module.run(&["--env-file", &format!("{here}/e")], &[]).fails(125, "e:1: this is no shell script");
}

#[test]
fn a_mount_point_on_a_file_is_told() {
    let module = Module::new(support::PRINT_PREOPENS);
    let here = module.directory.path().to_str().unwrap();
    module
        .run(&["--copy", &format!("{here}::/"), "--tmpfs", "/m.wat"], &[])
        .fails(125, "can't mount on /m.wat");
    module
        .run(&["--copy", &format!("{here}::/"), "--tmpfs", "/m.wat/x"], &[])
        .fails(125, "can't mount on /m.wat/x");
}

#[test]
fn names_from_outside_dont_drive_the_terminal() {
    run(["run", "/no/\x1b[31m\nvnode: x"]).fails(127, "/no/\\u{1b}[31m\\nvnode: x: there is no such");
    let module = Module::new(support::PRINT_PREOPENS);
    module.run(&["--copy", "/no/\x1b]::/x"], &[]).fails(125, "can't copy /no/\\u{1b}]: No such file");
    let named = Module::text("(module (func $\"\\1b[2J\" (export \"_start\") unreachable))");
    let ran = named.run(&[], &[]);
    assert!(ran.stderr.contains("\\u{1b}[2J") && !ran.stderr.contains('\x1b'), "{ran:?}");
}
