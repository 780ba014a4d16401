//! The guest's memory for the time of one call: the only place where Wasmtime's memory becomes raw addresses.
#![allow(unsafe_code)]

use vnode_kernel::Process;
use vnode_wasi::GuestMemory;
use wasmtime::{AsContextMut, Caller, Extern, Memory, Module, ModuleExport, SharedMemory, StoreContextMut};

use crate::guest::Guest;

/// How a guest's memory is found in a call.
#[derive(Clone)]
pub(crate) enum Finder {
    /// The store has one instance and gets no other: this is its memory.
    Only(Memory),
    /// The same, which threads share.
    OnlyShared(SharedMemory),
    /// In the calling instance, by its index in the module that the guest was made for.
    Export(ModuleExport),
    /// In the calling instance, by its name.
    Name,
}

impl Finder {
    /// For the instance of a module.
    pub(crate) fn of(module: &Module) -> Finder {
        module.get_export_index("memory").map_or(Finder::Name, Finder::Export)
    }
}

/// Calls `then` with the process and the memory of the instance that calls.
///
/// Where a store may hold several instances, the export is looked up in the calling one each time: a handle kept
/// from an earlier call could be another's. Of a memory that is not there every address is out of bounds.
#[inline(always)]
pub(crate) fn with<T: 'static, R>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    then: impl FnOnce(&Process, &GuestMemory<'_>) -> R,
) -> R {
    let known = match get(caller.data_mut()).memory() {
        Finder::Only(memory) => Ok(Extern::Memory(*memory)),
        Finder::OnlyShared(memory) => Ok(Extern::SharedMemory(memory.clone())),
        Finder::Export(export) => Err(Some(*export)),
        Finder::Name => Err(None),
    };
    let exported = match known {
        Ok(memory) => Some(memory),
        // Another module's instance doesn't have the index: by name, which is slower.
        Err(Some(export)) => caller.get_module_export(&export).or_else(|| caller.get_export("memory")),
        Err(None) => caller.get_export("memory"),
    };
    over(caller.as_context_mut(), exported, get, then)
}

/// The same where nobody calls, for a guest that has only one memory ([`Guest::has_only`]); one that may have several has
/// none here.
pub(crate) fn with_only<T: 'static, R>(
    mut context: StoreContextMut<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
    then: impl FnOnce(&Process, &GuestMemory<'_>) -> R,
) -> R {
    let only = match get(context.data_mut()).memory() {
        Finder::Only(memory) => Some(Extern::Memory(*memory)),
        Finder::OnlyShared(memory) => Some(Extern::SharedMemory(memory.clone())),
        Finder::Export(_) | Finder::Name => None,
    };
    over(context, only, get, then)
}

#[inline(always)]
fn over<T: 'static, R>(
    mut context: StoreContextMut<'_, T>,
    exported: Option<Extern>,
    get: impl Fn(&mut T) -> &mut Guest,
    then: impl FnOnce(&Process, &GuestMemory<'_>) -> R,
) -> R {
    let (base, len) = match &exported {
        Some(Extern::Memory(memory)) => (memory.data_ptr(&context), memory.data_size(&context)),
        Some(Extern::SharedMemory(memory)) => {
            let data = memory.data();
            (data.as_ptr().cast_mut().cast::<u8>(), data.len())
        }
        _ => (std::ptr::null_mut(), 0),
    };
    let guest = get(context.data_mut());
    // SAFETY: Wasmtime keeps `len` bytes at `base` mapped, readable and writable. They stay so and where they are
    // while `memory` lives, that is during `then`: a memory of the store grows, moves or is dropped only by
    // somebody who has the store, which this function borrows until it returns and `then` can't reach; a shared
    // memory never moves or shrinks, and `exported` holds it. No reference to the bytes exists: guest code of
    // this store doesn't run before the call returns, and embedders can only get one by borrowing the store.
    // Other threads that write a shared memory are what `GuestMemory` is made for.
    let memory = unsafe { GuestMemory::new(base, len) };
    then(guest.process(), &memory)
}
