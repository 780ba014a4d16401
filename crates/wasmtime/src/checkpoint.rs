//! `stack_checkpoint` and `stack_restore` of WASIX, on which its C library makes `setjmp` and `longjmp`: for modules that
//! asyncify has gone over.
//!
//! A checkpoint unwinds the guest's stack to the host's call of the guest, keeps a copy of it and rewinds it. A jump
//! doesn't unwind: it ends the guest's code as a trap does, down to the call of the guest that the snapshot stands on, and
//! that call is made again, rewinding the copy. So a jump leads out of anything: of signal handlers, too, and of code
//! that asyncify doesn't know. A checkpoint in a signal handler stands on the host's call of that handler; it is gone with
//! it.
//!
//! As in C, a jump gives back where the guest was and the values of its WebAssembly locals and exported globals, and leaves
//! memory as it is.

use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::Errno;
use vnode_kernel::Exit;
use vnode_wasi::GuestMemory;
use vnode_wasi::errno::to_wasi;
use vnode_wasi::wasix::engine;
use wasmtime::{AsContextMut, Caller, Global, Instance, Linker, Store, StoreContextMut, Val};

use crate::asyncify::{self, Asyncify, Broken, RED_ZONE, Rewind, Unwind};
use crate::guest::Guest;
use crate::kind;
use crate::link::{Ended, answer, guarded};
use crate::memory;
use crate::signals;
use crate::snapshots::{Base, Name, Snapshot, Snapshots};

/// Linux's number of `SIGSEGV`.
const SIGSEGV: u8 = 11;

/// Bytes of a snapshot's name in the guest's memory: three numbers of 64 bits. The first is the address of the value.
const NAME: usize = 24;

/// What the host does with a guest's stack.
#[derive(Default)]
pub(crate) struct Stack {
    /// Nothing if its stack can't be unwound.
    asyncify: Option<Arc<Asyncify>>,
    /// The pointer of its C stack, if that is known.
    pointer: Option<Global>,
    motion: Motion,
    snapshots: Snapshots,
    /// The innermost call of the guest by the host, and the number of them that there were.
    base: Base,
    bases: Base,
}

/// What a guest's stack is in.
#[derive(Default)]
enum Motion {
    #[default]
    Still,
    /// The guest's own functions that begin and end the rest are being called.
    Turning,
    Unwinding(Unwind, Place),
    Rewinding(Rewind, Return),
}

/// What a checkpoint was called with.
#[derive(Clone, Copy)]
struct Place {
    /// Where the snapshot's name goes.
    name: u32,
    /// Where the value goes: 0 at first, then what a jump brings.
    value: u32,
}

/// What a checkpoint returns.
struct Return {
    errno: u16,
    /// The value, and where it goes.
    value: (u32, u64),
    /// The name of a snapshot just made, and where it goes.
    made: Option<(u32, Name)>,
}

/// A jump to a snapshot: the error that the guest's code is ended with.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a jump of the guest's to a snapshot of its stack")]
struct Jump {
    name: Name,
    value: u64,
}

/// A jump to what isn't there.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the guest jumped to a place on its stack that is not there: longjmp without a setjmp that is still on"
)]
struct NoSnapshot;

impl Stack {
    fn begin(&mut self) -> Motion {
        mem::replace(&mut self.motion, Motion::Turning)
    }
}

/// Finds what unwinds the stack of a guest that has only this instance; its code is to be called through [`call`].
pub(crate) fn find(store: &mut Store<Guest>, instance: &Instance) {
    let asyncify = Asyncify::find(store, instance).map(Arc::new);
    let pointer = asyncify::stack_pointer(store, instance);
    let stack = store.data_mut().stack_mut();
    (stack.asyncify, stack.pointer) = (asyncify, pointer);
}

/// Calls a guest's code in the midst of other code, which may be in a function that has its numbers below the stack's
/// pointer.
///
/// # Errors
/// As `code`.
pub(crate) fn in_between<T: 'static>(
    mut context: StoreContextMut<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    code: impl FnOnce(StoreContextMut<'_, T>) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    let Some(pointer) = get(context.data_mut()).stack().pointer else { return code(context) };
    let before = pointer.get(&mut context);
    if let Some(below) = before.i32().and_then(|at| at.cast_unsigned().checked_sub(RED_ZONE)) {
        pointer.set(&mut context, Val::I32(below.cast_signed()))?;
    }
    let result = code(context.as_context_mut());
    pointer.set(&mut context, before)?;
    result
}

/// Whether a guest's stack is neither unwound nor rewound, so that other code of the guest's may be called.
pub(crate) fn is_still(guest: &Guest) -> bool {
    matches!(guest.stack().motion, Motion::Still)
}

/// Gives a linker both functions.
pub(crate) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    linker.func_wrap(
        kind::WASIX,
        "stack_checkpoint",
        move |mut caller: Caller<'_, T>, name: u32, value: u32| -> wasmtime::Result<i32> {
            let place = Place { name, value };
            let errno = guarded("stack_checkpoint", || checkpoint(&mut caller, get, place))??;
            if get(caller.data_mut()).process().signals().is_pending() {
                signals::deliver(&mut caller, get)?;
            }
            Ok(errno)
        },
    )?;
    linker.func_wrap(
        kind::WASIX,
        "stack_restore",
        move |mut caller: Caller<'_, T>, name: u32, value: u64| -> wasmtime::Result<()> {
            guarded("stack_restore", || restore(&mut caller, get, name, value))?
        },
    )?;
    Ok(())
}

/// `stack_checkpoint`, called the first time or when a rewinding has come back to it.
fn checkpoint<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy,
    place: Place,
) -> wasmtime::Result<i32> {
    let stack = get(caller.data_mut()).stack_mut();
    let Some(asyncify) = stack.asyncify.clone() else {
        let outcome = memory::with(caller, get, |process, memory| {
            engine::stack_checkpoint(process, memory, place.name, place.value)
        });
        return answer(Ok(outcome));
    };
    let (errno, motion) = match stack.begin() {
        Motion::Still => match memory::with(caller, get, |_, memory| place.check(memory)) {
            Err(errno) => (to_wasi(errno), Motion::Still),
            Ok(()) => match Unwind::start(&asyncify, caller.as_context_mut(), get)? {
                Err(errno) => (to_wasi(errno), Motion::Still),
                Ok(unwind) => (0, Motion::Unwinding(unwind, place)),
            },
        },
        Motion::Rewinding(rewind, back) => {
            rewind.finish(&asyncify, caller.as_context_mut(), get)?;
            memory::with(caller, get, |_, memory| back.put(memory))?;
            (back.errno, Motion::Still)
        }
        Motion::Turning | Motion::Unwinding(..) => return Err(Broken::NotUnwound.into()),
    };
    get(caller.data_mut()).stack_mut().motion = motion;
    Ok(i32::from(errno))
}

/// `stack_restore`: never returns to the guest.
fn restore<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy,
    name: u32,
    value: u64,
) -> wasmtime::Result<()> {
    let stack = get(caller.data_mut()).stack();
    let Some(asyncify) = stack.asyncify.clone() else {
        let outcome =
            memory::with(caller, get, |process, memory| engine::stack_restore(process, memory, name, value));
        return answer(Ok(outcome));
    };
    if !matches!(stack.motion, Motion::Still) {
        return Err(Broken::NotRewound.into());
    }
    let named = memory::with(caller, get, |_, memory| memory.read::<NAME>(name).map(Name::from_bytes));
    let named = named.map_err(|_| Ended(Exit::Signal(SIGSEGV)))?;
    let at = asyncify.stack_pointer(&mut *caller);
    match get(caller.data_mut()).stack().snapshots.find(named, at) {
        Some(_) => Err(Jump { name: named, value }.into()),
        None => Err(NoSnapshot.into()),
    }
}

impl Place {
    fn check(self, memory: &GuestMemory<'_>) -> Result<(), Errno> {
        memory.slot::<NAME>(self.name)?;
        memory.slot::<8>(self.value)?;
        Ok(())
    }
}

impl Return {
    fn put(&self, memory: &GuestMemory<'_>) -> Result<(), Errno> {
        let (at, value) = self.value;
        let slot = memory.slot::<8>(at)?;
        if let Some((name_at, name)) = self.made {
            memory.slot::<NAME>(name_at)?.put(name.to_bytes(at));
        }
        slot.put(value.to_le_bytes());
        Ok(())
    }
}

impl Name {
    fn from_bytes(bytes: [u8; NAME]) -> Name {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Name { number: word(8), mark: word(16) }
    }

    fn to_bytes(self, value: u32) -> [u8; NAME] {
        let mut bytes = [0; NAME];
        bytes[..4].copy_from_slice(&value.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..].copy_from_slice(&self.mark.to_le_bytes());
        bytes
    }
}

/// Calls into a guest's code, again for each unwinding and each jump that comes back here, until the call is over.
/// `code` makes the same call each time.
///
/// # Errors
/// What ended the guest, or a jump to a call further out.
pub(crate) fn call<T: 'static>(
    mut context: StoreContextMut<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    code: impl Fn(StoreContextMut<'_, T>) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    let Some(asyncify) = get(context.data_mut()).stack().asyncify.clone() else { return code(context) };
    let stack = get(context.data_mut()).stack_mut();
    stack.bases += 1;
    let outer = mem::replace(&mut stack.base, stack.bases);
    let result = loop {
        let result = code(context.as_context_mut());
        match turn(&asyncify, context.as_context_mut(), &get, result) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let stack = get(context.data_mut()).stack_mut();
    let base = mem::replace(&mut stack.base, outer);
    stack.snapshots.drop_base(base);
    result
}

/// What is to be done when a call into a guest's code has returned: it is over, or is to be made again.
fn turn<T: 'static>(
    asyncify: &Asyncify,
    mut context: StoreContextMut<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    result: wasmtime::Result<()>,
) -> wasmtime::Result<ControlFlow<()>> {
    let guest = get(context.data_mut());
    let stack = guest.stack_mut();
    let (snapshot, back) = match (result, stack.begin()) {
        (Ok(()), Motion::Still) => {
            stack.motion = Motion::Still;
            return Ok(ControlFlow::Break(()));
        }
        (Ok(()), Motion::Unwinding(unwind, place)) => {
            let frames = unwind.finish(asyncify, context.as_context_mut(), &get)?;
            let at = asyncify.stack_pointer(&mut context).unwrap_or(0);
            let (stack, limiter) = get(context.data_mut()).stack_and_limiter();
            let snapshot = Snapshot {
                frames: Arc::new(frames),
                base: stack.base,
                stack: at,
                address: place.name,
                value: place.value,
            };
            let made = stack.snapshots.keep(snapshot.clone(), limiter);
            let errno = if made.is_some() { 0 } else { to_wasi(Errno::NOMEM) };
            (snapshot, Return { errno, value: (place.value, 0), made: made.map(|name| (place.name, name)) })
        }
        (Ok(()), Motion::Turning | Motion::Rewinding(..)) => return Err(Broken::NotRewound.into()),
        (Err(error), Motion::Unwinding(..)) => return Err(Unwind::failure(error)),
        (Err(error), motion) => {
            stack.motion = motion;
            let jump = error.downcast_ref::<Jump>().cloned();
            let snapshot = jump.as_ref().and_then(|jump| stack.snapshots.find(jump.name, None));
            match (jump, snapshot.cloned()) {
                (Some(Jump { value, .. }), Some(snapshot)) if snapshot.base == stack.base => {
                    stack.motion = Motion::Turning;
                    let back = Return { errno: 0, value: (snapshot.value, value), made: None };
                    (snapshot, back)
                }
                _ => return Err(error),
            }
        }
    };
    let process = get(context.data_mut()).process();
    if process.interruption().is_killed() {
        return Err(Ended(process.exit().unwrap_or(Exit::Killed)).into());
    }
    let rewind = Rewind::start(asyncify, context.as_context_mut(), &get, &snapshot.frames)?;
    get(context.data_mut()).stack_mut().motion = Motion::Rewinding(rewind, back);
    Ok(ControlFlow::Continue(()))
}
