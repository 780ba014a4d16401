//! `vnode-layers`: a guest on layers, or a native program on the kernel's, made anew for each run.
//!
//! `vnode-layers OVER DIRECTORY PROGRAM PERCENT OPERATION` has the program (`guests/src/layers.c`) fill a lower, puts an
//! empty upper over it, and runs the program on both. OVER says what the layers are: `kernel`, directories in DIRECTORY
//! that the kernel's overlayfs puts together for the native program; `host`, such directories for a guest; `memory`,
//! memory filesystems for a guest; `archive`, memory over a tar archive of such a directory.

#![allow(clippy::print_stdout, reason = "what it measures is read by the developer's commands")]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use vnode_archive::Archive;
use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Namespace, Timespec};
use vnode_host::Host;
use vnode_memory::Memory;
use vnode_overlay::Overlay;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, Program};

const USAGE: &str = "usage: vnode-layers kernel|host|memory|archive DIRECTORY PROGRAM PERCENT OPERATION";

/// Where the guest finds its directory.
const GUEST_DIR: &str = "/work";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Host::make_room();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vnode-layers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let [over, directory, program, percent, operation] = words else { bail!(USAGE) };
    let (dirs, program) = (Directories::new(Path::new(directory))?, Path::new(program));
    let calls = Calls { percent, operation };
    match *over {
        "kernel" => by_kernel(&dirs, program, &calls),
        "host" => {
            let upper = || Ok(FilesystemRef::new::<Host>(dirs.served("upper")?));
            by_guest(program, &calls, dirs.host("lower")?, &Ok, &upper)
        }
        "memory" => by_guest(program, &calls, memory(), &Ok, &|| Ok(memory())),
        "archive" => {
            let packed = |_| dirs.packed("lower");
            by_guest(program, &calls, dirs.host("lower")?, &packed, &|| Ok(memory()))
        }
        _ => bail!(USAGE),
    }
}

fn memory() -> FilesystemRef {
    FilesystemRef::new::<Memory>(Memory::new())
}

/// What the program is asked for.
struct Calls<'a> {
    percent: &'a str,
    operation: &'a str,
}

/// The directories of one run, removed when dropped.
struct Directories(PathBuf);

impl Directories {
    fn new(path: &Path) -> Result<Self> {
        let dirs = Directories(path.to_owned());
        for name in ["lower", "upper", "work", "merged"] {
            let path = dirs.0.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(dirs)
    }

    fn served(&self, name: &str) -> Result<Arc<Host>> {
        Ok(Arc::new(Host::builder().owners(is_root()).devices(true).set_id(true).open(self.0.join(name))?))
    }

    fn host(&self, name: &str) -> Result<FilesystemRef> {
        Ok(FilesystemRef::new::<Host>(self.served(name)?))
    }

    /// An archive of what is in one of them.
    fn packed(&self, name: &str) -> Result<FilesystemRef> {
        let path = self.0.join("archive.tar");
        let mut tar = tar::Builder::new(fs::File::create(&path)?);
        tar.follow_symlinks(false);
        tar.append_dir_all(".", self.0.join(name))?;
        tar.into_inner()?;
        Ok(FilesystemRef::new::<Archive>(Archive::open(&path)?))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

impl Drop for Directories {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The kernel's overlayfs, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(dirs: &Directories) -> Result<Self> {
        let at = |name: &str| dirs.0.join(name).display().to_string();
        let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "overlay", "-o", &options, "overlay", &at("merged")]).status()?;
        if !status.success() {
            bail!("the kernel's overlayfs can't be mounted here");
        }
        Ok(Mounted(dirs.0.join("merged")))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn by_kernel(dirs: &Directories, program: &Path, calls: &Calls<'_>) -> Result<()> {
    let native = |dir: &Path, words: &[&str]| -> Result<()> {
        // Where a guest has it: a directory of the root.
        let status = Command::new(program).arg(dir.join("work")).args(words).status()?;
        if status.success() { Ok(()) } else { bail!("the native program ended with {status}") }
    };
    native(&dirs.0.join("lower"), &["plant", calls.operation])?;
    let mounted = Mounted::new(dirs)?;
    native(&mounted.0, &[calls.percent, calls.operation])
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

type Make<'a> = &'a dyn Fn() -> Result<FilesystemRef>;

/// Has a guest fill `lower`, and puts an upper over what `made` makes of it.
fn by_guest(
    module: &Path,
    calls: &Calls<'_>,
    lower: FilesystemRef,
    made: &dyn Fn(FilesystemRef) -> Result<FilesystemRef>,
    upper: Make<'_>,
) -> Result<()> {
    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile(&fs::read(module)?)?;
    started(&program, &lower, &["plant", calls.operation])?;
    let lower = made(lower)?;
    let who = Credentials::root();
    let overlay = Overlay::builder().lower(lower).build(&Cx::new(&who, &Now), upper()?);
    let overlay = overlay.context("cannot put the layers together")?;
    started(&program, &FilesystemRef::new::<Overlay>(overlay), &[calls.percent, calls.operation])
}

fn started(program: &Program, root: &FilesystemRef, words: &[&str]) -> Result<()> {
    let guest = Guest::in_namespace(Arc::new(Namespace::new(root.clone()))).inherit_stdio().preopen("/", "/");
    let guest = guest.args(["layers", GUEST_DIR]).args(words.iter().copied());
    match program.run(guest.build(program.module())?)? {
        Outcome::Exited(0) => Ok(()),
        other => bail!("the guest ended with {other:?}"),
    }
}
