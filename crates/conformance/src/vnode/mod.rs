//! vnode itself as a subject: the core's operations over any filesystem, with the little of a process that they
//! need - root, cwd, umask, credentials and a table of open files.
//!
//! Nothing here knows what a path means; that is the core's to get right.

mod process;
mod resolve;
#[cfg(feature = "engine")]
mod shared;
mod subject;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use vnode_core::fs::{Access, File};
use vnode_core::{
    Clock, Credentials, FilesystemRef, Listing, Mode, MountFlags, Name, Namespace, Place, Policy, Result,
    Timespec,
};
use vnode_memory::Memory;

use std::sync::Arc;

use crate::subject::Needs;

/// Makes an empty filesystem that holds so many bytes and inodes; 0 is no limit.
pub type Make = Box<dyn Fn(u64, u64) -> FilesystemRef + Send>;

/// Makes a filesystem of which all that another one holds is a lower.
pub type Cover = Box<dyn Fn(FilesystemRef) -> FilesystemRef + Send>;

/// Where in the namespace the tests' root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The filesystem is the namespace's root.
    Root,
    /// The filesystem is mounted below another one, on `/mnt`, and that is the process's root.
    SubMount,
    /// The filesystem is mounted below one in memory, on `/mnt`, and the process's root is that one's.
    Below,
    /// A directory of the filesystem is mounted once more (`bind`), and that is the process's root.
    Bind,
}

/// A process on a namespace of vnode.
pub struct Vnode {
    name: String,
    make: Make,
    layout: Layout,
    cover: Option<Cover>,
    freezer: Option<Cover>,
    /// Names that are looked at before each call.
    warming: Vec<Vec<u8>>,
    ns: Arc<Namespace>,
    root: Place,
    cwd: Place,
    policy: Policy,
    lacks: Needs,
    /// Timestamps are the kernel's.
    by_kernel: bool,
    credentials: Credentials,
    umask: u32,
    clock: Ticking,
    open: BTreeMap<u32, Open>,
    next: u32,
}

/// An open file.
struct Open {
    place: Place,
    node: Node,
    access: Access,
    append: bool,
    offset: u64,
}

enum Node {
    File(Arc<dyn File>),
    Directory(Box<Listing>),
    Path,
}

/// A clock that never tells the same time twice; copies are the same clock.
#[derive(Clone)]
struct Ticking(Arc<AtomicU64>);

impl Ticking {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ticking(Arc::new(AtomicU64::new(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2))))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timespec {
        Timespec::from_nanos(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

impl Vnode {
    /// A process whose root is an empty filesystem that `make` makes, placed as `layout` says.
    ///
    /// # Errors
    /// Those of making the mount point and mounting.
    pub fn new(name: &str, layout: Layout, make: Make) -> Result<Self> {
        let clock = Ticking::new();
        let (ns, root) = tree(&make, layout, &clock)?;
        Ok(Vnode {
            name: format!("{name}, {}", layout.words()),
            make,
            layout,
            cover: None,
            freezer: None,
            warming: Vec::new(),
            ns,
            cwd: root.clone(),
            root,
            policy: Policy::Posix,
            lacks: Needs::empty(),
            by_kernel: false,
            credentials: Credentials::root(),
            umask: 0o022,
            clock,
            open: BTreeMap::new(),
            next: 3,
        })
    }

    /// The same, over a filesystem that lacks something.
    pub fn lacking(mut self, lacks: Needs) -> Self {
        self.lacks = lacks;
        self
    }

    /// The same, over a filesystem whose timestamps the kernel gives.
    pub fn timed_by_the_kernel(mut self) -> Self {
        self.by_kernel = true;
        self
    }

    /// The same, over a filesystem that is covered once the tree is filled.
    pub fn covered(mut self, cover: Cover) -> Self {
        self.cover = Some(cover);
        self
    }

    /// The same, over a filesystem of which another one that is never changed is made when it is frozen.
    pub fn frozen_by(mut self, freezer: Cover) -> Self {
        self.freezer = Some(freezer);
        self
    }

    /// The same, looking at some paths before each call: what they are, where they lead, what they list.
    pub fn warmed(mut self, paths: Vec<Vec<u8>>) -> Self {
        self.warming = paths;
        self
    }

    /// The same, resolving paths by another policy.
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

impl Layout {
    fn words(self) -> &'static str {
        match self {
            Layout::Root => "at the root",
            Layout::SubMount => "at a sub-mount",
            Layout::Below => "below the root",
            Layout::Bind => "at a bind mount",
        }
    }
}

/// A fresh namespace and the process's root in it.
fn tree(make: &Make, layout: Layout, clock: &dyn Clock) -> Result<(Arc<Namespace>, Place)> {
    let (ns, root) = match layout {
        Layout::Root | Layout::Bind => rooted(make(0, 0)),
        Layout::SubMount => mounted(make(0, 0), &make(0, 0))?,
        Layout::Below => below(&make(0, 0), clock)?,
    };
    if layout != Layout::Bind {
        return Ok((ns, root));
    }
    let source = process::make_directory(&ns, clock, b"source")?;
    process::make_directory(&ns, clock, POINT)?;
    let root = ns.bind(ns.root(), Name::new(POINT)?, &source, MountFlags::empty())?;
    Ok((ns, root))
}

/// Where what is mounted is mounted.
const POINT: &[u8] = b"mnt";

fn rooted(fs: FilesystemRef) -> (Arc<Namespace>, Place) {
    let ns = Namespace::new(fs);
    let root = ns.root().clone();
    (Arc::new(ns), root)
}

/// A namespace with a process whose root is a filesystem that is mounted on another one.
fn mounted(outer: FilesystemRef, fs: &FilesystemRef) -> Result<(Arc<Namespace>, Place)> {
    let ns = Namespace::new(outer);
    let root = ns.mount(ns.root(), Name::new(POINT)?, fs, MountFlags::empty())?;
    Ok((Arc::new(ns), root))
}

/// A namespace with a process that has a filesystem mounted below its root.
fn below(fs: &FilesystemRef, clock: &dyn Clock) -> Result<(Arc<Namespace>, Place)> {
    let outer = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0).build();
    let (ns, root) = rooted(FilesystemRef::new::<Memory>(outer));
    process::make_directory(&ns, clock, POINT)?;
    ns.mount(&root, Name::new(POINT)?, fs, MountFlags::empty())?;
    Ok((ns, root))
}
