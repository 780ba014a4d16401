//! Programs for WASIX: what they import links, what isn't there yet says so, and their memory is given to them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

use std::sync::Arc;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasi::wasix::engine::BY_ENGINE;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Limits, Outcome, Policy, Program, StartError};

fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

fn compile(text: &str) -> Program {
    engine().compile(text.as_bytes()).unwrap()
}

fn run(program: &Program, limits: Limits) -> (Result<Outcome, StartError>, String) {
    let output = Arc::new(Capture::new(1 << 10));
    let files = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&files).preopen("/", "/").stdout(output.clone()).limits(limits);
    let outcome = program.run(guest.build(program.module()).unwrap());
    (outcome, String::from_utf8_lossy(&output.contents()).into_owned())
}

/// Writes "hi" and exits with the pages that its memory has after one more was asked for.
fn hello(memory: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasix_32v1" "getcwd" (func $getcwd (param i32 i32) (result i32)))
            (import "env" "memory" {memory})
            (data (i32.const 0) "\10\00\00\00\02\00\00\00")
            (data (i32.const 16) "hi")
            (func (export "_start")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (drop (memory.grow (i32.const 1)))
                (call $exit (memory.size))))"#
    )
}

fn limit(pages: u64) -> Limits {
    Limits { memory: Some(pages << 16), ..Limits::default() }
}

#[test]
fn a_memory_is_given_and_grows_no_further_than_it_may() {
    for (memory, limits, pages) in [
        ("(memory 1)", Limits::default(), 2),
        ("(memory 1 1)", Limits::default(), 1),
        ("(memory 1 3)", Limits::default(), 2),
        ("(memory 1)", limit(1), 1),
        ("(memory 1 65536)", limit(1), 1),
        ("(memory 1 3 shared)", Limits::default(), 2),
        ("(memory 1 1 shared)", Limits::default(), 1),
        ("(memory 1 65536 shared)", limit(1), 1),
        ("(memory 1 65536 shared)", limit(2), 2),
    ] {
        let (outcome, said) = run(&compile(&hello(memory)), limits);
        assert!(matches!(outcome, Ok(Outcome::Exited(status)) if status == pages), "{memory}: {outcome:?}");
        assert_eq!(said, "hi", "{memory}");
    }
}

#[test]
fn a_memory_larger_than_it_may_be_does_not_start() {
    for memory in ["(memory 2)", "(memory 2 3)", "(memory 2 65536 shared)"] {
        let (outcome, said) = run(&compile(&hello(memory)), limit(1));
        assert!(matches!(&outcome, Err(StartError::Instance(_))), "{memory}: {outcome:?}");
        assert_eq!(said, "");
    }
}

#[test]
fn each_guest_has_a_memory_of_its_own() {
    let program = compile(&hello("(memory 1 9 shared)"));
    for _ in 0..3 {
        assert!(matches!(run(&program, Limits::default()).0, Ok(Outcome::Exited(2))));
    }
}

#[test]
fn a_program_for_wasix_is_a_posix_process() {
    let posix = compile(&hello("(memory 1)"));
    let files = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&files).build(posix.module()).unwrap();
    assert_eq!(guest.process().policy(), Policy::Posix);
    let strict = Guest::builder(&files).policy(Policy::Strict).build(posix.module()).unwrap();
    assert_eq!(strict.process().policy(), Policy::Strict);
    let preview1 = compile(r#"(module (func (export "_start")))"#);
    assert_eq!(Guest::builder(&files).build(preview1.module()).unwrap().process().policy(), Policy::Beneath);
}

/// Every import, each called once with zeros; the exit status is the number of those that answer `ENOTSUP`.
#[test]
fn every_import_links_and_what_is_not_there_says_so() {
    let ends = ["proc_exit", "proc_exit2", "proc_exec", "proc_exec2", "stack_restore", "thread_exit"];
    let waits = ["futex_wait"];
    let (mut imports, mut calls, mut absent) = (String::new(), String::new(), 0);
    macro_rules! each {
        ([] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
            $({
                let name = stringify!($name);
                let arguments: &[&str] = &[$(stringify!($type)),*];
                let wasm = |ty: &&str| if ty.ends_with("64") { "i64" } else { "i32" };
                let types: Vec<&str> = arguments.iter().map(wasm).collect();
                let result = if stringify!($result) == "()" { "" } else { "(result i32)" };
                imports += &format!(
                    "(import \"wasix_32v1\" \"{name}\" (func ${name} (param {}) {result}))\n",
                    types.join(" ")
                );
                if !ends.contains(&name) && !waits.contains(&name) {
                    let zeros: Vec<String> = types.iter().map(|ty| format!("({ty}.const 0)")).collect();
                    let call = format!("(call ${name} {})", zeros.join(" "));
                    calls += &match result {
                        "" => call,
                        _ => format!("(call $count {call})\n"),
                    };
                    absent += usize::from(stringify!($path).contains("absent") || BY_ENGINE.contains(&name));
                }
            })*
        };
    }
    vnode_wasi::for_each_wasix!(each);
    let text = format!(
        r#"(module {imports}
            (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
            (memory (export "memory") 1)
            (global $absent (mut i32) (i32.const 0))
            (func $count (param $errno i32)
                (if (i32.eq (local.get $errno) (i32.const 58))
                    (then (global.set $absent (i32.add (global.get $absent) (i32.const 1))))))
            (func (export "_start")
                {calls}
                (if (i32.ne (call $spawn (i32.const 0)) (i32.const -58)) (then unreachable))
                (call $proc_exit (global.get $absent))))"#
    );
    let (outcome, _) = run(&compile(&text), Limits::default());
    assert!(
        matches!(outcome, Ok(Outcome::Exited(count)) if count as usize == absent),
        "{absent}: {outcome:?}"
    );
    assert!(absent > 40);
}

#[test]
fn what_cannot_answer_ends_the_process() {
    for (name, arguments) in [("proc_exec", 4), ("proc_exec2", 6)] {
        let text = format!(
            r#"(module
                (import "wasix_32v1" "{name}" (func $call (param {})))
                (memory (export "memory") 1)
                (func (export "_start") (call $call {})))"#,
            "i32 ".repeat(arguments),
            "(i32.const 0) ".repeat(arguments),
        );
        let (outcome, _) = run(&compile(&text), Limits::default());
        // The number of ENOENT: there is no program without a name.
        assert!(matches!(outcome, Ok(Outcome::Exited(44))), "{outcome:?}");
    }
}

#[test]
fn an_executor_has_no_programs_for_wasix() {
    let program = compile(&hello("(memory 1)"));
    let files = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&files).build(program.module()).unwrap();
    let outcome = pollster::block_on(program.run_async(guest));
    assert!(
        matches!(&outcome, Err(StartError::Instance(why)) if why.contains("threads of its own")),
        "{outcome:?}"
    );
}

/// Handles an alarm in code that makes no calls by so many turns of a loop, for ever with 0, and exits with 7.
fn handles(turns: u64) -> String {
    format!(
        r#"(module
            (import "wasix_32v1" "callback_signal" (func $callback (param i32 i32)))
            (import "wasix_32v1" "proc_raise_interval" (func $alarm (param i32 i64 i32) (result i32)))
            (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "handler")
            (global $handled (mut i32) (i32.const 0))
            (func (export "handler") (param i32) (local $turns i64)
                (local.set $turns (i64.const {turns}))
                (loop $again
                    (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
                    (br_if $again (i64.ne (local.get $turns) (i64.const 0))))
                (global.set $handled (i32.const 1)))
            (func (export "_start")
                (call $callback (i32.const 16) (i32.const 7))
                (drop (call $alarm (i32.const 14) (i64.const 1000000) (i32.const 0)))
                (loop $again (br_if $again (i32.eqz (global.get $handled))))
                (call $exit (i32.const 7))))"#
    )
}

#[test]
fn a_guest_that_is_killed_in_its_handler_ends_alone() {
    let engine = engine();
    let files = FilesystemRef::new(Memory::new());
    let compile = |turns| engine.compile(handles(turns).as_bytes()).unwrap();
    let (long, endless) = (compile(600_000_000), compile(0));
    for _ in 0..3 {
        let guest = |program: &Program| Guest::builder(&files).build(program.module()).unwrap();
        let (one, other) = (guest(&long), guest(&endless));
        let killer = other.killer();
        std::thread::scope(|scope| {
            let one = scope.spawn(|| long.run(one).unwrap());
            let other = scope.spawn(|| endless.run(other).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(60));
            killer.kill();
            let (one, other) = (one.join().unwrap(), other.join().unwrap());
            assert!(matches!(one, Outcome::Exited(7)), "{one:?}");
            assert!(matches!(other, Outcome::Killed), "{other:?}");
        });
    }
}
