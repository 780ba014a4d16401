//! Unwinding a guest's stack to the host, and rewinding it: for modules that Binaryen's asyncify has gone over.
//!
//! Asyncify gives the functions of a module a second way through them. While a stack is unwound, each puts its locals
//! and where it is into an area of the guest's memory and returns, so that the host's call of the guest returns. When the
//! host makes the same call again while the stack is rewound, each takes its locals from the area and goes on to the call
//! in which it was, down to the import that began. An import that wants the guest's stack:
//!
//! 1. calls [`Unwind::start`] and returns at once; the host's call of the guest returns;
//! 2. the host ends that with [`Unwind::finish`], and has the [`Frames`];
//! 3. to go on there - at once, later, in a copy of the guest - the host calls [`Rewind::start`] and makes its call of
//!    the guest anew, in which the guest calls the import with the same arguments;
//! 4. this ends it with [`Rewind::finish`] and answers the guest.
//!
//! Nothing else of the guest's may run between 1 and 2, nor between 3 and 4: no signal is handled then
//! ([`checkpoint::is_still`](crate::checkpoint::is_still)).
//!
//! # The area
//!
//! Where the module exports `__stack_pointer` and the C stack's end, `__stack_low` or `__data_end`, and there is much left
//! of the stack, the area is what is left: it holds nothing that is in use. Else the area is at the memory's start behind
//! the addresses around NULL, and what the guest has there is kept by the host meanwhile: only other threads could see it.

use vnode_core::Errno;
use vnode_wasi::GuestMemory;
use wasmtime::{
    AsContextMut, Extern, Global, Instance, Mutability, Store, StoreContextMut, TypedFunc, Val, ValType,
};

use crate::guest::Guest;
use crate::memory;

/// Bytes at the area's start: where the next frame goes, and where the area ends.
const HEAD: u32 = 8;
/// Addresses that are not in the area.
const NULL: u32 = 16;
/// Bytes below the stack pointer that a function may use that calls no other (LLVM's `WebAssemblyFrameLowering`).
pub(crate) const RED_ZONE: u32 = 128;
/// Bytes of the stack that are much.
const MUCH: u32 = 32 << 10;
/// Bytes of memory that is in use that the area takes at most: they are copied twice.
const MOST_IN_USE: u32 = 1 << 20;
/// Bytes that the area has at most.
const MOST: u32 = 16 << 20;

/// What asyncify gives a module, in one instance of it.
pub(crate) struct Asyncify {
    start_unwind: TypedFunc<u32, ()>,
    stop_unwind: TypedFunc<(), ()>,
    start_rewind: TypedFunc<u32, ()>,
    stop_rewind: TypedFunc<(), ()>,
    /// Exported globals that change, with which a stack goes: above all its pointer.
    globals: Vec<Global>,
    stack_pointer: Option<Global>,
    /// The lowest address of the C stack.
    stack_low: Option<u32>,
}

/// A stack that was unwound: what it needs to be rewound, as often as one likes.
#[derive(Debug)]
pub(crate) struct Frames {
    /// What asyncify put into the area; the innermost frame first.
    bytes: Vec<u8>,
    /// The values of the exported globals that change.
    globals: Vec<Val>,
}

/// A stack that is being unwound.
#[derive(Debug)]
pub(crate) struct Unwind {
    area: Area,
    kept: Vec<u8>,
}

/// A stack that is being rewound.
#[derive(Debug)]
pub(crate) struct Rewind {
    area: Area,
    kept: Vec<u8>,
}

/// What a module says of its stack that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the guest's stack can't be unwound: it is deeper than there is room for")]
    TooDeep,
    #[error("the guest's stack was not unwound to the host")]
    NotUnwound,
    #[error("the guest's stack was not rewound to the call that it was unwound from")]
    NotRewound,
}

/// A range of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    start: u32,
    end: u32,
    /// What is there has to be there afterwards.
    in_use: bool,
}

impl Asyncify {
    /// Finds what asyncify exports.
    pub(crate) fn find(store: &mut Store<Guest>, instance: &Instance) -> Option<Asyncify> {
        let with_area = |store: &mut Store<Guest>, name| instance.get_typed_func::<u32, ()>(store, name).ok();
        let plain = |store: &mut Store<Guest>, name| instance.get_typed_func::<(), ()>(store, name).ok();
        let start_unwind = with_area(store, "asyncify_start_unwind")?;
        let stop_unwind = plain(store, "asyncify_stop_unwind")?;
        let start_rewind = with_area(store, "asyncify_start_rewind")?;
        let stop_rewind = plain(store, "asyncify_stop_rewind")?;
        let exports: Vec<Extern> = instance.exports(&mut *store).map(wasmtime::Export::into_extern).collect();
        let globals = exports.into_iter().filter_map(Extern::into_global);
        let globals = globals.filter(|global| is_variable(&*store, *global)).collect();
        let stack_pointer = stack_pointer(store, instance);
        let address = |store: &mut Store<Guest>, name| {
            let global = instance.get_global(&mut *store, name)?;
            global.get(store).i32().map(i32::cast_unsigned)
        };
        // A linker that doesn't put the stack behind the data puts it first, at address 0.
        let stack_top = stack_pointer.and_then(|global| global.get(&mut *store).i32()).unwrap_or(0);
        let behind_data = |end: u32| if end < stack_top.cast_unsigned() { end } else { 0 };
        let stack_low = address(store, "__stack_low");
        let stack_low = stack_low.or_else(|| address(store, "__data_end").map(behind_data));
        Some(Asyncify {
            start_unwind,
            stop_unwind,
            start_rewind,
            stop_rewind,
            globals,
            stack_pointer,
            stack_low,
        })
    }

    /// Where the C stack is; nothing if the module doesn't say.
    pub(crate) fn stack_pointer(&self, context: impl AsContextMut) -> Option<u32> {
        self.stack_pointer.and_then(|global| global.get(context).i32()).map(i32::cast_unsigned)
    }

    /// A place for at least `least` bytes.
    fn area(&self, pointer: Option<u32>, memory: &GuestMemory<'_>, least: u32) -> Result<Area, Errno> {
        let size = u32::try_from(memory.len()).unwrap_or(u32::MAX);
        let left = self.stack_low.zip(pointer).and_then(|(low, pointer)| Area::left(low, pointer, size));
        let left = left.filter(|left| left.len() >= least);
        left.or_else(|| Area::in_use(size, least)).ok_or(Errno::NOMEM)
    }
}

/// The pointer of the C stack, if the module exports it.
pub(crate) fn stack_pointer(store: &mut Store<Guest>, instance: &Instance) -> Option<Global> {
    let global = instance.get_global(&mut *store, "__stack_pointer")?;
    let is_address = matches!(global.ty(&*store).content(), ValType::I32);
    (is_address && is_variable(&*store, global)).then_some(global)
}

fn is_variable(store: &Store<Guest>, global: Global) -> bool {
    let ty = global.ty(store);
    let numeric =
        matches!(ty.content(), ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128);
    numeric && ty.mutability() == Mutability::Var
}

impl Frames {
    /// What they take of the host.
    pub(crate) fn bytes(&self) -> u64 {
        (self.bytes.len() + size_of_val::<[Val]>(&self.globals)) as u64
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: usize) -> Frames {
        Frames { bytes: vec![0; bytes], globals: Vec::new() }
    }
}

impl Area {
    /// What is left of the C stack from `low` on, in a memory of `size` bytes.
    fn left(low: u32, pointer: u32, size: u32) -> Option<Area> {
        let start = low.max(NULL).checked_next_multiple_of(NULL)?;
        let end = pointer.min(size).checked_sub(RED_ZONE)?.min(start.saturating_add(MOST));
        (start <= end).then_some(Area { start, end, in_use: false })
    }

    /// The start of the memory.
    fn in_use(size: u32, least: u32) -> Option<Area> {
        let end = size.min(NULL.checked_add(least.max(MOST_IN_USE))?);
        let area = Area { start: NULL.min(end), end, in_use: true };
        (area.len() >= least).then_some(area)
    }

    fn len(self) -> u32 {
        self.end - self.start
    }

    /// The first `len` bytes of it, if they have to be kept.
    fn keep(self, memory: &GuestMemory<'_>, len: u32) -> Result<Vec<u8>, Errno> {
        if !self.in_use {
            return Ok(Vec::new());
        }
        copy(memory, self.start, len)
    }
}

/// A copy of a range of the guest's memory.
fn copy(memory: &GuestMemory<'_>, at: u32, len: u32) -> Result<Vec<u8>, Errno> {
    memory.area(at, len)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len as usize).map_err(|_| Errno::NOMEM)?;
    bytes.resize(len as usize, 0);
    memory.copy_out(at as usize, &mut bytes)?;
    Ok(bytes)
}

impl Unwind {
    /// Has the guest unwind its stack as soon as the host returns to it.
    ///
    /// # Errors
    /// * `Ok(Err(ENOMEM))`: there is no room in the guest's memory; nothing has been done.
    /// * What ended the guest.
    pub(crate) fn start<T: 'static>(
        asyncify: &Asyncify,
        mut context: StoreContextMut<'_, T>,
        get: impl Fn(&mut T) -> &mut Guest,
    ) -> wasmtime::Result<Result<Unwind, Errno>> {
        let pointer = asyncify.stack_pointer(&mut context);
        let ready = memory::with_only(context.as_context_mut(), get, |_, memory| {
            let area = asyncify.area(pointer, memory, MUCH)?;
            let kept = area.keep(memory, area.len())?;
            put_head(memory, area, area.start + HEAD)?;
            Ok((area, kept))
        });
        let (area, kept) = match ready {
            Ok(ready) => ready,
            Err(errno) => return Ok(Err(errno)),
        };
        asyncify.start_unwind.call(&mut context, area.start)?;
        Ok(Ok(Unwind { area, kept }))
    }

    /// Ends the unwinding when the host's call of the guest has returned.
    ///
    /// # Errors
    /// What the guest's module did instead.
    pub(crate) fn finish<T: 'static>(
        self,
        asyncify: &Asyncify,
        mut context: StoreContextMut<'_, T>,
        get: impl Fn(&mut T) -> &mut Guest,
    ) -> wasmtime::Result<Frames> {
        let first = self.area.start + HEAD;
        let bytes = memory::with_only(context.as_context_mut(), &get, |_, memory| {
            let next = next(memory, self.area)?;
            // Asyncify doesn't look where the area ends before the stack is unwound.
            if next > self.area.end {
                return Err(Broken::TooDeep);
            }
            let len = next.checked_sub(first).filter(|len| *len > 0).ok_or(Broken::NotUnwound)?;
            copy(memory, first, len).map_err(|_| Broken::TooDeep)
        })?;
        asyncify.stop_unwind.call(&mut context, ())?;
        memory::with_only(context.as_context_mut(), get, |_, memory| {
            let used = HEAD as usize + bytes.len();
            put_back(memory, self.area, self.kept.get(..used).unwrap_or(&self.kept))
        })?;
        let globals = asyncify.globals.iter().map(|global| global.get(&mut context)).collect();
        Ok(Frames { bytes, globals })
    }

    /// What a trap during the unwinding means.
    pub(crate) fn failure(error: wasmtime::Error) -> wasmtime::Error {
        match error.downcast_ref::<wasmtime::Trap>() {
            // Past the area's end, and past the memory's.
            Some(wasmtime::Trap::MemoryOutOfBounds) => Broken::TooDeep.into(),
            _ => error,
        }
    }
}

impl Rewind {
    /// Has the guest rewind its stack when the host calls it next, as it did before.
    ///
    /// # Errors
    /// What ended the guest; `ENOMEM`, of the host, is one.
    pub(crate) fn start<T: 'static>(
        asyncify: &Asyncify,
        mut context: StoreContextMut<'_, T>,
        get: impl Fn(&mut T) -> &mut Guest,
        frames: &Frames,
    ) -> wasmtime::Result<Rewind> {
        for (global, value) in asyncify.globals.iter().zip(&frames.globals) {
            global.set(&mut context, *value)?;
        }
        let pointer = asyncify.stack_pointer(&mut context);
        let (area, kept) = memory::with_only(context.as_context_mut(), get, |_, memory| {
            let need = u32::try_from(frames.bytes.len()).ok().and_then(|len| len.checked_add(HEAD));
            let need = need.ok_or(Errno::NOMEM)?;
            let area = asyncify.area(pointer, memory, need)?;
            let kept = area.keep(memory, need)?;
            put_head(memory, area, area.start + need)?;
            memory.area(area.start + HEAD, need - HEAD)?.put(0, &frames.bytes);
            Ok::<_, Errno>((area, kept))
        })?;
        asyncify.start_rewind.call(&mut context, area.start)?;
        Ok(Rewind { area, kept })
    }

    /// Ends the rewinding in the import that the unwinding began in.
    ///
    /// # Errors
    /// What the guest's module did instead.
    pub(crate) fn finish<T: 'static>(
        self,
        asyncify: &Asyncify,
        mut context: StoreContextMut<'_, T>,
        get: impl Fn(&mut T) -> &mut Guest,
    ) -> wasmtime::Result<()> {
        asyncify.stop_rewind.call(&mut context, ())?;
        memory::with_only(context, get, |_, memory| {
            let next = next(memory, self.area)?;
            put_back(memory, self.area, &self.kept)?;
            if next == self.area.start + HEAD { Ok(()) } else { Err(Broken::NotRewound.into()) }
        })
    }
}

/// Where the next frame goes, or comes from.
fn next(memory: &GuestMemory<'_>, area: Area) -> Result<u32, Broken> {
    memory.read(area.start).map(u32::from_le_bytes).map_err(|_| Broken::NotUnwound)
}

fn put_head(memory: &GuestMemory<'_>, area: Area, next: u32) -> Result<(), Errno> {
    let head = memory.slot::<{ HEAD as usize }>(area.start)?;
    head.put((u64::from(area.end) << 32 | u64::from(next)).to_le_bytes());
    Ok(())
}

fn put_back(memory: &GuestMemory<'_>, area: Area, kept: &[u8]) -> Result<(), Errno> {
    let len = u32::try_from(kept.len()).map_err(|_| Errno::NOMEM)?;
    memory.area(area.start, len)?.put(0, kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_what_is_left_of_the_stack() {
        let area = |start, end| Some(Area { start, end, in_use: false });
        assert_eq!(Area::left(1001, 70_000, 131_072), area(1008, 70_000 - RED_ZONE));
        assert_eq!(Area::left(0, 70_000, 131_072), area(NULL, 70_000 - RED_ZONE), "never at NULL");
        assert_eq!(Area::left(0, 70_000, 65_536), area(NULL, 65_536 - RED_ZONE), "a pointer past the memory");
        assert_eq!(Area::left(0, u32::MAX, u32::MAX), area(NULL, NULL + MOST));
        assert_eq!(Area::left(2000, 2100, 65_536), None, "the red zone");
        assert_eq!(Area::left(9000, 2000, 65_536), None);
        assert_eq!(Area::left(0, 0, 65_536), None);
        assert_eq!(Area::left(u32::MAX, u32::MAX, u32::MAX), None);
    }

    #[test]
    fn memory_in_use_is_taken_only_as_much_as_is_needed() {
        let end = |size, least| Area::in_use(size, least).map(|area| (area.start, area.end));
        assert_eq!(end(65_536, MUCH), Some((NULL, 65_536)));
        assert_eq!(end(1 << 30, MUCH), Some((NULL, NULL + MOST_IN_USE)));
        assert_eq!(end(1 << 30, 5 << 20), Some((NULL, NULL + (5 << 20))));
        assert_eq!(end(65_536, 65_536 - NULL), Some((NULL, 65_536)));
        assert_eq!(end(65_536, 65_537 - NULL), None);
        assert_eq!(end(0, MUCH), None);
        assert_eq!(end(u32::MAX, u32::MAX), None);
    }
}
