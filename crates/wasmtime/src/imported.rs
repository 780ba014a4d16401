//! What a module imports that is made for each guest: its memory, as large as it may grow, as programs of several threads
//! do; the tags of its exceptions.

use wasmtime::{FuncType, Linker, MemoryType, SharedMemory, Store, Tag, TagType, ValType};

use crate::engine::Program;
use crate::guest::Guest;
use crate::kind::{ImportedMemory, Shape};
use crate::run::StartError;

/// Bytes of a page.
const PAGE: u64 = 64 << 10;
/// Pages that 32 bits can address.
const MOST_PAGES: u64 = 1 << 16;

impl ImportedMemory {
    /// The type of the memory that is given for it, which grows no further than `limit` bytes. A memory that is not
    /// shared asks the store's limiter besides.
    ///
    /// # Errors
    /// [`StartError::Instance`]: it has more from the start.
    fn given(&self, limit: Option<u64>) -> Result<MemoryType, StartError> {
        let allowed = limit.map_or(MOST_PAGES, |limit| limit / PAGE);
        let maximum = self.maximum.unwrap_or(MOST_PAGES).min(MOST_PAGES);
        if self.minimum > allowed {
            return Err(refused(self.minimum));
        }
        // Who imports a memory without an end takes one that has one, not the other way round.
        let ends = self.maximum.is_some() || self.shared;
        let pages = |pages: u64| u32::try_from(pages).map_err(|_| refused(pages));
        let maximum = maximum.min(allowed);
        match self.shared {
            true => Ok(MemoryType::shared(pages(self.minimum)?, pages(maximum)?)),
            false => Ok(MemoryType::new(pages(self.minimum)?, ends.then(|| pages(maximum)).transpose()?)),
        }
    }

    /// Makes the memory, gives it to a linker, and tells the guest that it has no other.
    fn define(&self, linker: &mut Linker<Guest>, store: &mut Store<Guest>) -> Result<(), StartError> {
        let failed = |error: wasmtime::Error| StartError::Instance(format!("{error:#}"));
        let given = self.given(store.data().limits().memory)?;
        if self.shared {
            let bytes = self.minimum.saturating_mul(PAGE);
            if !store.data_mut().own_limiter().shared_memory(bytes) {
                return Err(refused(self.minimum));
            }
            let memory = SharedMemory::new(store.engine(), given).map_err(failed)?;
            linker.define(&mut *store, "env", "memory", memory.clone()).map_err(failed)?;
            store.data_mut().has_only_shared(memory);
        } else {
            let memory = wasmtime::Memory::new(&mut *store, given).map_err(failed)?;
            linker.define(&mut *store, "env", "memory", memory).map_err(failed)?;
            store.data_mut().has_only(memory);
        }
        Ok(())
    }
}

/// The type of the tags: an exception of C's or C++'s is an address.
pub(crate) fn tag_type(engine: &wasmtime::Engine) -> TagType {
    TagType::new(FuncType::new(engine, [ValType::I32], []))
}

fn define_tags(shape: &Shape, linker: &mut Linker<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<()> {
    let ty = tag_type(store.engine());
    for name in &shape.tags {
        let tag = Tag::new(&mut *store, &ty)?;
        linker.define(&mut *store, "env", name, tag)?;
    }
    Ok(())
}

impl Program {
    /// The module's instance for a guest.
    ///
    /// # Errors
    /// As Wasmtime's: what a start function of the module did to end the guest, too.
    pub(crate) fn instance_in(&self, store: &mut Store<Guest>) -> Result<wasmtime::Instance, Failed> {
        let instance = if self.shape.has_own() {
            let mut linker = Linker::clone(&self.engine.linker);
            define_tags(&self.shape, &mut linker, store).map_err(Failed::Run)?;
            if let Some(memory) = &self.shape.memory {
                memory.define(&mut linker, store).map_err(Failed::Start)?;
            }
            linker.instantiate(&mut *store, &self.module).map_err(Failed::Run)?
        } else {
            let ready = self.pre.as_ref().ok_or_else(|| no_imports(self))?;
            ready.instantiate(&mut *store).map_err(Failed::Run)?
        };
        if self.shape.memory.is_none()
            && let Some(memory) = instance.get_memory(&mut *store, "memory")
        {
            store.data_mut().has_only(memory);
        }
        Ok(instance)
    }
}

fn no_imports(program: &Program) -> Failed {
    Failed::Start(StartError::Instance(format!("its imports aren't linked: {:?}", program.module.name())))
}

fn refused(pages: u64) -> StartError {
    let bytes = pages.saturating_mul(PAGE);
    StartError::Instance(format!(
        "it needs {bytes} bytes of memory from the start, which is more than it may"
    ))
}

/// Why there is no instance.
pub(crate) enum Failed {
    /// It could not be made.
    Start(StartError),
    /// It could not be made, or a start function ended the guest.
    Run(wasmtime::Error),
}

impl From<Failed> for StartError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Start(error) => error,
            Failed::Run(error) => StartError::Instance(format!("{error:#}")),
        }
    }
}
