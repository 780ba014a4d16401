//! Directories of the host that are the layers of an overlay: vnode's, and the kernel's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use vnode_core::{Clock, Credentials, Cx, Errno, FilesystemRef, Result, Timespec};
use vnode_host::Host;
use vnode_overlay::{Builder, Marks, Overlay};

use crate::random::Random;
use crate::tree::{Times, Tree};
use crate::vnode::{Layout, Vnode};
use crate::{call, value};

/// The clock of calls that set no time.
pub(crate) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// What a lower may have.
pub const LOWER: &str = "
mkdir a
file a/x one
file a/y two
mkdir a/sub
file a/sub/deep three
mkdir a/sub/empty
file f1 first
file f2 second
file f3 third
setxattr f3 user.tag value
file big <b*70000>
chmod big 600
symlink a/x link
mkdir full
file full/1 1
file full/2 2
mkdir none
mkdir opaque
file opaque/hidden h
mkdir moved
file moved/in in
mkdir moved/deeper
file moved/deeper/still still
";

/// Calls at random, on names that [`LOWER`] has and on few others.
pub fn random_script(random: &mut Random) -> String {
    const PATHS: [&str; 16] = [
        "a",
        "a/x",
        "a/sub",
        "a/sub/deep",
        "a/sub/empty",
        "moved",
        "moved/in",
        "moved/deeper",
        "full",
        "full/1",
        "f1",
        "none",
        "new",
        "new/x",
        "a/new",
        "moved/deeper/still",
    ];
    let mut script = String::new();
    for _ in 0..30 {
        let (one, two) = (random.of(PATHS), random.of(PATHS));
        let line = match random.below(12) {
            0 | 1 => format!("mkdir {one}"),
            2 => format!("file {one} {}", two.len()),
            3 | 4 => format!("unlink {one}"),
            5 | 6 => format!("rmdir {one}"),
            7 | 8 => format!("rename {one} {two}"),
            9 => format!("rename {one} {two} exchange"),
            10 => format!("chmod {one} 751"),
            _ => format!("symlink {two} {one}"),
        };
        script.push_str(&line);
        script.push('\n');
    }
    script
}

/// A directory with the layers of an overlay, that goes with it: `lower`, `top/upper`, `top/work` and, for what the
/// kernel mounts, `mounted`.
#[derive(Debug)]
pub struct Layers {
    path: PathBuf,
    /// The directories of uppers of before, the topmost first.
    frozen: Vec<PathBuf>,
    lowers: Vec<PathBuf>,
}

impl Layers {
    /// Empty ones, with one lower.
    ///
    /// # Errors
    /// `EIO`: they can't be made there.
    pub fn new(within: &Path) -> Result<Self> {
        let mut layers = Layers::over(within, Vec::new())?;
        let lower = layers.path.join("lower");
        make_all(&lower)?;
        layers.lowers.push(lower);
        Ok(layers)
    }

    /// An empty upper, over lowers that are there and stay.
    ///
    /// # Errors
    /// As [`Layers::new`].
    pub fn over(within: &Path, lowers: Vec<PathBuf>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("vnode-layers-{}-{number}", std::process::id()));
        for name in ["top/upper", "top/work", "mounted"] {
            make_all(&path.join(name))?;
        }
        Ok(Layers { path, frozen: Vec::new(), lowers })
    }

    /// An empty upper over these, the upper of which is only read from now on.
    ///
    /// # Errors
    /// As [`Layers::new`].
    pub fn above(&self, within: &Path) -> Result<Self> {
        let mut above = Layers::over(within, self.lowers.clone())?;
        above.frozen = [self.path("top")].into_iter().chain(self.frozen.iter().cloned()).collect();
        Ok(above)
    }

    /// A directory in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The topmost lower.
    pub fn lower(&self) -> &Path {
        self.lowers.first().map_or(&self.path, PathBuf::as_path)
    }

    /// Where the kernel's overlay is to be mounted.
    pub fn point(&self) -> PathBuf {
        self.path("mounted")
    }

    /// The kernel's mount options, with some more.
    pub fn options(&self, more: &str) -> String {
        let frozen = self.frozen.iter().map(|top| top.join("upper"));
        let lowers = frozen.chain(self.lowers.iter().cloned());
        let lowers: Vec<_> = lowers.map(|lower| lower.display().to_string()).collect();
        let of = |name: &str| self.path(name).display().to_string();
        format!(
            "lowerdir={},upperdir={},workdir={},{more}",
            lowers.join(":"),
            of("top/upper"),
            of("top/work")
        )
    }

    /// vnode's overlay of them.
    ///
    /// # Errors
    /// Those of making it.
    pub fn overlay(&self, marks: Marks) -> Result<FilesystemRef> {
        let mut builder = Overlay::builder();
        for top in &self.frozen {
            builder = builder.frozen(host(top)?);
        }
        build(builder.marks(marks), &self.lowers, &self.path("top"))
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn make_all(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|_| Errno::IO)
}

/// An overlay of directories of the host, the topmost lower first.
///
/// # Errors
/// Those of making it.
pub fn over(lowers: &[PathBuf], top: &Path, marks: Marks) -> Result<FilesystemRef> {
    build(Overlay::builder().marks(marks), lowers, top)
}

fn build(mut builder: Builder, lowers: &[PathBuf], top: &Path) -> Result<FilesystemRef> {
    let who = Credentials::root();
    for lower in lowers {
        builder = builder.lower(host(lower)?);
    }
    let overlay = builder.build(&Cx::new(&who, &Epoch), host(top)?)?;
    Ok(FilesystemRef::new::<Overlay>(overlay))
}

/// A directory of the host, in which devices, owners and set-user-id are as anywhere; nobody but root may.
///
/// # Errors
/// Those of opening it.
pub fn host(path: &Path) -> Result<FilesystemRef> {
    let builder = Host::builder().set_id(true).devices(true).owners(true);
    Ok(FilesystemRef::new::<Host>(builder.open(path).map_err(|error| error.errno)?))
}

/// A process on a filesystem.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn process(fs: FilesystemRef) -> Result<Vnode> {
    Vnode::new("layers", Layout::Root, Box::new(move |_, _| fs.clone()))
}

/// All that a filesystem holds.
///
/// # Errors
/// Those of looking at it.
pub fn tree(fs: &FilesystemRef) -> Result<Tree> {
    Tree::of(&mut process(fs.clone())?, &call::Env::default(), Times::Left)
}

/// A process, and what it has at hand.
pub struct Process {
    /// The process.
    pub subject: Vnode,
    env: call::Env,
}

impl Process {
    /// A process on a filesystem.
    ///
    /// # Panics
    /// It can't be made.
    pub fn on(fs: &FilesystemRef) -> Self {
        match process(fs.clone()) {
            Ok(subject) => Process { subject, env: call::Env::default() },
            Err(errno) => unreachable!("a process at the root of a filesystem: {errno}"),
        }
    }

    /// What a line comes to.
    ///
    /// # Panics
    /// It is none of the language.
    pub fn does(&mut self, line: &str) -> String {
        match call::run_text(&mut self.subject, &mut self.env, line) {
            Ok(outcome) => value::describe(&outcome),
            Err(call_is_bad) => unreachable!("{}", call_is_bad.0),
        }
    }

    /// Checks what lines come to.
    ///
    /// # Panics
    /// A line comes to something else.
    pub fn all_do(&mut self, lines: &[(&str, &str)]) {
        for (line, right) in lines {
            assert_eq!(self.does(line), *right, "{line}");
        }
    }
}

/// Carries out lines none of which may fail.
///
/// # Errors
/// The line, and what it came to.
pub fn carry_out(fs: &FilesystemRef, script: &str) -> std::result::Result<(), String> {
    let mut process = Process::on(fs);
    for line in script.lines().filter(|line| !line.is_empty()) {
        let outcome = call::run_text(&mut process.subject, &mut process.env, line).map_err(|bad| bad.0)?;
        if outcome.is_err() {
            return Err(format!("{line}: {}", value::describe(&outcome)));
        }
    }
    Ok(())
}
