//! What kind of program a module is, told by its imports and exports before anything is compiled.

use std::borrow::Cow;
use std::collections::BTreeSet;

use wasmparser::{Chunk, ExternalKind, Imports, MemoryType, Operator, Parser, Payload, TypeRef};

/// An import by its two names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportName {
    /// The module that it is imported from, `wasi_snapshot_preview1` say.
    pub module: String,
    /// Its name there.
    pub name: String,
}

impl std::fmt::Display for ImportName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module.escape_default(), self.name.escape_default())
    }
}

/// What a module's imports and exports say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The functions that it imports.
    pub functions: BTreeSet<ImportName>,
    /// Memories, tables, globals and tags that it imports, without those below.
    pub others: BTreeSet<ImportName>,
    /// The most pages of 64 KiB that a shared memory of the module's own can grow to.
    pub shared_pages: Option<u64>,
    /// The memory that it imports as `env.memory`.
    pub memory: Option<ImportedMemory>,
    /// The tags of C's and C++'s exceptions that it imports from `env`: `__c_longjmp`, `__cpp_exception`.
    pub tags: BTreeSet<String>,
    /// Whether it exports a function `_start`: a command.
    pub start: bool,
    /// Whether it exports a function `_initialize`: a reactor, a library for another program.
    pub initialize: bool,
}

/// A memory of 32-bit addresses that a module imports, in pages of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedMemory {
    /// Pages from the start.
    pub minimum: u64,
    /// Pages that it can grow to.
    pub maximum: Option<u64>,
    /// Whether threads share it.
    pub shared: bool,
}

/// Tags that a module may import from `env`, of which each guest is given its own: each brings an address.
const TAGS: &[&str] = &["__c_longjmp", "__cpp_exception"];

impl Shape {
    /// Whether some of what it imports is made for each guest.
    pub(crate) fn has_own(&self) -> bool {
        self.memory.is_some() || !self.tags.is_empty()
    }

    /// Whether it is a program for WASIX: a POSIX process.
    pub fn is_wasix(&self) -> bool {
        self.imports_from(WASIX)
    }

    /// Whether a module of this name is imported from.
    pub fn imports_from(&self, module: &str) -> bool {
        self.functions.iter().chain(&self.others).any(|import| import.module == module)
    }
}

/// Why a module can't be run. Each text is a sentence without its full stop, to be read behind the module's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unrunnable {
    /// The bytes are no WebAssembly.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(String),
    /// The bytes end too early.
    #[error("the module is truncated: it ends after {len} bytes, in the middle of {inside}")]
    Truncated {
        /// Bytes that are there.
        len: usize,
        /// What is cut.
        inside: &'static str,
    },
    /// The text format has an error.
    #[error("the module's text has an error: {0}")]
    Text(String),
    /// A component.
    #[error(
        "this is a component (WASI 0.2 or later), which vnode doesn't run yet; build the program for the \
         target wasm32-wasip1 to get a core module"
    )]
    Component,
    /// A program for WASIX.
    #[error(
        "this is a WASIX program of 64-bit addresses (it imports {0}), which vnode doesn't run; those built for \
         wasix_32v1 run"
    )]
    Wasix(ImportName),
    /// A library.
    #[error(
        "this is a reactor: it exports _initialize and no _start, so it is a library for another program; \
         link it as a command (without -mexec-model=reactor) to run it"
    )]
    Reactor,
    /// Nothing to call.
    #[error("the module exports no function _start, so there is nothing to run; a WASI command exports it")]
    NoStart,
    /// `_start` takes or gives values.
    #[error("the module's _start has the type {0}; the _start of a WASI command takes and gives nothing")]
    StartType(String),
    /// Imports that vnode doesn't give.
    #[error("the module imports {}", describe(.0))]
    Imports(Vec<MissingImport>),
    /// The exceptions of before WebAssembly 3.0.
    #[error(
        "the module uses legacy exceptions, which the engine doesn't run; translate it: \
         wasm-opt --translate-to-exnref -all IN.wasm -o OUT.wasm"
    )]
    LegacyExceptions,
    /// The engine refuses the module.
    #[error("the module is invalid: {0}")]
    Invalid(String),
}

/// An import that vnode doesn't give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingImport {
    /// Which.
    pub import: ImportName,
    /// What vnode knows of it.
    pub known: Known,
}

/// What is known of an import that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// Its module is served; no function of that name is.
    NoSuchFunction,
    /// Of the ABI that is named, which is not served yet.
    NotYet(&'static str),
    /// Of another host, with what to do.
    OtherHost(&'static str),
    /// A function of this name is served, but the import is something else or has another type.
    OtherType,
}

impl std::fmt::Display for MissingImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.import)?;
        match self.known {
            Known::No => write!(f, ", which vnode doesn't know"),
            Known::NoSuchFunction => {
                write!(f, ", and vnode knows no such name in {}", self.import.module.escape_default())
            }
            Known::NotYet(what) => write!(f, ", which vnode knows ({what}) but doesn't serve yet"),
            Known::OtherHost(hint) => write!(f, ", which vnode doesn't serve: {hint}"),
            Known::OtherType => write!(f, ", but with another type than the function of that name has"),
        }
    }
}

/// How many missing imports a message names.
const NAMED: usize = 4;

fn describe(missing: &[MissingImport]) -> String {
    let mut text: Vec<String> = missing.iter().take(NAMED).map(ToString::to_string).collect();
    if missing.len() > NAMED {
        text.push(format!("and {} more that can't be given", missing.len() - NAMED));
    }
    text.join("; ")
}

/// The modules that vnode serves, with the names in them.
const SERVED: &[(&str, &[&str])] = &[
    ("wasi_snapshot_preview1", vnode_wasi::PREVIEW1_NAMES),
    ("wasi_unstable", vnode_wasi::UNSTABLE_NAMES),
    (WASIX, vnode_wasi::WASIX_NAMES),
    ("wasi", &["thread-spawn"]),
];

/// The module that makes a program one for WASIX.
pub(crate) const WASIX: &str = "wasix_32v1";

/// Checks that a module of this shape is a command whose imports are all served.
///
/// # Errors
/// [`Unrunnable::Wasix`], [`Unrunnable::Imports`], [`Unrunnable::Reactor`], [`Unrunnable::NoStart`].
pub fn check(shape: &Shape) -> Result<(), Unrunnable> {
    check_imports(shape)?;
    match (shape.start, shape.initialize) {
        (true, _) => Ok(()),
        (false, true) => Err(Unrunnable::Reactor),
        (false, false) => Err(Unrunnable::NoStart),
    }
}

/// Tells whether all that a module imports is served.
///
/// # Errors
/// What it imports that isn't.
pub(crate) fn check_imports(shape: &Shape) -> Result<(), Unrunnable> {
    if let Some(import) = shape.functions.iter().find(|import| import.module == "wasix_64v1") {
        return Err(Unrunnable::Wasix(import.clone()));
    }
    let functions = shape.functions.iter().filter(|import| !is_served(import));
    let missing: Vec<MissingImport> = functions
        .chain(&shape.others)
        .map(|import| MissingImport { import: import.clone(), known: known(import) })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Unrunnable::Imports(missing)) }
}

fn is_served(import: &ImportName) -> bool {
    SERVED.iter().any(|(module, names)| *module == import.module && names.contains(&import.name.as_str()))
}

fn known(import: &ImportName) -> Known {
    let name = import.name.as_str();
    if is_served(import) {
        return Known::OtherType;
    }
    match import.module.as_str() {
        module if SERVED.iter().any(|(served, _)| *served == module) => Known::NoSuchFunction,
        "env" if name == "memory" || TAGS.contains(&name) => Known::OtherType,
        module if module.starts_with("wasi:") => Known::NotYet("WASI 0.2 and later"),
        "gojs" | "go" => Known::OtherHost("Go made it for a browser; build with GOOS=wasip1 GOARCH=wasm"),
        module if module.starts_with("__wbindgen") || module.ends_with("_bg.js") => {
            Known::OtherHost("wasm-bindgen made it for JavaScript; build for the target wasm32-wasip1")
        }
        "env" | "a"
            if name.starts_with("emscripten_") || name.starts_with("invoke_") || name == "_abort_js" =>
        {
            Known::OtherHost("Emscripten made it for JavaScript; link with -sSTANDALONE_WASM")
        }
        _ => Known::No,
    }
}

/// That a module imports a served function with another type.
pub(crate) fn other_type(module: &str, name: &str) -> MissingImport {
    let import = ImportName { module: module.to_owned(), name: name.to_owned() };
    MissingImport { import, known: Known::OtherType }
}

/// The binary format of a module that is given in it or in the text format.
///
/// # Errors
/// [`Unrunnable::Text`].
pub(crate) fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Unrunnable> {
    let is_text = std::str::from_utf8(bytes).is_ok_and(looks_like_text);
    if !is_text {
        return Ok(Cow::Borrowed(bytes));
    }
    wat::parse_bytes(bytes).map_err(|error| Unrunnable::Text(error.to_string()))
}

/// Whether the first thing behind blanks and comments is an open parenthesis.
fn looks_like_text(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix(";;") {
        rest = comment.split_once('\n').map_or("", |(_, next)| next.trim_start());
    }
    rest.starts_with('(')
}

/// Reads what a binary module imports and exports.
///
/// # Errors
/// [`Unrunnable::NotWasm`], [`Unrunnable::Truncated`], [`Unrunnable::Component`], [`Unrunnable::Invalid`].
pub fn shape(wasm: &[u8]) -> Result<Shape, Unrunnable> {
    if Parser::is_component(wasm) {
        return Err(Unrunnable::Component);
    }
    if !Parser::is_core_wasm(wasm) {
        return Err(not_wasm(wasm));
    }
    let mut shape = Shape::default();
    for_each_section(wasm, |payload| read_section(&mut shape, payload))?;
    Ok(shape)
}

/// Whether the code of a module has instructions of the legacy exceptions.
pub(crate) fn has_legacy_exceptions(wasm: &[u8]) -> bool {
    Parser::new(0).parse_all(wasm).flatten().any(|payload| match payload {
        Payload::CodeSectionEntry(body) => body.get_operators_reader().is_ok_and(|operators| {
            operators.into_iter().flatten().any(|operator| {
                matches!(
                    operator,
                    Operator::Try { .. }
                        | Operator::Catch { .. }
                        | Operator::CatchAll
                        | Operator::Rethrow { .. }
                        | Operator::Delegate { .. }
                )
            })
        }),
        _ => false,
    })
}

/// Says what the bytes are that have no module's header.
fn not_wasm(bytes: &[u8]) -> Unrunnable {
    let what = match bytes {
        b"" => "it is empty",
        _ if b"\0asm\x01\0\0\0".starts_with(bytes) => {
            return Unrunnable::Truncated { len: bytes.len(), inside: "its header" };
        }
        [0x7f, b'E', b'L', b'F', ..] => "it is an ELF file, a program of this machine",
        [b'#', b'!', ..] => "it is a script",
        [0x1f, 0x8b, ..] => "it is compressed with gzip; unpack it first",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd; unpack it first",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive; unpack it first",
        [0, b'a', b's', b'm', ..] => "it has the header of another version of WebAssembly",
        _ => "it starts with neither \\0asm nor the text (module",
    };
    Unrunnable::NotWasm(what.to_owned())
}

/// Calls `read` with every section, skipping the code of functions.
fn for_each_section(
    wasm: &[u8],
    mut read: impl FnMut(&Payload<'_>) -> Result<(), wasmparser::Error>,
) -> Result<(), Unrunnable> {
    let truncated = |inside| Unrunnable::Truncated { len: wasm.len(), inside };
    let invalid = |error: wasmparser::Error| Unrunnable::Invalid(error.to_string());
    let mut parser = Parser::new(0);
    let mut rest = wasm;
    loop {
        let at_end = rest.is_empty();
        let chunk = match parser.parse(rest, at_end) {
            // The parser misses a section that an earlier one announces.
            Err(_) if at_end => return Err(truncated("its sections")),
            chunk => chunk.map_err(invalid)?,
        };
        let (consumed, payload) = match chunk {
            Chunk::NeedMoreData(_) => return Err(truncated("a section")),
            Chunk::Parsed { consumed, payload } => (consumed, payload),
        };
        rest = rest.get(consumed..).unwrap_or_default();
        match payload {
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                rest = rest.get(size as usize..).ok_or_else(|| truncated("the code"))?;
            }
            Payload::End(_) => return Ok(()),
            section => read(&section).map_err(invalid)?,
        }
    }
}

fn read_section(shape: &mut Shape, payload: &Payload<'_>) -> Result<(), wasmparser::Error> {
    match payload {
        Payload::ImportSection(section) => {
            for group in section.clone() {
                read_imports(shape, &group?)?;
            }
        }
        Payload::MemorySection(section) => {
            for memory in section.clone() {
                let memory = memory?;
                if memory.shared {
                    shape.shared_pages = shape.shared_pages.max(Some(memory.maximum.unwrap_or(u64::MAX)));
                }
            }
        }
        Payload::ExportSection(section) => {
            for export in section.clone() {
                let export = export?;
                let function = matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact);
                shape.start |= function && export.name == "_start";
                shape.initialize |= function && export.name == "_initialize";
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_imports(shape: &mut Shape, group: &Imports<'_>) -> Result<(), wasmparser::Error> {
    let mut add = |module: &str, name: &str, ty: &TypeRef| {
        if let ("env", "memory", TypeRef::Memory(memory)) = (module, name, ty)
            && !memory.memory64
            && memory.page_size_log2.is_none()
            && shape.memory.is_none()
        {
            let MemoryType { initial: minimum, maximum, shared, .. } = *memory;
            shape.memory = Some(ImportedMemory { minimum, maximum, shared });
            return;
        }
        if let ("env", TypeRef::Tag(_)) = (module, ty)
            && TAGS.contains(&name)
        {
            shape.tags.insert(name.to_owned());
            return;
        }
        let import = ImportName { module: module.to_owned(), name: name.to_owned() };
        match ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => shape.functions.insert(import),
            _ => shape.others.insert(import),
        };
    };
    match group {
        Imports::Single(_, import) => add(import.module, import.name, &import.ty),
        Imports::Compact1 { module, items } => {
            for item in items.clone() {
                let item = item?;
                add(module, item.name, &item.ty);
            }
        }
        Imports::Compact2 { module, ty, names } => {
            for name in names.clone() {
                add(module, name?, ty);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Shape, Unrunnable> {
        shape(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn imports_and_exports_are_read() {
        let shape = of(r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (import "env" "memory" (memory 1))
            (func (export "_start")))"#)
        .unwrap();
        assert!(shape.start && !shape.initialize);
        assert!(shape.imports_from("wasi_snapshot_preview1") && !shape.is_wasix());
        assert_eq!((shape.functions.len(), shape.others.len()), (1, 0));
        assert_eq!(shape.memory, Some(ImportedMemory { minimum: 1, maximum: None, shared: false }));
        let wasix = of(r#"(module
            (import "wasix_32v1" "chdir" (func (param i32 i32) (result i32)))
            (import "env" "memory" (memory 2 3 shared)))"#);
        let shape = wasix.unwrap();
        assert!(shape.is_wasix());
        assert_eq!(shape.memory, Some(ImportedMemory { minimum: 2, maximum: Some(3), shared: true }));
    }

    #[test]
    fn a_start_that_is_no_function_is_none() {
        assert!(!of(r#"(module (global (export "_start") i32 (i32.const 0)))"#).unwrap().start);
    }

    #[test]
    fn every_cut_is_truncation_or_the_end_of_a_section() {
        let wasm = wat::parse_str(r#"(module (func (export "_start") nop nop nop nop))"#).unwrap();
        for len in 1..wasm.len() {
            match shape(&wasm[..len]) {
                Err(Unrunnable::Truncated { len: told, .. }) => assert_eq!(told, len),
                // Cut between sections, a module has a shape: what is missing shows when it is compiled.
                Ok(_) => {}
                Err(other) => panic!("{len}: {other}"),
            }
        }
        let inside_code = wasm.len() - 2;
        assert!(matches!(shape(&wasm[..inside_code]), Err(Unrunnable::Truncated { .. })));
    }

    #[test]
    fn what_is_no_module_is_named() {
        assert_eq!(shape(b""), Err(Unrunnable::NotWasm("it is empty".into())));
        assert!(shape(b"\x7fELF\x02").unwrap_err().to_string().contains("ELF"));
        assert!(shape(b"#!/bin/sh\n").unwrap_err().to_string().contains("script"));
        assert_eq!(of("(component)"), Err(Unrunnable::Component));
    }

    #[test]
    fn legacy_exceptions_are_found_in_the_code() {
        let new = wat::parse_str("(module (tag $t) (func (block $h (try_table (catch $t $h) (throw $t)))))")
            .unwrap();
        assert!(!has_legacy_exceptions(&new));
        // (func try catch_all end) in the encoding that the text format has no words for any more.
        let old = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x08\x01\x06\0\x06\x40\x19\x0b\x0b";
        assert!(has_legacy_exceptions(old));
    }

    fn refusal(text: &str) -> String {
        check(&of(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_command_is_refused_with_what_to_do() {
        let start = r#"(func (export "_start"))"#;
        assert_eq!(check(&of(&format!("(module {start})")).unwrap()), Ok(()));
        assert!(refusal(r#"(module (func (export "_initialize")))"#).contains("reactor"));
        assert!(refusal("(module)").contains("no function _start"));
        for (module, name, says) in [
            ("wasix_64v1", "proc_fork", "64-bit addresses (it imports wasix_64v1.proc_fork)"),
            ("wasix_32v1", "fd_flock", "vnode knows no such name in wasix_32v1"),
            ("wasi_snapshot_preview1", "fd_dup", "vnode knows no such name in wasi_snapshot_preview1"),
            ("wasi_unstable", "sock_accept", "no such name in wasi_unstable"),
            ("wasi", "thread-join", "vnode knows no such name in wasi"),
            ("wasi:cli/run@0.2.0", "run", "WASI 0.2"),
            ("env", "emscripten_notify", "-sSTANDALONE_WASM"),
            ("gojs", "runtime.wasmExit", "GOOS=wasip1"),
            ("./x_bg.js", "f", "wasm32-wasip1"),
            ("env", "printf", "env.printf, which vnode doesn't know"),
        ] {
            let text = refusal(&format!(r#"(module (import "{module}" "{name}" (func)) {start})"#));
            assert!(text.contains(says), "{text}");
        }
        let memory = refusal(&format!(r#"(module (import "wasi_unstable" "fd_read" (memory 1)) {start})"#));
        assert!(memory.contains("another type"), "{memory}");
    }

    #[test]
    fn shared_memories_tell_how_far_they_grow() {
        assert_eq!(of("(module (memory 1 7 shared))").unwrap().shared_pages, Some(7));
        assert_eq!(of("(module (memory 1 7))").unwrap().shared_pages, None);
    }

    #[test]
    fn long_lists_of_missing_imports_are_cut() {
        let missing: Vec<MissingImport> = (0..9)
            .map(|n| ImportName { module: "env".into(), name: format!("f{n}") })
            .map(|import| MissingImport { known: known(&import), import })
            .collect();
        let text = Unrunnable::Imports(missing).to_string();
        assert!(text.contains("env.f3, which vnode doesn't know") && !text.contains("env.f4"), "{text}");
        assert!(text.ends_with("and 5 more that can't be given"), "{text}");
    }
}
