//! What runs the benchmark program: natively, on vnode, and on other runtimes that are found.

use super::targets::Over;
use crate::process;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the guest finds its directory.
const GUEST_DIR: &str = "/work";

/// A directory on the kernel's tmpfs, removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/vnode-bench-{}", std::process::id()));
        fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}: is /dev/shm a tmpfs here?", path.display()))?;
        Ok(Self(path))
    }

    /// A directory of its own for one runner.
    fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One measurement.
pub(super) struct Sample {
    /// Of one repetition.
    pub(super) nanoseconds: f64,
    /// Of what the calls gave.
    pub(super) digest: u64,
}

/// A program with the arguments that stand before the benchmark's own.
pub(super) struct Runner {
    pub(super) name: String,
    program: PathBuf,
    before: Vec<OsString>,
}

impl Runner {
    /// Runs one operation.
    pub(super) fn run(&self, operation: &str, percent: u32) -> Result<Sample> {
        let mut command = Command::new(&self.program);
        command.args(&self.before).arg(percent.to_string()).arg(operation);
        let written = process::output(&mut command)?;
        let line = String::from_utf8_lossy(&written);
        let mut words = line.split_whitespace();
        let sample = (|| {
            words.next().filter(|name| *name == operation)?;
            let repetitions: f64 = words.next()?.parse().ok()?;
            let nanoseconds: f64 = words.next()?.parse().ok()?;
            let digest = u64::from_str_radix(words.next()?, 16).ok()?;
            Some(Sample { nanoseconds: nanoseconds / repetitions, digest })
        })();
        sample.with_context(|| format!("{} wrote {:?}", self.name, line.trim_end()))
    }
}

/// The native twin, vnode, and the others, in this order.
pub(super) fn all(vnode: &Path, scratch: &Scratch, over: Over) -> Result<Vec<Runner>> {
    match over {
        Over::Processes => return of_processes(vnode, scratch),
        Over::Layers => return of_layers(vnode, scratch),
        Over::Memory | Over::Host => {}
    }
    let module = process::root().join("guests/built/bench.wasm");
    let mut before: Vec<OsString> = vec!["run".into()];
    if over == Over::Host {
        before.extend(["--dir".into(), joined(&scratch.dir("vnode")?, "::", Path::new(GUEST_DIR))]);
    }
    before.extend([module.clone().into(), GUEST_DIR.into()]);
    let mut runners = vec![
        Runner {
            name: "native".to_owned(),
            program: native(scratch, "bench", &[])?,
            before: vec![scratch.dir("native")?.into()],
        },
        Runner { name: "vnode".to_owned(), program: vnode.to_path_buf(), before },
    ];
    // The first run compiles the module, the others find it in the cache.
    for runner in &runners {
        runner.run("fstat", 1)?;
    }
    for name in ["wasmtime", "wasmer", "node"] {
        if process::exists(name) {
            runners.push(other(name, &module, scratch)?);
        }
    }
    Ok(runners)
}

/// The native twin and vnode, each of which finds its program to spawn.
fn of_processes(vnode: &Path, scratch: &Scratch) -> Result<Vec<Runner>> {
    let module = process::root().join("guests/built/rates.wasm");
    let program = native(scratch, "rates", &["-static"])?;
    let (tree, native) = (scratch.dir("tree")?, scratch.dir("native")?);
    let inside = tree.join("bin/rates");
    fs::create_dir_all(tree.join("bin"))?;
    fs::copy(&module, &inside)?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
    let root: OsString = joined(&tree, "::", Path::new("/"));
    let before = vec![native.into(), program.clone().into()];
    let native = Runner { name: "native".to_owned(), program, before };
    let before =
        vec!["run".into(), "--copy".into(), root, module.into(), GUEST_DIR.into(), "/bin/rates".into()];
    Ok(vec![native, Runner { name: "vnode".to_owned(), program: vnode.to_path_buf(), before }])
}

/// The kernel's overlayfs, and vnode's on memory and on directories.
fn of_layers(layers: &Path, scratch: &Scratch) -> Result<Vec<Runner>> {
    let module = process::root().join("guests/built/layers.wasm");
    let native = native(scratch, "layers", &[])?;
    let runner = |over: &str, name: &str, program: &Path| Runner {
        name: name.to_owned(),
        program: layers.to_path_buf(),
        before: vec![over.into(), scratch.0.join(over).into(), program.into()],
    };
    Ok(vec![
        runner("kernel", "kernel", &native),
        runner("memory", "memory", &module),
        runner("host", "host", &module),
        runner("archive", "archive", &module),
    ])
}

/// Builds the native twin of a guest.
fn native(scratch: &Scratch, name: &str, flags: &[&str]) -> Result<PathBuf> {
    let program = scratch.0.join(name);
    let guests = process::root().join("guests");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-D_GNU_SOURCE", "-I"]).arg(guests.join("include"));
    compiler.args(flags).arg(guests.join(format!("src/{name}.c")));
    process::check(compiler.arg("-o").arg(&program))?;
    Ok(program)
}

fn joined(first: &Path, between: &str, second: &Path) -> OsString {
    let mut word = first.as_os_str().to_owned();
    word.push(between);
    word.push(second);
    word
}

/// Another runtime, on a directory of the kernel's tmpfs: it has no filesystem of its own.
fn other(name: &str, module: &Path, scratch: &Scratch) -> Result<Runner> {
    let host = scratch.dir(name)?;
    let guest = Path::new(GUEST_DIR);
    let before: Vec<OsString> = match name {
        "wasmtime" => {
            vec!["run".into(), "--dir".into(), joined(&host, "::", guest), module.into(), GUEST_DIR.into()]
        }
        "wasmer" => vec![
            "run".into(),
            "--mapdir".into(),
            joined(guest, ":", &host),
            module.into(),
            "--".into(),
            GUEST_DIR.into(),
        ],
        "node" => {
            let script = scratch.0.join("run.mjs");
            fs::write(&script, NODE)?;
            vec!["--no-warnings".into(), script.into(), host.into(), module.into(), GUEST_DIR.into()]
        }
        _ => bail!("no way to start {name} is known"),
    };
    Ok(Runner { name: name.to_owned(), program: name.into(), before })
}

/// Runs `MODULE ARGUMENTS...` with its directory on HOST.
const NODE: &str = "\
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';
const [host, module, directory, ...rest] = process.argv.slice(2);
const wasi = new WASI({
  version: 'preview1',
  args: [module, directory, ...rest],
  preopens: { [directory]: host },
});
const compiled = await WebAssembly.compile(await readFile(module));
wasi.start(await WebAssembly.instantiate(compiled, wasi.getImportObject()));
";
