//! `setjmp` and `longjmp` of programs for WASIX: the host unwinds the guest's stack and rewinds it. That what a program
//! sees is what C says is tested with the command (`crates/cli/tests/guests.rs`).

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Limits, Outcome, Program};

fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

fn built(engine: &Engine, name: &str) -> Program {
    let path = format!("{}/../../guests/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    engine.compile(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs a guest; how it ended, and what it said.
fn run(program: &Program, argument: &str, limits: Limits) -> (Outcome, String) {
    let output = Arc::new(Capture::new(1 << 16));
    let files = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&files).preopen("/", "/").args(["guest", argument]).stdout(output.clone());
    let outcome = program.run(guest.limits(limits).build(program.module()).unwrap()).unwrap();
    (outcome, String::from_utf8_lossy(&output.contents()).into_owned())
}

/// What a guest that trapped was told.
fn trapped(program: &Program, argument: &str) -> (String, String) {
    match run(program, argument, Limits::default()) {
        (Outcome::Trapped(trap), said) => (trap.message, said),
        other => panic!("{argument}: {other:?}"),
    }
}

#[test]
fn jumps_to_nowhere_end_the_guest() {
    let engine = engine();
    let stray = built(&engine, "strayjumps");
    for way in ["zero", "invented", "gone"] {
        let (message, said) = trapped(&stray, way);
        assert!(message.contains("is not there"), "{way}: {message}");
        assert_eq!(said, "", "{way}");
    }
    assert!(matches!(run(&stray, "", Limits::default()).0, Outcome::Exited(0)));
}

#[test]
fn the_newest_of_many_snapshots_are_kept() {
    let (message, said) = trapped(&built(&engine(), "strayjumps"), "many");
    assert_eq!(said, "jumped to the last, 100000 made\n");
    assert!(message.contains("is not there"), "the first: {message}");
}

#[test]
fn snapshots_count_as_memory() {
    let stray = built(&engine(), "strayjumps");
    let limits = Limits { memory: Some(4 << 20), ..Limits::default() };
    let (outcome, said) = run(&stray, "many", limits);
    assert!(matches!(outcome, Outcome::Trapped(_)), "{outcome:?}");
    assert_eq!(said, "jumped to the last, 100000 made\n", "fewer are kept");
}

#[test]
fn a_stack_too_deep_to_be_unwound_is_told() {
    let (message, said) = trapped(&built(&engine(), "strayjumps"), "deep");
    assert_eq!(said, "1 deep: 0\n10 deep: 0\n100 deep: 0\n1000 deep: 0\ndeep: 0\n");
    assert!(message.contains("deeper than there is room for"), "{message}");
}

#[test]
fn guests_at_once_have_nothing_in_common() {
    let engine = engine();
    let jumps = built(&engine, "jumps");
    let alone = run(&jumps, "/work", Limits::default());
    assert!(matches!(alone.0, Outcome::Exited(0)), "{alone:?}");
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let (outcome, said) = run(&jumps, "/work", Limits::default());
                        assert!(matches!(outcome, Outcome::Exited(0)), "{outcome:?}");
                        assert_eq!(said, alone.1);
                    }
                })
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
    });
}

/// A module with functions in the place of asyncify's.
fn fake(asyncify: &str, start: &str) -> (Outcome, Duration) {
    let text = format!(
        r#"(module
            (import "wasix_32v1" "stack_checkpoint" (func $checkpoint (param i32 i32) (result i32)))
            (import "wasix_32v1" "stack_restore" (func $restore (param i32 i64)))
            (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
            (import "wasix_32v1" "callback_signal" (func $callback (param i32 i32)))
            (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 2)
            (data (i32.const 65536) "on_signal")
            (global $area (mut i32) (i32.const 0))
            (global $rewinds (mut i32) (i32.const 0))
            (global $calls (export "calls") (mut i32) (i32.const 0))
            (func (export "on_signal") (param i32))
            (func $mark (param $at i32) (drop (call $checkpoint (local.get $at) (i32.const 65600))))
            {asyncify}
            (func (export "_start") {start}))"#
    );
    let program = engine().compile(text.as_bytes()).unwrap();
    let begun = Instant::now();
    let limits = Limits { time: Some(Duration::from_millis(500)), ..Limits::default() };
    (run(&program, "", limits).0, begun.elapsed())
}

const UNWINDS: &str = r#"
    (func (export "asyncify_start_unwind") (param i32)
        (global.set $area (local.get 0))
        ;; One frame of 4 bytes.
        (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 4))))
    (func (export "asyncify_stop_unwind"))"#;
const REWINDS: &str = r#"
    (func (export "asyncify_start_rewind") (param i32)
        (global.set $rewinds (i32.const 1))
        (i32.store (local.get 0) (i32.sub (i32.load (local.get 0)) (i32.const 4))))
    (func (export "asyncify_stop_rewind") (global.set $rewinds (i32.const 0)))"#;

#[test]
fn a_module_that_only_says_it_unwinds_ends_by_itself() {
    let with = |unwinds: &str, rewinds: &str, start: &str| fake(&format!("{unwinds}{rewinds}"), start).0;
    let mark = "(call $mark (i32.const 65640))";
    let head = |next: &str| {
        format!(
            r#"(func (export "asyncify_start_unwind") (param i32) (i32.store (local.get 0) (i32.const {next})))
            (func (export "asyncify_stop_unwind"))"#
        )
    };
    let says = |outcome: Outcome, what: &str| {
        let Outcome::Trapped(trap) = outcome else { panic!("{outcome:?}, not {what}") };
        assert!(trap.message.contains(what), "{}", trap.message);
    };
    // As it should be.
    let end = format!("{mark} (call $exit (i32.const 9))");
    let once = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) {mark}
        (if (i32.eq (global.get $calls) (i32.const 2)) (then (call $exit (i32.const 9))))"
    );
    assert!(matches!(with(UNWINDS, REWINDS, &end), Outcome::Exited(9)), "it goes on instead of unwinding");
    assert!(matches!(with(UNWINDS, REWINDS, &once), Outcome::Exited(9)), "it unwinds and rewinds");
    // Nothing, too much, elsewhere.
    says(with(&head("0"), REWINDS, mark), "not unwound");
    says(with(&head("24"), REWINDS, mark), "not unwound");
    says(with(&head("-1"), REWINDS, mark), "deeper");
    says(with(&head("200000"), REWINDS, mark), "deeper");
    // Rewound to nothing, or elsewhere.
    says(
        with(UNWINDS, REWINDS, "(if (global.get $area) (then (return))) (call $mark (i32.const 65640))"),
        "not rewound",
    );
    says(
        with(
            UNWINDS,
            REWINDS,
            "(if (global.get $area) (then (call $restore (i32.const 65640) (i64.const 1)))) (call $mark (i32.const 65640))",
        ),
        "not rewound",
    );
    says(with(UNWINDS, &REWINDS.replace("i32.const 4", "i32.const 3"), &once), "not rewound");
    // One in the other.
    says(with(UNWINDS, REWINDS, &format!("{mark} {mark}")), "not unwound");
    let nested = UNWINDS.replace(r#"stop_unwind")"#, r#"stop_unwind") (call $mark (i32.const 65640))"#);
    says(with(&nested, REWINDS, mark), "not unwound");
    let nested = UNWINDS.replace("(global.set $area (local.get 0))", "(call $mark (i32.const 65640))");
    says(with(&nested, REWINDS, mark), "not unwound");
    // What they trap in.
    let traps = UNWINDS.replace(r#"stop_unwind")"#, r#"stop_unwind") (unreachable)"#);
    says(with(&traps, REWINDS, mark), "unreachable");
}

/// A module that doesn't say where its stack is: what is in the way is back before it goes on.
#[test]
fn memory_that_is_in_use_is_as_before() {
    let start = "
        (if (i32.eqz (global.get $rewinds))
            (then (memory.fill (i32.const 0) (i32.const 0x5a) (i32.const 131072))))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $mark (i32.const 65640))
        ;; As asyncify's functions do, when they are unwound.
        (if (i32.eq (global.get $calls) (i32.const 1)) (then (return)))
        ;; What the call has written: a name of 24 bytes, a value of 8.
        (memory.fill (i32.const 65640) (i32.const 0x5a) (i32.const 24))
        (memory.fill (i32.const 65600) (i32.const 0x5a) (i32.const 8))
        (loop $more
            (if (i32.ne (i32.load8_u (global.get $at)) (i32.const 0x5a)) (then (call $exit (global.get $at))))
            (global.set $at (i32.add (global.get $at) (i32.const 1)))
            (br_if $more (i32.lt_u (global.get $at) (i32.const 131072))))
        (call $exit (i32.const 131072))";
    let module = format!("(global $at (mut i32) (i32.const 0)){UNWINDS}{REWINDS}");
    let (outcome, _) = fake(&module, start);
    assert!(matches!(outcome, Outcome::Exited(131_072)), "{outcome:?}");
}

#[test]
fn a_module_that_never_comes_back_is_killed() {
    // The host calls it again and again.
    let (outcome, time) = fake(
        &format!("{UNWINDS}{REWINDS}"),
        "(if (global.get $rewinds) (then (call $mark (i32.const 65640)))) (call $mark (i32.const 65640))",
    );
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
    assert!(time < Duration::from_secs(2), "{time:?}");
    // Or it stays in the middle, with signals coming.
    let start = "(call $callback (i32.const 65536) (i32.const 9))
        (drop (call $interval (i32.const 14) (i64.const 1000000) (i32.const 1)))
        (call $mark (i32.const 65640))
        (loop $more (drop (call $sleep (i64.const 100000000))) (br $more))";
    let (outcome, time) = fake(&format!("{UNWINDS}{REWINDS}"), start);
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
    assert!(time < Duration::from_secs(2), "{time:?}");
}

#[test]
fn guests_are_killed_wherever_they_are() {
    let engine = engine();
    let (stray, jumps) = (built(&engine, "strayjumps"), built(&engine, "jumps"));
    let alone = run(&jumps, "/work", Limits::default()).1;
    std::thread::scope(|scope| {
        let victims = scope.spawn(|| {
            for time in 0..20 {
                let limits = Limits { time: Some(Duration::from_millis(20 + time)), ..Limits::default() };
                let begun = Instant::now();
                let (outcome, said) = run(&stray, "endless", limits);
                assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}, {said}");
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            }
        });
        while !victims.is_finished() {
            assert_eq!(run(&jumps, "/work", Limits::default()).1, alone);
        }
        victims.join().unwrap();
    });
}
