//! An instance whose exported functions the embedder calls as he likes: a plugin, a library, a test.

use vnode_core::Errno;
use wasmtime::{Memory, Store, TypedFunc, WasmParams, WasmResults};

use crate::engine::Program;
use crate::guest::{self, Guest};
use crate::run::{Outcome, StartError, outcome};

/// A program's instance between calls. Its guest keeps descriptors, and everything else, from one call to the next.
pub struct Instance {
    store: Store<Guest>,
    instance: wasmtime::Instance,
    memory: Option<Memory>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such function.
    #[error("the module exports no function {0}")]
    Missing(String),
    /// Its arguments or results are others.
    #[error("the function {name} has another type: {why}")]
    OtherType {
        /// The function.
        name: String,
        /// In what.
        why: String,
    },
    /// The call ended the guest: it exited, was killed or trapped.
    #[error("the call ended the guest: {0:?}")]
    Ended(Outcome),
    /// An earlier call ended the guest.
    #[error("the guest has ended")]
    Over,
}

impl Program {
    /// An instance to call functions of. `_start` is not called; `_initialize` of a library is.
    ///
    /// Calls run on the caller's thread, whose stack must be deep enough ([`WASM_STACK`](crate::WASM_STACK) for a
    /// guest that recurses as far as it can), and their time is not limited; a [`Killer`](crate::Killer) ends one
    /// that is under way.
    ///
    /// # Errors
    /// As [`Program::run`]; a module's start function that traps is one of them.
    pub fn instantiate(&self, guest: Guest) -> Result<Instance, StartError> {
        self.check_shared_memory(&guest)?;
        let mut store = Store::new(self.module.engine(), guest);
        guest::attach(&mut store, |guest| guest);
        let instance = self.instance_in(&mut store)?;
        let memory = instance.get_memory(&mut store, "memory");
        let mut instance = Instance { store, instance, memory };
        if self.shape.initialize && !self.shape.start {
            instance.call::<(), ()>("_initialize", ()).map_err(uninitialized)?;
        }
        Ok(instance)
    }

    /// As [`Program::instantiate`], for calls by [`Instance::call_async`] on an executor.
    ///
    /// # Errors
    /// As [`Program::instantiate`].
    pub async fn instantiate_async(&self, guest: Guest) -> Result<Instance, StartError> {
        let failed = |error| StartError::Instance(format!("{error:#}"));
        self.check_shared_memory(&guest)?;
        let mut store = Store::new(self.module.engine(), guest);
        guest::attach_async(&mut store, |guest| guest);
        let instance =
            self.pre_async().map_err(failed)?.instantiate_async(&mut store).await.map_err(failed)?;
        let memory = instance.get_memory(&mut store, "memory");
        let mut instance = Instance { store, instance, memory };
        if self.shape.initialize && !self.shape.start {
            instance.call_async::<(), ()>("_initialize", ()).await.map_err(uninitialized)?;
        }
        Ok(instance)
    }
}

fn uninitialized(error: CallError) -> StartError {
    StartError::Instance(format!("_initialize: {error}"))
}

impl Instance {
    /// Its guest.
    pub fn guest(&self) -> &Guest {
        self.store.data()
    }

    /// Calls an exported function: `instance.call::<(i32, i64), i32>("f", (1, 2))`.
    ///
    /// # Errors
    /// The function is not there or has another type; the guest ended, now or before. An instance that was made by
    /// [`Program::instantiate_async`] is called by [`Instance::call_async`] only.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R, CallError> {
        let function = self.function::<P, R>(name)?;
        let result = function.call(&mut self.store, params);
        result.map_err(|error| CallError::Ended(outcome(self.store.data(), Err(error))))
    }

    /// As [`Instance::call`], on an executor. A guest whose call is dropped before it is done can be called again only
    /// if its code bears that.
    ///
    /// # Errors
    /// As [`Instance::call`].
    pub async fn call_async<P, R>(&mut self, name: &str, params: P) -> Result<R, CallError>
    where
        P: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let function = self.function::<P, R>(name)?;
        let result = function.call_async(&mut self.store, params).await;
        result.map_err(|error| CallError::Ended(outcome(self.store.data(), Err(error))))
    }

    fn function<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> Result<TypedFunc<P, R>, CallError> {
        if self.guest().process().exit().is_some() {
            return Err(CallError::Over);
        }
        let function = self.instance.get_func(&mut self.store, name);
        let function = function.ok_or_else(|| CallError::Missing(name.to_owned()))?;
        function
            .typed::<P, R>(&self.store)
            .map_err(|error| CallError::OtherType { name: name.to_owned(), why: format!("{error:#}") })
    }

    /// Copies bytes out of the exported memory `memory`.
    ///
    /// # Errors
    /// `EFAULT`: they are not all in it, or it is not there, or shared with other threads.
    pub fn read_memory(&self, address: u32, into: &mut [u8]) -> vnode_core::Result<()> {
        let memory = self.memory.ok_or(Errno::FAULT)?;
        memory.read(&self.store, address as usize, into).map_err(|_| Errno::FAULT)
    }

    /// Copies bytes into the exported memory `memory`.
    ///
    /// # Errors
    /// As [`Instance::read_memory`]; nothing is written then.
    pub fn write_memory(&mut self, address: u32, bytes: &[u8]) -> vnode_core::Result<()> {
        let memory = self.memory.ok_or(Errno::FAULT)?;
        memory.write(&mut self.store, address as usize, bytes).map_err(|_| Errno::FAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineOptions};
    use vnode_core::FilesystemRef;
    use vnode_memory::Memory;

    const MODULE: &str = r#"(module
        (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (global $calls (mut i64) (i64.const 0))
        (func (export "_start") (unreachable))
        (func (export "mkdir") (param i32 i32) (result i32)
            (call $mkdir (i32.const 3) (local.get 0) (local.get 1)))
        (func (export "count") (param i64) (result i64)
            (global.set $calls (i64.add (global.get $calls) (local.get 0)))
            (global.get $calls))
        (func (export "exit") (call $exit (i32.const 7))))"#;

    fn instance(module: &str) -> Instance {
        let engine = Engine::new(&EngineOptions::default()).unwrap();
        let program = engine.compile(module.as_bytes()).unwrap();
        let files = FilesystemRef::new(Memory::new());
        program
            .instantiate(Guest::builder(&files).preopen("/", "/").build(program.module()).unwrap())
            .unwrap()
    }

    #[test]
    fn functions_are_called_and_the_guest_stays() {
        let mut instance = instance(MODULE);
        assert_eq!(instance.call::<i64, i64>("count", 3).unwrap(), 3);
        assert_eq!(instance.call::<i64, i64>("count", 4).unwrap(), 7);
        instance.write_memory(100, b"dir").unwrap();
        assert_eq!(instance.call::<(i32, i32), i32>("mkdir", (100, 3)).unwrap(), 0);
        assert_eq!(instance.call::<(i32, i32), i32>("mkdir", (100, 3)).unwrap(), 20, "EEXIST");
        assert_eq!(instance.call::<(i32, i32), i32>("mkdir", (65534, 3)).unwrap(), 21, "EFAULT");
    }

    #[test]
    fn what_can_not_be_called_is_told() {
        let mut instance = instance(MODULE);
        assert!(matches!(instance.call::<(), ()>("none", ()), Err(CallError::Missing(_))));
        assert!(matches!(instance.call::<(), ()>("memory", ()), Err(CallError::Missing(_))));
        assert!(matches!(instance.call::<i32, i64>("count", 1), Err(CallError::OtherType { .. })));
        let ended = instance.call::<(), ()>("exit", ());
        assert!(matches!(ended, Err(CallError::Ended(Outcome::Exited(7)))), "{ended:?}");
        assert!(matches!(instance.call::<i64, i64>("count", 1), Err(CallError::Over)));
    }

    #[test]
    fn a_library_is_initialized_before_it_is_called() {
        let library = |initialize: &str| {
            let text = format!(
                r#"(module (memory (export "memory") 1)
                (func (export "_initialize") {initialize})
                (func (export "get") (result i32) (i32.load (i32.const 0))))"#
            );
            let engine = Engine::new(&EngineOptions::default()).unwrap();
            assert!(engine.compile(text.as_bytes()).is_err(), "it is no command");
            let program = engine.compile_library(text.as_bytes()).unwrap();
            let guest = Guest::builder(&FilesystemRef::new(Memory::new())).build(program.module()).unwrap();
            program.instantiate(guest)
        };
        let mut instance = library("(i32.store (i32.const 0) (i32.const 7))").unwrap();
        assert_eq!(instance.call::<(), i32>("get", ()).unwrap(), 7);
        assert!(matches!(library("unreachable").err(), Some(StartError::Instance(_))));
    }

    #[test]
    fn a_trap_ends_the_guest() {
        let mut instance = instance(MODULE);
        let ended = instance.call::<(), ()>("_start", ());
        assert!(matches!(ended, Err(CallError::Ended(Outcome::Trapped(_)))), "{ended:?}");
        assert!(matches!(instance.call::<(), ()>("_start", ()), Err(CallError::Over)));
    }

    #[test]
    fn memory_is_checked() {
        let mut instance_ = instance(MODULE);
        let mut bytes = [9; 4];
        instance_.write_memory(65532, &[1, 2, 3, 4]).unwrap();
        instance_.read_memory(65532, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(instance_.read_memory(65533, &mut bytes), Err(Errno::FAULT));
        assert_eq!(instance_.write_memory(u32::MAX, &[1]), Err(Errno::FAULT));
        let mut none = instance(r#"(module (func (export "_start")))"#);
        assert_eq!(none.write_memory(0, &[1]), Err(Errno::FAULT));
        assert_eq!(none.read_memory(0, &mut bytes), Err(Errno::FAULT));
    }
}
