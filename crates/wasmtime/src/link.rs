//! The imports: every function of `vnode-wasi`'s tables as a host function of Wasmtime.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vnode_core::Errno;
use vnode_kernel::{Attempt, Exit, Process};
use vnode_wasi::errno::to_wasi;
use vnode_wasi::wasix::engine::BY_ENGINE;
use vnode_wasi::{Answer, GuestMemory, Leave, Outcome};
use wasmtime::{Caller, Engine, FuncType, Linker, ValType};

use crate::checkpoint;
use crate::executor;
use crate::guest::Guest;
use crate::kind;
use crate::memory;
use crate::signals;

/// A guest is over: the error that a host function ends its WebAssembly with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest has ended: {0:?}")]
pub struct Ended(pub Exit);

/// The process executes another program: the error that a host function ends this one's WebAssembly with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the process executes another program")]
pub(crate) struct Executes;

/// A host function panicked, which is an error of vnode. The guest that called it is ended; nothing else is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("vnode has an error in {call}: {message}")]
pub struct HostPanic {
    /// The import that the guest called.
    pub call: &'static str,
    /// What the panic said.
    pub message: String,
}

/// Gives a linker the functions of `wasi_snapshot_preview1`, `wasi_unstable` and `wasix_32v1`, for stores of any data:
/// `get` finds the guest in it.
///
/// Each call finds the memory of the instance that calls, its export `memory`, so a store may hold several instances
/// that share one guest's files. A module that imports its memory is given it by the embedder, who tells the guest
/// ([`Guest::has_only`], [`Guest::has_only_shared`]). The engine's configuration is the embedder's: nothing here needs anything of it. What
/// [`attach`](crate::attach) does needs interruption by epochs.
///
/// A call that waits or blocks holds its thread; for an executor's threads there is [`add_to_linker_async`].
///
/// # Errors
/// The linker has one of these names already.
pub fn add_to_linker_sync<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    macro_rules! define {
        ([$module:literal] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
            $(
                if !BY_ENGINE.contains(&stringify!($name)) {
                    linker.func_wrap(
                        $module,
                        stringify!($name),
                        move |mut caller: Caller<'_, T>, $($arg: $type),*| -> wasmtime::Result<$result> {
                            call(&mut caller, get, stringify!($name), |process, memory| {
                                $path(process, memory, $($arg),*)
                            })
                        },
                    )?;
                }
            )*
        };
    }
    vnode_wasi::for_each_preview1!(define "wasi_snapshot_preview1");
    vnode_wasi::for_each_unstable!(define "wasi_unstable");
    vnode_wasi::for_each_wasix!(define "wasix_32v1");
    checkpoint::add_to_linker(linker, get)?;
    linker.func_wrap("wasi", "thread-spawn", |_start: u32| no_thread())?;
    Ok(())
}

/// What `wasi.thread-spawn` answers: there are no threads yet. A thread's number is positive, an error's is negated.
fn no_thread() -> i32 {
    -i32::from(to_wasi(Errno::NOTSUP))
}

/// As [`add_to_linker_sync`], but without WASIX, for guests that run on an executor's threads, by `instantiate_async` and `call_async`: no
/// call of a guest blocks such a thread. Any executor will do.
///
/// A call is made at once, on the thread that it is on. If it has to wait - for a stream, for a time - its future is
/// pending until what it waits for comes, and no thread is used for that. If it may block - in a filesystem with
/// [`Caps::BLOCKING`](vnode_core::fs::Caps::BLOCKING), in the embedder's own `Write` - another thread makes it, with
/// copies of what it needs of the guest's memory, and reads and writes go by pieces of 64 KiB. There are up to
/// 512 such threads, for all guests together; they end when they have nothing to do for ten seconds.
///
/// The future of a guest's call may be dropped at any time. What waits then ends; what another thread does is done to
/// its end, and nobody gets the result.
///
/// # Errors
/// The linker has one of these names already.
pub fn add_to_linker_async<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    macro_rules! define {
        ([$module:literal] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
            $(
                match vnode_wasi::may_wait(stringify!($name)) {
                    true => linker.func_wrap_async(
                        $module,
                        stringify!($name),
                        move |caller: Caller<'_, T>, ($($arg,)*): ($($type,)*)| {
                            executor::call::<T, $result>(caller, get, stringify!($name), move |process, memory| {
                                $path(process, memory, $($arg),*)
                            })
                        },
                    )?,
                    false => linker.func_wrap(
                        $module,
                        stringify!($name),
                        move |mut caller: Caller<'_, T>, $($arg: $type),*| -> wasmtime::Result<$result> {
                            call(&mut caller, get, stringify!($name), |process, memory| {
                                $path(process, memory, $($arg),*)
                            })
                        },
                    )?,
                };
            )*
        };
    }
    vnode_wasi::for_each_preview1!(define "wasi_snapshot_preview1");
    vnode_wasi::for_each_unstable!(define "wasi_unstable");
    Ok(())
}

/// One call of a guest, on the thread that it is on.
#[inline(always)]
fn call<T: 'static, R: Answer>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy,
    name: &'static str,
    function: impl Fn(&Process, &GuestMemory<'_>) -> Outcome,
) -> wasmtime::Result<R> {
    loop {
        let outcome =
            memory::with(caller, get, |process, memory| guarded(name, || function(process, memory)));
        if name == "callback_signal" {
            signals::name_handler(caller, get);
        }
        if !get(caller.data_mut()).process().signals().is_pending() || !restarts(caller, get, &outcome)? {
            return answer(outcome);
        }
    }
}

/// Handles signals; whether the call that they interrupted is to be made again. The C library handles every signal, but
/// a program that nobody told of `SIGCHLD` doesn't expect its calls to fail by it.
#[cold]
fn restarts<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    outcome: &Result<Outcome, HostPanic>,
) -> wasmtime::Result<bool> {
    let attempt = Attempt::interrupted();
    let unnoticed = signals::deliver(&mut *caller, &get)?;
    let interrupted = matches!(outcome, Ok(Ok(errno)) if *errno == to_wasi(Errno::INTR));
    if unnoticed && interrupted {
        attempt.restart();
    }
    Ok(unnoticed && interrupted)
}

/// Makes a call. What panics in it ends this guest; the process's locks don't poison.
#[inline(always)]
pub(crate) fn guarded<R>(name: &'static str, call: impl FnOnce() -> R) -> Result<R, HostPanic> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|panic| HostPanic { call: name, message: message_of(&*panic) })
}

/// What the guest is answered.
pub(crate) fn answer<R: Answer>(outcome: Result<Outcome, HostPanic>) -> wasmtime::Result<R> {
    match outcome {
        Ok(Ok(errno)) => Ok(R::of(errno)),
        Ok(Err(Leave::Ends(exit))) => Err(Ended(exit).into()),
        Ok(Err(Leave::Executes)) => Err(Executes.into()),
        Err(panic) => Err(panic.into()),
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
        kind::WASIX => vnode_wasi::for_each_wasix!(find),
        "wasi" if name == "thread-spawn" => Some(FuncType::new(engine, [ValType::I32], [ValType::I32])),
        _ => None,
    }
}
