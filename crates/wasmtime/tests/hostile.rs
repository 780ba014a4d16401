//! Addresses, lengths and numbers that no libc passes, straight at the imports: every call answers an error
//! number, and changes nothing that it was not asked to.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, OnceLock};

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, add_to_linker_sync, attach};
use wasmtime::{Linker, Module, Store, Val, ValType};

/// WASI's numbers.
const EFAULT: i32 = 21;
const EINVAL: i32 = 28;
const ENAMETOOLONG: i32 = 37;

/// A module that calls any import with the arguments it is given: one export for each.
fn module_of_all(engine: &wasmtime::Engine, linker: &Linker<Guest>, store: &mut Store<Guest>) -> Module {
    let mut imports = String::new();
    let mut exports = String::new();
    let functions: Vec<_> = linker
        .iter(&mut *store)
        .map(|(module, name, item)| (module.to_owned(), name.to_owned(), item.into_func()))
        .collect();
    for (number, (module, name, function)) in functions.into_iter().enumerate() {
        let ty = function.unwrap().ty(&mut *store);
        let params: Vec<String> = ty.params().map(|param| param.to_string()).collect();
        let results: Vec<String> = ty.results().map(|result| result.to_string()).collect();
        let signature = format!("(param {}) (result {})", params.join(" "), results.join(" "));
        imports += &format!("(import \"{module}\" \"{name}\" (func $f{number} {signature}))\n");
        let arguments: String = (0..params.len()).map(|at| format!("(local.get {at}) ")).collect();
        exports +=
            &format!("(func (export \"{module}.{name}\") {signature} (call $f{number} {arguments}))\n");
    }
    let text = format!("(module {imports} (memory (export \"memory\") 2 2) {exports})");
    Module::new(engine, text).unwrap()
}

struct Caller {
    store: Store<Guest>,
    instance: wasmtime::Instance,
}

/// The module, compiled once.
fn compiled() -> &'static (Linker<Guest>, Module) {
    static COMPILED: OnceLock<(Linker<Guest>, Module)> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let engine = wasmtime::Engine::new(&vnode_wasmtime::config()).unwrap();
        let mut linker = Linker::<Guest>::new(&engine);
        add_to_linker_sync(&mut linker, |guest| guest).unwrap();
        let empty = Module::new(&engine, "(module)").unwrap();
        let guest = Guest::builder(&FilesystemRef::new(Memory::new())).build(&empty).unwrap();
        let module = module_of_all(&engine, &linker, &mut Store::new(&engine, guest));
        (linker, module)
    })
}

impl Caller {
    fn new() -> Caller {
        let (linker, module) = compiled();
        let engine = module.engine();
        let fs = FilesystemRef::new(Memory::builder().bounded(1 << 20).build());
        let guest = Guest::builder(&fs)
            .preopen("/", "/")
            .args(["program", "argument"])
            .env("NAME", "value")
            .stdin_bytes(*b"some input")
            .stdout(Arc::new(Capture::new(1000)))
            .open_files(64);
        let mut store = Store::new(engine, guest.build(module).unwrap());
        attach(&mut store, |guest| guest);
        let instance = linker.instantiate(&mut store, module).unwrap();
        Caller { store, instance }
    }

    /// Calls an import; its result, or nothing if it ended the guest.
    fn call(&mut self, name: &str, arguments: &[i64]) -> Option<i32> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let ty = function.ty(&self.store);
        let values: Vec<Val> = ty
            .params()
            .zip(arguments)
            .map(|(ty, &argument)| match ty {
                ValType::I32 => Val::I32(argument as i32),
                _ => Val::I64(argument),
            })
            .collect();
        assert_eq!(values.len(), ty.params().len(), "{name}");
        let mut results = vec![Val::I32(0); ty.results().len()];
        match function.call(&mut self.store, &values, &mut results) {
            Ok(()) => results.first().map(|result| result.unwrap_i32()),
            Err(error) => {
                // A timer that was set before ends it anywhere.
                let interrupted = error.downcast_ref() == Some(&wasmtime::Trap::Interrupt);
                let ended = error.is::<vnode_wasmtime::Ended>() || interrupted;
                assert!(ended, "{name}{arguments:?}: {error:?}");
                None
            }
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.write(&mut self.store, at, bytes).unwrap();
    }

    fn bytes(&mut self) -> Vec<u8> {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.data(&self.store).to_vec()
    }
}

const PREVIEW1: &str = "wasi_snapshot_preview1";

#[test]
fn results_that_lie_outside_are_efault_and_nothing_is_done() {
    let mut caller = Caller::new();
    caller.write(0, b"name");
    let end = 2 << 16;
    let before = caller.bytes();
    for at in [end - 1, end, i64::from(u32::MAX), i64::from(u32::MAX) - 3, 1 << 31] {
        for (name, arguments) in [
            ("args_sizes_get", vec![at, 8]),
            ("args_sizes_get", vec![8, at]),
            ("args_get", vec![at, 8]),
            ("clock_time_get", vec![0, 1, at]),
            ("fd_filestat_get", vec![3, at]),
            ("fd_prestat_get", vec![3, at]),
            ("fd_read", vec![0, at, 1, 8]),
            // Creates nothing: the place for the descriptor is checked first.
            ("path_open", vec![3, 0, 0, 4, 1, 64, 0, 0, at]),
            ("path_filestat_get", vec![3, 0, 0, 4, at]),
            ("poll_oneoff", vec![at, 8, 1, 16]),
            ("random_get", vec![at, 2]),
        ] {
            let errno = caller.call(&format!("{PREVIEW1}.{name}"), &arguments);
            assert_eq!(errno, Some(EFAULT), "{name}{arguments:?}");
        }
    }
    assert_eq!(caller.bytes(), before);
    let open = format!("{PREVIEW1}.path_open");
    assert_eq!(caller.call(&open, &[3, 0, 0, 4, 1 | 4, 64, 0, 0, 64]), Some(0), "it was not created before");
}

#[test]
fn paths_and_vectors_are_bounded() {
    let mut caller = Caller::new();
    let mkdir = format!("{PREVIEW1}.path_create_directory");
    assert_eq!(caller.call(&mkdir, &[3, (2 << 16) - 2, 4]), Some(EFAULT));
    assert_eq!(caller.call(&mkdir, &[3, 0, 4096]), Some(ENAMETOOLONG));
    assert_eq!(caller.call(&mkdir, &[3, 0, i64::from(u32::MAX)]), Some(EFAULT));
    // A path of NUL bytes.
    assert_eq!(caller.call(&mkdir, &[3, 0, 4]), Some(EINVAL));
    let write = format!("{PREVIEW1}.fd_write");
    assert_eq!(caller.call(&write, &[1, 0, 1025, 8]), Some(EINVAL));
    assert_eq!(caller.call(&write, &[1, 0, i64::from(u32::MAX), 8]), Some(EINVAL));
    // Many empty vectors, anywhere.
    caller.write(1000, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0].repeat(1024));
    assert_eq!(caller.call(&write, &[1, 1000, 1024, 8]), Some(0));
}

#[test]
fn zero_bytes_anywhere_are_fine() {
    let mut caller = Caller::new();
    for at in [0, 2 << 16, i64::from(u32::MAX)] {
        assert_eq!(caller.call(&format!("{PREVIEW1}.random_get"), &[at, 0]), Some(0), "{at}");
        assert_eq!(caller.call(&format!("{PREVIEW1}.fd_write"), &[1, at, 0, 8]), Some(0), "{at}");
    }
}

/// A small generator of numbers, so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// What breaks checks: edges of the memory and of the numbers, small numbers, anything.
    fn argument(&mut self) -> i64 {
        const EDGES: [i64; 16] = [
            0,
            1,
            2,
            3,
            4,
            7,
            8,
            64,
            0xffff,
            0x1_0000,
            0x1_fff8,
            0x2_0000,
            0x7fff_ffff,
            0x8000_0000,
            -1,
            i64::MIN,
        ];
        match self.next() % 3 {
            0 => EDGES[(self.next() % EDGES.len() as u64) as usize],
            1 => (self.next() % 100) as i64,
            _ => self.next() as i64,
        }
    }
}

#[test]
fn no_numbers_break_a_call() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut caller = Caller::new();
    let names: Vec<(String, usize)> = {
        let exports: Vec<_> =
            caller.instance.exports(&mut caller.store).map(|e| e.name().to_owned()).collect();
        exports
            .into_iter()
            .filter(|name| name != "memory")
            .map(|name| {
                let function = caller.instance.get_func(&mut caller.store, &name).unwrap();
                let arity = function.ty(&caller.store).params().len();
                (name, arity)
            })
            .collect()
    };
    assert_eq!(names.len(), 46 + 45 + 140 + 1);
    let (mut ended, mut made) = (0, 0);
    for round in 0..400 {
        // What calls find in memory is what others left there, random numbers and times among it: no two runs are the same.
        if round >= 40 && made >= 10 && ended >= 80 {
            break;
        }
        for (name, arity) in &names {
            // A clock far away would be waited for.
            if ["poll_oneoff", "thread_sleep", "futex_wait"].iter().any(|waits| name.ends_with(waits)) {
                continue;
            }
            let arguments: Vec<i64> = (0..*arity).map(|_| numbers.argument()).collect();
            match caller.call(name, &arguments) {
                Some(errno) if name.ends_with("thread-spawn") => assert_eq!(errno, -58, "{round}"),
                // What was made could be waited for.
                Some(0) if ["fd_pipe", "fd_event", "sock_pair"].iter().any(|makes| name.ends_with(makes)) => {
                    made += 1;
                    caller = Caller::new();
                }
                Some(errno) => assert!((0..=76).contains(&errno), "{round}: {name}{arguments:?} = {errno}"),
                None => {
                    ended += 1;
                    caller = Caller::new();
                }
            }
        }
    }
    assert!(made >= 10, "streams can be made: {made}");
    assert!(ended >= 80, "proc_exit ends a guest: {ended}");
}

#[test]
fn a_guest_that_runs_wild_ends_alone() {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    let fs = FilesystemRef::new(Memory::new());
    for body in [
        "(drop (i32.load (i32.const -1)))",
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "(call_indirect (i32.const 9))",
        "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))",
    ] {
        let text = format!(
            r#"(module (table 1 funcref) (memory (export "memory") 1) (func (export "_start") {body}))"#
        );
        let program = engine.compile(text.as_bytes()).unwrap();
        let guest = Guest::builder(&fs).build(program.module()).unwrap();
        assert!(matches!(program.run(guest), Ok(Outcome::Trapped(_))), "{body}");
    }
}
