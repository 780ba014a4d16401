//! Builds each C file of `guests/src` into a module of `guests/built`.
//!
//! The same sources give the same bytes on every machine with the same toolchain: no path and no debug
//! information gets into a module. So the modules are committed, nobody needs the toolchain to run the tests,
//! and `--check` finds a module that is not what its source says.

use crate::debian;
use crate::process::{self, check};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's packages of the toolchain.
const PACKAGES: &[&str] = &["clang-14", "lld-14", "wasi-libc", "libclang-rt-14-dev-wasm32", "binaryen"];
/// What of each package has to be there.
const PARTS: &[&str] = &[
    "/usr/bin/clang-14",
    "/usr/bin/wasm-ld-14",
    "/usr/include/wasm32-wasi/wasi/api.h",
    "/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a",
    "/usr/bin/wasm-opt",
];

/// `cargo xtask guests [--check]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let checking = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask guests [--check]"),
    };
    ensure_toolchain()?;
    let root = process::root();
    let scratch = root.join("target/guests");
    fs::create_dir_all(&scratch)?;
    let built = root.join("guests/built");
    fs::create_dir_all(&built)?;
    let sources = sources(&root)?;
    let mut stale = Vec::new();
    for source in &sources {
        let name = stem(source);
        let fresh = scratch.join(format!("{name}.wasm"));
        build(&root, source, &fresh)?;
        let committed = built.join(format!("{name}.wasm"));
        if fs::read(&committed).ok() == Some(fs::read(&fresh)?) {
            continue;
        }
        stale.push(name.clone());
        if !checking {
            fs::copy(&fresh, &committed).with_context(|| format!("cannot write {}", committed.display()))?;
            println!("built {name}.wasm");
        }
    }
    let orphans = orphans(&built, &sources)?;
    if !orphans.is_empty() {
        bail!("guests/built has modules without a source: {}; remove them", orphans.join(", "));
    }
    if checking && !stale.is_empty() {
        bail!(
            "not what the source says: {}; run `cargo xtask guests` and commit guests/built",
            stale.join(", ")
        );
    }
    println!("{} guests, all up to date", sources.len());
    Ok(())
}

/// The guests' sources, sorted.
pub(crate) fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root.join("guests/src")).context("guests/src")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// The name of a guest: its source's without the `.c`.
pub(crate) fn stem(source: &Path) -> String {
    source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether everything that building needs is here.
pub(crate) fn toolchain_is_here() -> bool {
    debian::has(PARTS)
}

/// Installs what is missing of the toolchain where that is possible, else says what it is.
pub(crate) fn ensure_toolchain() -> Result<()> {
    debian::ensure("the toolchain of the guests", PACKAGES, PARTS)
}

/// The compiler with what every module is built with; the caller adds sources or objects.
pub(crate) fn compiler(root: &Path) -> Command {
    let mut command = Command::new("clang-14");
    command.current_dir(root).args(["--target=wasm32-wasi", "-O2", "-D_GNU_SOURCE", "-c"]);
    command.arg(format!("-ffile-prefix-map={}=.", root.display()));
    command
}

/// The linker call. It has no `-O`: with one, clang 14 runs whatever wasm-opt it finds over the module. The C
/// stack lies first in memory, so that running over its end is a trap and not a silent overwriting of data.
pub(crate) fn linker(root: &Path) -> Command {
    let mut command = Command::new("clang-14");
    command.current_dir(root).args([
        "--target=wasm32-wasi",
        "-Wl,--strip-debug",
        "-Wl,--stack-first",
        "-Wl,-z,stack-size=1048576",
    ]);
    command
}

fn build(root: &Path, source: &Path, module: &Path) -> Result<()> {
    let relative = source.strip_prefix(root).unwrap_or(source);
    let object = module.with_extension("o");
    let mut compile = compiler(root);
    let text = fs::read_to_string(source)?;
    let includes = |header: &str| text.contains(&format!("#include \"{header}\""));
    compile.args(["-Wall", "-Wextra", "-Werror", "-Iguests/include"]);
    if includes("jump.h") {
        compile.arg("-mmutable-globals");
    }
    check(compile.arg("-o").arg(&object).arg(relative))?;
    let mut link = linker(root);
    // A guest over include/raw.h brings its own _start, so that it imports one ABI and nothing else.
    if includes("raw.h") {
        link.arg("-nostartfiles");
    }
    // The host unwinds the stack of one that jumps: it has to know where that is.
    if includes("jump.h") {
        link.args(["-Wl,--export=__stack_pointer", "-Wl,--export=__data_end"]);
    }
    check(link.arg(&object).arg("-o").arg(module))?;
    if includes("jump.h") { asyncify(module) } else { Ok(()) }
}

/// Lets the host unwind a module's stack and rewind it.
fn asyncify(module: &Path) -> Result<()> {
    let mut command = Command::new("wasm-opt");
    check(command.args(["-O2", "--asyncify"]).arg(module).arg("-o").arg(module))
}

fn orphans(built: &Path, sources: &[PathBuf]) -> Result<Vec<String>> {
    let known: Vec<String> = sources.iter().map(|source| stem(source)).collect();
    let mut orphans = Vec::new();
    for entry in fs::read_dir(built)? {
        let name = stem(&entry?.path());
        if !known.contains(&name) {
            orphans.push(name);
        }
    }
    orphans.sort();
    Ok(orphans)
}
