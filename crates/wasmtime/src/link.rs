//! The imports: every function of `vnode-wasi`'s tables as a host function of Wasmtime.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vnode_kernel::{Exit, Process};
use vnode_wasi::{Answer, GuestMemory, Outcome};
use wasmtime::{Caller, Engine, FuncType, Linker, ValType};

use crate::guest::Guest;
use crate::memory;

/// A guest is over: the error that a host function ends its WebAssembly with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest has ended: {0:?}")]
pub struct Ended(pub Exit);

/// A host function panicked, which is an error of vnode. The guest that called it is ended; nothing else is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("vnode has an error in {call}: {message}")]
pub struct HostPanic {
    /// The import that the guest called.
    pub call: &'static str,
    /// What the panic said.
    pub message: String,
}

/// Gives a linker the functions of `wasi_snapshot_preview1` and `wasi_unstable`, for stores of any data: `get` finds
/// the guest in it.
///
/// Each call finds the memory of the instance that calls, so a store may hold several instances that share one
/// guest's files.
///
/// # Errors
/// The linker has one of these names already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    macro_rules! define {
        ([$module:literal] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
            $(
                linker.func_wrap(
                    $module,
                    stringify!($name),
                    move |mut caller: Caller<'_, T>, $($arg: $type),*| -> wasmtime::Result<$result> {
                        call(&mut caller, get, stringify!($name), |process, memory| $path(process, memory, $($arg),*))
                    },
                )?;
            )*
        };
    }
    vnode_wasi::for_each_preview1!(define "wasi_snapshot_preview1");
    vnode_wasi::for_each_unstable!(define "wasi_unstable");
    Ok(())
}

/// One call of a guest. What panics in it ends this guest; the process's locks don't poison.
fn call<T: 'static, R: Answer>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    name: &'static str,
    function: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome,
) -> wasmtime::Result<R> {
    let outcome = memory::with(caller, get, |process, memory| {
        catch_unwind(AssertUnwindSafe(|| function(process, memory)))
    });
    match outcome {
        Ok(Ok(errno)) => Ok(R::of(errno)),
        Ok(Err(exit)) => Err(Ended(exit).into()),
        Err(panic) => Err(HostPanic { call: name, message: message_of(&*panic) }.into()),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}

/// The WebAssembly type of an argument or a result in the tables.
trait Wire {
    const TYPE: Option<ValType>;
}

impl Wire for u32 {
    const TYPE: Option<ValType> = Some(ValType::I32);
}

impl Wire for i32 {
    const TYPE: Option<ValType> = Some(ValType::I32);
}

impl Wire for u64 {
    const TYPE: Option<ValType> = Some(ValType::I64);
}

impl Wire for i64 {
    const TYPE: Option<ValType> = Some(ValType::I64);
}

impl Wire for () {
    const TYPE: Option<ValType> = None;
}

/// The type of a served function.
pub(crate) fn signature(engine: &Engine, module: &str, name: &str) -> Option<FuncType> {
    macro_rules! find {
        ([] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
            match name {
                $(
                    stringify!($name) => {
                        let arguments: &[Option<ValType>] = &[$(<$type as Wire>::TYPE),*];
                        let arguments = arguments.iter().flatten().cloned();
                        Some(FuncType::new(engine, arguments, <$result as Wire>::TYPE))
                    }
                )*
                _ => None,
            }
        };
    }
    match module {
        "wasi_snapshot_preview1" => vnode_wasi::for_each_preview1!(find),
        "wasi_unstable" => vnode_wasi::for_each_unstable!(find),
        _ => None,
    }
}
