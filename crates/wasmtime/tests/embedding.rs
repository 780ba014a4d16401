//! The crate as embedders use it: their own stores, streams, limits; several guests on one engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vnode_core::{Credentials, Errno, FilesystemRef, MountFlags};
use vnode_kernel::{Event, Observer};
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{
    Engine, EngineOptions, Guest, GuestBuilder, Limits, Outcome, Program, StartError, Unrunnable,
    add_to_linker_sync, attach, config, outcome,
};
use wasmtime::{Instance, Linker, Module, Store};

/// What most guests here import and have: a memory with an iovec at 0 that points to 100.
const PRELUDE: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\64\00\00\00\05\00\00\00")
"#;

fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

fn compile(engine: &Engine, body: &str) -> Program {
    engine.compile(format!("(module {PRELUDE} {body})").as_bytes()).unwrap()
}

fn files() -> FilesystemRef {
    FilesystemRef::new(Memory::new())
}

fn run(program: &Program, builder: GuestBuilder) -> Outcome {
    program.run(builder.build(program.module()).unwrap()).unwrap()
}

/// The status of a guest with this body and an empty filesystem.
fn status(body: &str, builder: impl FnOnce(GuestBuilder) -> GuestBuilder) -> u32 {
    let program = compile(&engine(), body);
    match run(&program, builder(Guest::builder(&files()))) {
        Outcome::Exited(status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn returning_is_status_0_and_exits_are_told_whole() {
    assert_eq!(status(r#"(func (export "_start"))"#, |guest| guest), 0);
    assert_eq!(status(r#"(func (export "_start") (call $exit (i32.const 300)))"#, |guest| guest), 300);
}

#[test]
fn streams_are_what_the_embedder_gives() {
    // Echoes five bytes, and says on stderr that it did.
    let body = r#"(func (export "_start")
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.const 2))
        (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))))"#;
    let engine = engine();
    let program = compile(&engine, body);
    let (out, err) = (Arc::new(Capture::new(100)), Arc::new(Capture::new(100)));
    let guest = Guest::builder(&files()).stdin_bytes(*b"hello").stdout(out.clone()).stderr(err.clone());
    assert!(matches!(run(&program, guest), Outcome::Exited(0)));
    assert_eq!((&out.contents()[..], &err.contents()[..]), (&b"hello"[..], &b"he"[..]));

    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"piped").unwrap();
    let (mut result, sink) = std::io::pipe().unwrap();
    let guest = Guest::builder(&files()).stdin_reader(reader).stdout_writer(sink);
    assert!(matches!(run(&program, guest), Outcome::Exited(0)));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut result, &mut text).unwrap();
    assert_eq!(text, "piped");
}

#[test]
fn arguments_arrive() {
    let body = r#"(func (export "_start")
        (drop (call $args_sizes (i32.const 200) (i32.const 204)))
        (drop (call $args (i32.const 300) (i32.const 100)))
        (i32.store (i32.const 4) (i32.load (i32.const 204)))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (i32.load (i32.const 200))))"#;
    let out = Arc::new(Capture::new(100));
    let given = out.clone();
    assert_eq!(status(body, |guest| guest.arg("name").args(["a", "b c"]).stdout(given)), 3);
    assert_eq!(out.contents(), b"name\0a\0b c\0");
}

#[test]
fn memory_past_its_limit_is_refused_to_the_guest() {
    let body = r#"(func (export "_start")
        (call $exit (i32.add
            (i32.mul (memory.grow (i32.const 1)) (i32.const 10))
            (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))))"#;
    // One page at the start, two allowed: the first growth answers 1, the second -1.
    let limits = Limits { memory: Some(128 << 10), ..Limits::default() };
    assert_eq!(status(body, |guest| guest.limits(limits)), 11);
    assert_eq!(status(body, |guest| guest), 10);

    let program = compile(&engine(), body);
    let limits = Limits { memory: Some(1000), ..Limits::default() };
    let guest = Guest::builder(&files()).limits(limits).build(program.module()).unwrap();
    assert!(matches!(program.run(guest), Err(StartError::Instance(_))));
}

#[test]
fn a_shared_memory_that_could_pass_the_limit_is_not_started() {
    let text = r#"(module (memory (export "memory") 1 100 shared) (func (export "_start")))"#;
    let program = engine().compile(text.as_bytes()).unwrap();
    let start = |pages: u64| {
        let limits = Limits { memory: Some(pages << 16), ..Limits::default() };
        program.run(Guest::builder(&files()).limits(limits).build(program.module()).unwrap())
    };
    assert!(matches!(start(99), Err(StartError::SharedMemory { .. })));
    assert!(matches!(start(100), Ok(Outcome::Exited(0))));
}

#[test]
fn a_shared_memory_takes_results() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1 2 shared)
        (func (export "_start")
            (drop (memory.grow (i32.const 1)))
            (call $exit (i32.add
                (call $args_sizes (i32.const 131064) (i32.const 131068))
                (i32.load (i32.const 131064))))))"#;
    let program = engine().compile(text.as_bytes()).unwrap();
    let outcome = run(&program, Guest::builder(&files()).args(["a", "b"]));
    assert!(matches!(outcome, Outcome::Exited(2)), "{outcome:?}");
}

#[test]
fn table_elements_past_their_limit_are_refused() {
    let body = r#"(table $t 2 funcref)
        (func (export "_start") (call $exit (i32.add
            (table.grow $t (ref.null func) (i32.const 3))
            (i32.mul (i32.const 10) (i32.eq (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))))))"#;
    let limits = Limits { table_elements: Some(5), ..Limits::default() };
    assert_eq!(status(body, |guest| guest.limits(limits)), 12);
}

#[test]
fn open_files_past_their_limit_are_emfile() {
    // Opens "." again and again, and exits with the number of descriptors and the error (EMFILE is 33).
    let body = r#"(data (i32.const 100) ".")
        (func (export "_start") (local $n i32) (local $errno i32)
            (loop $more
                (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1)
                    (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))
                (if (i32.eqz (local.get $errno)) (then
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br $more))))
            (call $exit (i32.add (i32.mul (local.get $n) (i32.const 100)) (local.get $errno))))"#;
    assert_eq!(status(body, |guest| guest.preopen("/", "/").open_files(10)), 633);
}

const SPIN: &str = r#"(func (export "_start") (loop $again (br $again)))"#;

#[test]
fn time_ends_a_guest_that_runs_and_one_that_waits() {
    let wait = r#"(func (export "_start")
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (i32.const 9)))"#;
    let engine = engine();
    let (reader, writer) = std::io::pipe().unwrap();
    for body in [SPIN, wait] {
        let program = compile(&engine, body);
        let limits = Limits { time: Some(Duration::from_millis(100)), ..Limits::default() };
        let out = Arc::new(Capture::new(1));
        let guest = Guest::builder(&files())
            .limits(limits)
            .stdin_reader(reader.try_clone().unwrap())
            .stdout(out.clone());
        let start = Instant::now();
        assert!(matches!(run(&program, guest), Outcome::TimedOut), "{body}");
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert_eq!(Arc::strong_count(&out), 1, "the guest is gone, not left behind");
    }
    drop(writer);
}

#[test]
fn a_guest_that_no_epoch_reaches_is_left_behind() {
    let text = r#"(module (memory (export "memory") 1 1 shared)
        (func (export "_start") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    let program = engine().compile(text.as_bytes()).unwrap();
    let limits = Limits { time: Some(Duration::from_millis(50)), ..Limits::default() };
    let out = Arc::new(Capture::new(1));
    let guest = Guest::builder(&files()).limits(limits).stdout(out.clone());
    assert!(matches!(run(&program, guest), Outcome::TimedOut));
    assert!(Arc::strong_count(&out) > 1, "its thread still has it");
}

#[test]
fn a_kill_ends_the_one_that_is_meant() {
    let engine = engine();
    let program = compile(&engine, SPIN);
    let guests: Vec<Guest> =
        (0..2).map(|_| Guest::builder(&files()).build(program.module()).unwrap()).collect();
    let killers: Vec<_> = guests.iter().map(Guest::killer).collect();
    let threads: Vec<_> = guests
        .into_iter()
        .map(|guest| {
            let program = program.clone();
            std::thread::spawn(move || program.run(guest).unwrap())
        })
        .collect();
    killers[0].kill();
    let mut threads = threads.into_iter();
    assert!(matches!(threads.next().unwrap().join().unwrap(), Outcome::Killed));
    let other = threads.next().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!other.is_finished(), "the other guest of the engine goes on");
    killers[1].kill();
    assert!(matches!(other.join().unwrap(), Outcome::Killed));
}

#[test]
fn a_guest_that_is_killed_before_it_starts_ends_at_once() {
    let program = compile(&engine(), SPIN);
    let guest = Guest::builder(&files()).build(program.module()).unwrap();
    guest.killer().kill();
    assert!(matches!(program.run(guest), Ok(Outcome::Killed)));
}

#[test]
fn a_trap_ends_one_guest_and_names_its_functions() {
    let engine = engine();
    let bad = compile(&engine, r#"(func $inner unreachable) (func (export "_start") (call $inner))"#);
    let good = compile(&engine, r#"(func (export "_start"))"#);
    let fs = files();
    for _ in 0..2 {
        match run(&bad, Guest::builder(&fs)) {
            Outcome::Trapped(trap) => {
                assert!(trap.message.contains("unreachable"), "{}", trap.message);
                assert!(trap.backtrace.contains("!inner"), "{}", trap.backtrace);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(run(&good, Guest::builder(&fs)), Outcome::Exited(0)));
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    let program = compile(&engine(), r#"(func $f (export "_start") (call $f) (call $f))"#);
    match run(&program, Guest::builder(&files())) {
        Outcome::Trapped(trap) => assert!(trap.message.contains("stack exhausted"), "{}", trap.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deep_stack_goes_deep() {
    // Recurses 100,000 times; each frame takes some tens of bytes.
    let body = r#"(func $f (param $n i32) (result i32)
            (if (result i32) (local.get $n)
                (then (i32.add (i32.const 1) (call $f (i32.sub (local.get $n) (i32.const 1)))))
                (else (i32.const 0))))
        (func (export "_start") (call $exit (call $f (i32.const 100000))))"#;
    let end = |stack| {
        let program =
            compile(&Engine::new(&EngineOptions { stack, ..EngineOptions::default() }).unwrap(), body);
        run(&program, Guest::builder(&files()))
    };
    assert!(matches!(end(16 << 20), Outcome::Exited(100_000)));
    assert!(matches!(end(64 << 10), Outcome::Trapped(_)));
}

/// Panics when it is told of a call, as an error in the kernel would.
struct Panics;

impl Observer for Panics {
    fn wants_text(&self) -> bool {
        false
    }

    fn called(&self, _: &Event<'_>) {
        panic!("told of a call");
    }
}

#[test]
fn a_panic_in_a_call_ends_that_guest_only() {
    let engine = engine();
    let body = r#"(func (export "_start") (drop (call $fd_close (i32.const 77))))"#;
    let program = compile(&engine, body);
    let fs = files();
    match run(&program, Guest::builder(&fs).observer(Arc::new(Panics))) {
        Outcome::Trapped(trap) => {
            assert_eq!(trap.message, "vnode has an error in fd_close: told of a call");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(run(&program, Guest::builder(&fs)), Outcome::Exited(0)));
}

#[test]
fn guests_share_the_filesystems_they_are_given() {
    // Creates "f" in the first preopen, exclusively.
    let body = r#"(data (i32.const 100) "f")
        (func (export "_start") (call $exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1)
            (i32.const 5) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8))))"#;
    let program = compile(&engine(), body);
    let (root, data) = (files(), files());
    let guest = |flags| Guest::builder(&root).mount("/a/data", &data, flags).preopen("d", "/a/data");
    let statuses: Vec<_> = [MountFlags::READ_ONLY, MountFlags::empty(), MountFlags::empty()]
        .into_iter()
        .map(|flags| match run(&program, guest(flags)) {
            Outcome::Exited(status) => status,
            other => panic!("{other:?}"),
        })
        .collect();
    // EROFS, done, EEXIST.
    assert_eq!(statuses, [69, 0, 20]);
    // As nobody, in a directory of root's: EACCES.
    let program = compile(&engine(), &body.replace("\"f\"", "\"g\""));
    let nobody = guest(MountFlags::empty()).credentials(Credentials::user(9, 9, &[]));
    assert!(matches!(run(&program, nobody), Outcome::Exited(2)));
}

#[test]
fn mistakes_are_told_when_the_guest_is_built() {
    let program = compile(&engine(), SPIN);
    let fails = |builder: GuestBuilder| builder.build(program.module()).unwrap_err();
    let error = fails(Guest::builder(&files()).preopen("x", "/x"));
    assert_eq!((error.what.as_str(), error.errno), ("open /x", Errno::NOENT));
    let error = fails(Guest::builder(&files()).mount("x", &files(), MountFlags::empty()));
    assert_eq!((error.what.as_str(), error.errno), ("mount x", Errno::INVAL));
    assert_eq!(fails(Guest::builder(&files()).cwd("/x")).errno, Errno::NOENT);
    assert_eq!(fails(Guest::builder(&files()).arg("a\0b")).errno, Errno::INVAL);
    assert_eq!(fails(Guest::builder(&files()).env("A=", "b\0")).errno, Errno::INVAL);
}

struct Host {
    guest: Guest,
    calls: u64,
}

#[test]
fn the_imports_go_into_any_linker_beside_the_embedders_own() {
    let engine = wasmtime::Engine::new(&config()).unwrap();
    let text = format!(
        r#"(module (import "mine" "add" (func $add (param i64))) {PRELUDE}
            (func (export "_start") (call $add (i64.const 40)) (call $exit (i32.const 5))))"#
    );
    let module = Module::new(&engine, text).unwrap();
    let mut linker = Linker::<Host>::new(&engine);
    add_to_linker_sync(&mut linker, |host| &mut host.guest).unwrap();
    linker
        .func_wrap("mine", "add", |mut caller: wasmtime::Caller<'_, Host>, more: u64| {
            caller.data_mut().calls += more;
        })
        .unwrap();
    let guest = Guest::builder(&files()).build(&module).unwrap();
    let mut store = Store::new(&engine, Host { guest, calls: 2 });
    attach(&mut store, |host| &mut host.guest);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    let result = start.call(&mut store, ());
    assert!(matches!(outcome(&store.data().guest, result), Outcome::Exited(5)));
    assert_eq!(store.data().calls, 42);
}

#[test]
fn every_instance_of_a_store_gets_results_in_its_own_memory() {
    let engine = wasmtime::Engine::new(&config()).unwrap();
    let probe = |page: u32| {
        let text = format!(
            r#"(module {PRELUDE}
                (func (export "probe") (result i32)
                    (drop (call $args_sizes (i32.const {0}) (i32.const {1})))
                    (i32.load (i32.const {0})))
                (func (export "peek") (result i32) (i32.load (i32.const {0}))))"#,
            page * 8,
            page * 8 + 4
        );
        Module::new(&engine, text).unwrap()
    };
    let modules = [probe(100), probe(100), probe(200)];
    let mut linker = Linker::<Guest>::new(&engine);
    add_to_linker_sync(&mut linker, |guest| guest).unwrap();
    let guest = Guest::builder(&files()).args(["a", "b", "c"]).build(&modules[0]).unwrap();
    let mut store = Store::new(&engine, guest);
    attach(&mut store, |guest| guest);
    // Two instances of the module that the guest was made for, and one of each other.
    let instances: Vec<Instance> = [&modules[0], &modules[0], &modules[1], &modules[2]]
        .into_iter()
        .map(|module| linker.instantiate(&mut store, module).unwrap())
        .collect();
    for (at, instance) in instances.iter().enumerate() {
        for other in &instances[at..] {
            let peek = other.get_typed_func::<(), i32>(&mut store, "peek").unwrap();
            assert_eq!(peek.call(&mut store, ()).unwrap(), 0);
        }
        let probe = instance.get_typed_func::<(), i32>(&mut store, "probe").unwrap();
        assert_eq!(probe.call(&mut store, ()).unwrap(), 3);
    }
}

#[test]
fn an_instance_without_a_memory_has_no_addresses() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func (export "_start") (call $exit (call $args_sizes (i32.const 0) (i32.const 4)))))"#;
    let program = engine().compile(text.as_bytes()).unwrap();
    // EFAULT.
    assert!(matches!(run(&program, Guest::builder(&files())), Outcome::Exited(21)));
}

#[derive(Default)]
struct Calls(AtomicU64);

impl Observer for Calls {
    fn wants_text(&self) -> bool {
        true
    }

    fn called(&self, event: &Event<'_>) {
        assert_eq!((event.call, event.args, event.result), ("fd_close", "77", Err(Errno::BADF)));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn observers_are_told_of_each_call() {
    let body = r#"(func (export "_start") (drop (call $fd_close (i32.const 77))))"#;
    let calls = Arc::new(Calls::default());
    let given = calls.clone();
    assert_eq!(status(body, |guest| guest.observer(given)), 0);
    assert_eq!(calls.0.load(Ordering::Relaxed), 1);
}

#[test]
fn imports_of_another_type_are_named() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))
        (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
        (func (export "_start")))"#;
    match engine().compile(text.as_bytes()).err().unwrap() {
        Unrunnable::Imports(imports) => {
            assert_eq!(imports.len(), 1);
            assert!(imports[0].to_string().contains("fd_close, but with another type"), "{}", imports[0]);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_cache_gives_what_was_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let options = EngineOptions { cache: Some(directory.path().join("modules")), ..EngineOptions::default() };
    let text = format!("(module {PRELUDE} {SPIN})");
    let first = Engine::new(&options).unwrap().compile(text.as_bytes()).unwrap();
    assert!(!first.is_cached());
    let second = Engine::new(&options).unwrap().compile(text.as_bytes()).unwrap();
    assert!(second.is_cached());
}
