//! WebAssembly's exceptions: through calls of the host, out of handlers of signals, to nobody.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

use std::time::Duration;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Limits, Outcome};

fn files() -> FilesystemRef {
    FilesystemRef::new(Memory::new())
}

/// Runs a guest whose body is `text`: what it imports is there already, and a tag with a number.
fn run(text: &str) -> Outcome {
    run_with("", text)
}

/// The same with further imports.
fn run_with(imports: &str, text: &str) -> Outcome {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasix_32v1" "proc_raise" (func $raise (param i32) (result i32)))
            (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
            (import "wasix_32v1" "callback_signal" (func $callback (param i32 i32)))
            {imports}
            (memory (export "memory") 1)
            (data (i32.const 0) "on_signal")
            (tag $number (param i32))
            (tag $other)
            {text})"#
    );
    let program = Engine::new(&EngineOptions::default()).unwrap().compile(text.as_bytes()).unwrap();
    let limits = Limits { time: Some(Duration::from_secs(20)), ..Limits::default() };
    program.run(Guest::builder(&files()).limits(limits).build(program.module()).unwrap()).unwrap()
}

#[test]
fn an_exception_is_caught_and_thrown_on() {
    let outcome = run(r#"
        (func $deep (param $depth i32)
            (drop (call $yield))
            (if (i32.eqz (local.get $depth)) (then (throw $number (i32.const 30))))
            (call $deep (i32.sub (local.get $depth) (i32.const 1)))
            (drop (call $yield)))
        ;; Another tag's handler is passed by.
        (func $passes
            (block $caught (try_table (catch $other $caught) (call $deep (i32.const 500)))))
        (func $rethrows
            (local $exception exnref)
            (block $caught (result i32 exnref)
                (try_table (catch_ref $number $caught) (call $passes))
                (unreachable))
            (local.set $exception)
            (drop)
            (drop (call $yield))
            (throw_ref (local.get $exception)))
        (func $adds
            (block $caught (result i32)
                (try_table (catch $number $caught) (call $rethrows))
                (unreachable))
            (throw $number (i32.add (i32.const 1))))
        (func (export "_start")
            (block $caught (result i32)
                (try_table (catch $number $caught) (call $adds))
                (unreachable))
            (call $exit))"#);
    assert!(matches!(outcome, Outcome::Exited(31)), "{outcome:?}");
}

#[test]
fn many_are_thrown_and_none_is_left() {
    let outcome = run(r#"
        (func $throws (param i32) (drop (call $yield)) (throw $number (local.get 0)))
        (func (export "_start")
            (local $round i32)
            (local $sum i32)
            (loop $more
                (block $caught (result i32)
                    (try_table (catch $number $caught) (call $throws (local.get $round)))
                    (unreachable))
                (local.set $sum (i32.add (local.get $sum)))
                (local.set $round (i32.add (local.get $round) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $round) (i32.const 2000))))
            (call $exit (i32.and (local.get $sum) (i32.const 0xff))))"#);
    assert!(matches!(outcome, Outcome::Exited(status) if status == (1999 * 1000) & 0xff), "{outcome:?}");
}

#[test]
fn a_handler_of_a_signal_throws_to_who_raised_it() {
    let outcome = run(r#"
        (func (export "on_signal") (param $signal i32) (throw $number (local.get $signal)))
        (func (export "_start")
            (local $sum i32)
            (local $rounds i32)
            (call $callback (i32.const 0) (i32.const 9))
            ;; Twice: the signal that was thrown out of is handled no more.
            (loop $more
                (block $caught (result i32)
                    (try_table (catch $number $caught) (drop (call $raise (i32.const 10))))
                    (unreachable))
                (local.set $sum (i32.add (local.get $sum)))
                (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $rounds) (i32.const 2))))
            (call $exit (local.get $sum)))"#);
    assert!(matches!(outcome, Outcome::Exited(20)), "{outcome:?}");
}

#[test]
fn a_handler_catches_its_own() {
    let outcome = run(r#"
        (global $seen (mut i32) (i32.const 0))
        (func (export "on_signal") (param $signal i32)
            (block $caught (result i32)
                (try_table (catch $number $caught) (throw $number (local.get $signal)))
                (unreachable))
            (global.set $seen))
        (func (export "_start")
            (call $callback (i32.const 0) (i32.const 9))
            (drop (call $raise (i32.const 12)))
            (call $exit (global.get $seen)))"#);
    assert!(matches!(outcome, Outcome::Exited(12)), "{outcome:?}");
}

/// The engine looks for who catches only from calls.
#[test]
fn a_handler_that_throws_into_code_without_calls_ends_the_guest() {
    let outcome = run(r#"
        (func (export "on_signal") (param $signal i32) (throw $number (local.get $signal)))
        (func (export "_start")
            (call $callback (i32.const 0) (i32.const 9))
            (drop (call $interval (i32.const 14) (i64.const 2000000) (i32.const 0)))
            (block $caught (result i32)
                (try_table (catch $number $caught) (loop $for_ever (br $for_ever)))
                (unreachable))
            (call $exit))"#);
    let Outcome::Trapped(trap) = outcome else { panic!("{outcome:?}") };
    assert!(trap.message.contains("uncaught exception"), "{}", trap.message);
}

#[test]
fn what_nobody_catches_ends_the_guest() {
    for body in [
        "(throw $number (i32.const 1))",
        "(throw_ref (ref.null exn))",
        "(block $caught (try_table (catch $other $caught) (throw $number (i32.const 1))))",
        "(call $callback (i32.const 0) (i32.const 9)) (drop (call $raise (i32.const 10)))",
    ] {
        let outcome = run(&format!(
            r#"(func (export "on_signal") (param i32) (throw $number (local.get 0)))
            (func (export "_start") {body})"#
        ));
        let Outcome::Trapped(trap) = outcome else { panic!("{body}: {outcome:?}") };
        let expected = if body.contains("ref.null") { "null" } else { "wasm trap: uncaught exception" };
        assert!(trap.message.contains(expected), "{body}: {}", trap.message);
    }
}

/// What C's jumps and C++'s exceptions are made of where they are: tags that may come from the host.
#[test]
fn tags_are_given_to_who_imports_them() {
    let tags = r#"(import "env" "__c_longjmp" (tag $longjmp (param i32)))
        (import "env" "__cpp_exception" (tag $cpp (param i32)))"#;
    let outcome = run_with(
        tags,
        r#"(func (export "_start")
            (block $caught (result i32)
                (try_table (catch $cpp $caught)
                    (block $jumped (result i32)
                        (try_table (catch $cpp $caught) (catch $longjmp $jumped) (throw $longjmp (i32.const 5)))
                        (unreachable))
                    (throw $cpp (i32.add (i32.const 2))))
                (unreachable))
            (call $exit))"#,
    );
    assert!(matches!(outcome, Outcome::Exited(7)), "{outcome:?}");
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    for (tag, refused) in [
        (r#"(import "env" "__c_longjmp" (tag (param i32)))"#, None),
        (r#"(import "env" "__c_longjmp" (tag (param i64)))"#, Some("another type")),
        (r#"(import "env" "__c_longjmp" (func))"#, Some("another type")),
        (r#"(import "env" "other" (tag (param i32)))"#, Some("env.other")),
        (r#"(import "other" "__c_longjmp" (tag (param i32)))"#, Some("other.__c_longjmp")),
    ] {
        let module = format!(r#"(module {tag} (func (export "_start")))"#);
        let told = engine.compile(module.as_bytes()).map(|_| ()).map_err(|error| error.to_string());
        match refused {
            None => assert_eq!(told, Ok(()), "{tag}"),
            Some(what) => assert!(told.as_ref().is_err_and(|told| told.contains(what)), "{tag}: {told:?}"),
        }
    }
    let module = format!(r#"(module {tags} (memory (export "memory") 1) (func (export "_start")))"#);
    let program = engine.compile(module.as_bytes()).unwrap();
    let guest = || Guest::builder(&files()).build(program.module()).unwrap();
    assert!(matches!(program.run(guest()), Ok(Outcome::Exited(0))));
    assert!(matches!(program.run(guest()), Ok(Outcome::Exited(0))), "each guest has its own");
}
