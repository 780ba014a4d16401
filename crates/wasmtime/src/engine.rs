//! The engine: Wasmtime as vnode needs it, the cache of compiled modules, and compiling.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wasmtime::{Cache, CacheConfig, Config, InstancePre, Linker, Module, WasmBacktraceDetails};

use crate::guest::Guest;
use crate::imported;
use crate::kind::{self, Shape, Unrunnable};
use crate::link;
use crate::programs::Programs;

/// The most that a guest's WebAssembly stack grows to unless told, in bytes: CPython and Ruby need more than Wasmtime's default.
pub const WASM_STACK: usize = 16 << 20;

/// Compiles and runs guests. One engine serves any number of them at a time; clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    pub(crate) linker: Arc<Linker<Guest>>,
    /// For guests on executors; made when there is one.
    linker_async: Arc<OnceLock<Linker<Guest>>>,
    cache: Option<Cache>,
    pub(crate) stack: usize,
    /// What guests executed last.
    pub(crate) programs: Arc<Programs>,
}

/// Why there can't be an engine.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct EngineError(wasmtime::Error);

/// How an [`Engine`] is made.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where compiled modules are kept; `None` keeps none. What lies there is run as machine code: nobody
    /// else may write there, and it must not lie inside a tree that a guest can write.
    pub cache: Option<PathBuf>,
    /// The most that a guest's WebAssembly stack grows to, in bytes.
    pub stack: usize,
}

/// No cache, and a stack of [`WASM_STACK`].
impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions { cache: None, stack: WASM_STACK }
    }
}

/// Tells whether a module in the binary or the text format is one that vnode runs, by its imports and exports,
/// without compiling it.
///
/// # Errors
/// Why it can't be run.
pub fn inspect(bytes: &[u8]) -> Result<Shape, Unrunnable> {
    let shape = kind::shape(&kind::to_binary(bytes)?)?;
    kind::check(&shape)?;
    Ok(shape)
}

/// A module that can be run, compiled.
#[derive(Clone)]
pub struct Program {
    pub(crate) module: Module,
    /// The module with its imports, unless each guest has a memory of its own among them.
    pub(crate) pre: Option<InstancePre<Guest>>,
    pre_async: Arc<OnceLock<InstancePre<Guest>>>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) engine: Engine,
    cached: bool,
}

/// The directory where the cache of compiled modules belongs: `$XDG_CACHE_HOME/vnode/modules`, else `~/.cache/vnode/modules`.
/// It is for nothing else: Wasmtime removes what it finds there and didn't make.
pub fn default_cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("vnode/modules"))
}

/// Wasmtime's configuration for guests of vnode: synchronous stores, interruption by epochs, a deep stack,
/// threads, exceptions.
///
/// For embedders who make their own engine: start from this and change what you need. Ending a guest from outside
/// needs the interruption by epochs.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        // Unused without async stores, but it may not be below the other.
        .async_stack_size(2 * WASM_STACK)
        .shared_memory(true)
        .wasm_exceptions(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

impl Engine {
    /// Makes an engine.
    ///
    /// # Errors
    /// The machine is not one that Wasmtime compiles for, or the cache's directory can't be used.
    pub fn new(options: &EngineOptions) -> Result<Engine, EngineError> {
        Engine::make(options).map_err(EngineError)
    }

    fn make(options: &EngineOptions) -> wasmtime::Result<Engine> {
        let cache = options.cache.as_deref().map(open_cache).transpose()?;
        let mut config = config();
        config
            .cache(cache.clone())
            .max_wasm_stack(options.stack)
            .async_stack_size(options.stack.saturating_mul(2));
        let engine = wasmtime::Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        link::add_to_linker_sync(&mut linker, |guest: &mut Guest| guest)?;
        Ok(Engine {
            engine,
            linker: Arc::new(linker),
            linker_async: Arc::default(),
            cache,
            stack: options.stack,
            programs: Arc::default(),
        })
    }

    /// Wasmtime's own engine.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Compiles a module in the binary or the text format, if it is one that vnode runs. A module that was
    /// compiled before comes from the cache.
    ///
    /// # Errors
    /// Why it can't be run. What its imports and exports tell is told before anything is compiled.
    pub fn compile(&self, bytes: &[u8]) -> Result<Program, Unrunnable> {
        self.compile_if(bytes, kind::check)
    }

    /// As [`Engine::compile`], for a module that is no command: a plugin, a library. It is not run but instantiated
    /// ([`Program::instantiate`]), and its functions are called one by one.
    ///
    /// # Errors
    /// As [`Engine::compile`], but that `_start` may be missing.
    pub fn compile_library(&self, bytes: &[u8]) -> Result<Program, Unrunnable> {
        self.compile_if(bytes, kind::check_imports)
    }

    fn compile_if(
        &self,
        bytes: &[u8],
        check: impl FnOnce(&Shape) -> Result<(), Unrunnable>,
    ) -> Result<Program, Unrunnable> {
        let wasm = kind::to_binary(bytes)?;
        let shape = kind::shape(&wasm)?;
        check(&shape)?;
        let hits = self.cache_hits();
        let module = Module::from_binary(&self.engine, &wasm).map_err(|error| {
            if kind::has_legacy_exceptions(&wasm) {
                Unrunnable::LegacyExceptions
            } else {
                Unrunnable::Invalid(format!("{error:#}"))
            }
        })?;
        check_start(&module)?;
        let pre = match shape.has_own() {
            false => Some(
                self.linker.instantiate_pre(&module).map_err(|error| self.other_types(&module, &error))?,
            ),
            true => self.misfits(&module).map(|()| None)?,
        };
        Ok(Program {
            module,
            pre,
            pre_async: Arc::default(),
            shape: Arc::new(shape),
            engine: self.clone(),
            cached: self.cache_hits() > hits,
        })
    }

    fn cache_hits(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::cache_hits)
    }

    /// Says which imports don't fit, every name being served.
    fn other_types(&self, module: &Module, error: &wasmtime::Error) -> Unrunnable {
        self.misfits(module).err().unwrap_or_else(|| Unrunnable::Invalid(format!("{error:#}")))
    }

    /// Checks the types of imports, every name being served; that of a memory is what its guest is given.
    fn misfits(&self, module: &Module) -> Result<(), Unrunnable> {
        let misfits: Vec<_> = module
            .imports()
            .filter(|import| !(import.module() == "env" && import.ty().memory().is_some()))
            .filter(|import| {
                let wanted = import.ty();
                if let (Some(tag), "env") = (wanted.tag(), import.module()) {
                    return !wasmtime::FuncType::eq(tag.ty(), imported::tag_type(&self.engine).ty());
                }
                !link::signature(&self.engine, import.module(), import.name())
                    .zip(wanted.func())
                    .is_some_and(|(served, wanted)| wasmtime::FuncType::eq(&served, wanted))
            })
            .map(|import| kind::other_type(import.module(), import.name()))
            .collect();
        if misfits.is_empty() { Ok(()) } else { Err(Unrunnable::Imports(misfits)) }
    }
}

impl Program {
    /// Wasmtime's own module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The module with the imports for a guest on an executor.
    pub(crate) fn pre_async(&self) -> wasmtime::Result<&InstancePre<Guest>> {
        if let Some(pre) = self.pre_async.get() {
            return Ok(pre);
        }
        if self.shape.is_wasix() || self.shape.has_own() {
            return Err(wasmtime::Error::msg(
                "a program for WASIX, or of several threads, runs on threads of its own",
            ));
        }
        let linker = match self.engine.linker_async.get() {
            Some(linker) => linker,
            None => {
                let mut linker = Linker::new(self.module.engine());
                link::add_to_linker_async(&mut linker, |guest: &mut Guest| guest)?;
                self.engine.linker_async.get_or_init(|| linker)
            }
        };
        let pre = linker.instantiate_pre(&self.module)?;
        Ok(self.pre_async.get_or_init(|| pre))
    }

    /// What its imports and exports say.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it came from the cache of compiled modules.
    pub fn is_cached(&self) -> bool {
        self.cached
    }
}

/// That `_start` can be called as a command's.
fn check_start(module: &Module) -> Result<(), Unrunnable> {
    match module.get_export("_start").as_ref().and_then(|start| start.func()) {
        Some(start) if start.params().len() + start.results().len() > 0 => {
            Err(Unrunnable::StartType(start.to_string()))
        }
        _ => Ok(()),
    }
}

fn open_cache(directory: &Path) -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::new();
    config
        .with_directory(directory)
        // Compressing anew for a better ratio would take a processor from the guest for seconds.
        .with_optimized_compression_usage_counter_threshold(u64::MAX);
    Cache::new(config)
}
