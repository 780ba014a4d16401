//! A view, and how one is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vnode_adapt::{Keep, Quota, ReadOnly, SymlinkEmulation};
use vnode_core::fs::Filesystem as _;
use vnode_core::{Credentials, Cx, Errno, FilesystemRef};
use vnode_host::Host;
use vnode_memory::Memory;
use vnode_overlay::{Marks, Overlay, Touched};

use crate::apply::Witness;
use crate::changes::{self, Change, Shown};
use crate::clock::Now;
use crate::error::ViewError;
use crate::upper::{self, Upper};

/// The most directories that can lie on one another.
const MOST_LOWERS: usize = 255;

/// A copy-on-write view of directories of the host, and of other filesystems.
#[derive(Debug)]
pub struct View {
    /// What the guest sees. The directory for changes is let go when nothing of it is left.
    pub filesystem: FilesystemRef,
    /// Where changes are, if in memory.
    pub memory: Option<Arc<Memory>>,
    overlay: Arc<Overlay>,
    /// What it lies over.
    lowers: Vec<FilesystemRef>,
    /// The directory that it is of, if that is one.
    pub(crate) directory: Option<Directory>,
}

/// A directory of the host that a view is of.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    /// Whether links are shown that are kept in hidden files.
    pub(crate) emulation: bool,
    pub(crate) one_mount: bool,
    /// Whether links in its own path are refused.
    pub(crate) no_links: bool,
    /// Which one it was when it was chosen.
    pub(crate) root: Option<Witness>,
}

impl Directory {
    /// Whatever leads to it.
    pub(crate) fn plain(path: &Path) -> Self {
        Directory { path: path.to_owned(), emulation: false, one_mount: false, no_links: false, root: None }
    }
}

/// The choices for a [`View`]: see [`View::of`].
#[derive(Clone, Debug)]
pub struct Builder {
    lowers: Vec<Lower>,
    /// Directories for changes of before, the topmost first.
    frozen: Vec<PathBuf>,
    upper: Option<PathBuf>,
    max_bytes: u64,
    max_inodes: u64,
    one_mount: bool,
    no_links: bool,
    root: Option<Witness>,
    emulation: bool,
    marks: Option<Marks>,
}

/// What a view shows and leaves as it is.
#[derive(Clone, Debug)]
enum Lower {
    Directory(PathBuf),
    Other(FilesystemRef),
}

impl View {
    /// The choices for a view of a directory of the host. Without others changes are kept in memory, without limits.
    pub fn of(directory: impl Into<PathBuf>) -> Builder {
        Builder::of(Lower::Directory(directory.into()))
    }

    /// What was changed since the view was opened with nothing kept: by its guests, in all runs. A directory comes before
    /// what is in it. Nobody may change the view meanwhile.
    ///
    /// Times alone are no change. A directory that was renamed is one change, and what else was done below it tells
    /// where it was. What was removed is told with all that was in it, but for what was renamed. A file that has several
    /// names in a directory of the host is told under those by which it was changed.
    ///
    /// # Errors
    /// `ENAMETOOLONG`: the paths of all that was changed take more than 256 MiB: directories are in one another thousands deep.
    /// Those of the filesystems; `EINTR`: canceled.
    pub fn changes(&self, cx: &Cx<'_>) -> vnode_core::Result<Vec<Change>> {
        changes::changes(cx, &self.now(), &self.before()?)
    }

    /// Whether a filesystem has the root of the topmost one that it is of.
    pub(crate) fn is_of(&self, other: &FilesystemRef) -> bool {
        self.lowers.first().is_some_and(|lower| lower.root().id() == other.root().id())
    }

    pub(crate) fn now(&self) -> Shown {
        Shown { overlay: Arc::clone(&self.overlay), filesystem: self.filesystem.clone() }
    }

    /// What there would be without any change.
    pub(crate) fn before(&self) -> vnode_core::Result<Shown> {
        let memory = FilesystemRef::new::<Memory>(Memory::new());
        Shown::new(over(&self.lowers).volatile(true), memory)
    }

    /// What the directories had under each name when it was first touched, by whatever run, in the order of time: see
    /// [`Overlay::touched`]. Of a directory of the host `dev` is 0 on the device that the directory itself is on.
    ///
    /// # Errors
    /// `EINVAL`: what the directories for changes tell of it is damaged. Those of the filesystems.
    pub fn touched(&self, cx: &Cx<'_>) -> vnode_core::Result<Vec<Touched>> {
        self.overlay.touched(cx)
    }

    /// Adds to what was touched.
    pub(crate) fn note_touched(&self, cx: &Cx<'_>, records: &[Touched]) -> vnode_core::Result<()> {
        self.overlay.note_touched(cx, records)
    }

    /// Has what another view of the same directories told so told, and nothing else. The view is to be opened anew.
    pub(crate) fn replace_touched(&self, cx: &Cx<'_>, records: &[Touched]) -> vnode_core::Result<()> {
        self.overlay.replace_touched(cx, records)
    }

    /// The same for another filesystem, an archive say, that nobody changes.
    pub fn of_filesystem(filesystem: FilesystemRef) -> Builder {
        Builder::of(Lower::Other(filesystem))
    }
}

impl Builder {
    fn of(lower: Lower) -> Self {
        Builder {
            lowers: vec![lower],
            frozen: Vec::new(),
            upper: None,
            max_bytes: 0,
            max_inodes: 0,
            one_mount: false,
            no_links: false,
            root: None,
            emulation: false,
            marks: None,
        }
    }

    /// Adds a directory under those that were given before: what they don't have shows through.
    #[must_use]
    pub fn over(mut self, directory: impl Into<PathBuf>) -> Self {
        self.lowers.push(Lower::Directory(directory.into()));
        self
    }

    /// Adds another filesystem under what was given before.
    #[must_use]
    pub fn over_filesystem(mut self, filesystem: FilesystemRef) -> Self {
        self.lowers.push(Lower::Other(filesystem));
        self
    }

    /// Lays a directory that kept the changes of another view of the same directories over these, under those that were
    /// given this way before. What it keeps counts as changed, and it is never changed any more: any number of views may
    /// have it. It must be used over what it was made over.
    #[must_use]
    pub fn frozen(mut self, directory: impl Into<PathBuf>) -> Self {
        self.frozen.push(directory.into());
        self
    }

    /// Shows the links that [`SymlinkEmulation`] kept in hidden files of the directories.
    #[must_use]
    pub fn emulate_symlinks(mut self, shown: bool) -> Self {
        self.emulation = shown;
        self
    }

    /// Keeps changes in a directory, which is made if it is not there, for its owner alone. It gets `upper/`, `work/`,
    /// `index/`, `meta` and `lock`, in the format of Linux's overlayfs; what is there from before is gone on with.
    #[must_use]
    pub fn changes_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.upper = Some(directory.into());
        self
    }

    /// At most so many bytes of changes, `ENOSPC` past that; 0, the default, for no limit. What is kept already counts.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// At most so many files and directories that are changed or new, `ENOSPC` past that; 0, the default, for no limit.
    /// The overlay has some of its own.
    #[must_use]
    pub fn max_inodes(mut self, inodes: u64) -> Self {
        self.max_inodes = inodes;
        self
    }

    /// Leaves out what is mounted on the host below the directories to look at: `EXDEV`.
    #[must_use]
    pub fn one_mount(mut self, only: bool) -> Self {
        self.one_mount = only;
        self
    }

    /// Refuses directories to look at whose own paths have symbolic links in them, or aren't absolute: `ELOOP`. For paths
    /// that were written down: somebody may have replaced a directory by a link since.
    #[must_use]
    pub fn no_links(mut self, refused: bool) -> Self {
        self.no_links = refused;
        self
    }

    /// Which directory it was when it was chosen: that another one is there is a conflict for all changes.
    pub(crate) fn root(mut self, root: Option<Witness>) -> Self {
        self.root = root;
        self
    }

    /// Chooses the extended attributes in which the overlay keeps what it must know; else they are found, see
    /// [`vnode_overlay::Builder::marks`].
    #[must_use]
    pub fn marks(mut self, marks: Marks) -> Self {
        self.marks = Some(marks);
        self
    }

    /// Opens the view.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn open(self) -> Result<View, ViewError> {
        let given = self.lowers.len() + self.frozen.len();
        if given > MOST_LOWERS {
            return Err(ViewError::TooMany { given });
        }
        let lowers: Vec<_> = self.lowers.iter().map(|lower| self.lower(lower)).collect::<Result<_, _>>()?;
        let mut builder = over(&lowers);
        for path in &self.frozen {
            builder = builder.frozen(self.open_frozen(path)?);
        }
        if let Some(marks) = self.marks {
            builder = builder.marks(marks);
        }
        let (Shown { overlay, filesystem }, memory) = match &self.upper {
            None => self.in_memory(builder)?,
            Some(path) => (self.in_directory(builder, path)?, None),
        };
        let directory = self.directory();
        Ok(View { filesystem, memory, overlay, lowers, directory })
    }

    /// The directory that it is of, if that is all.
    fn directory(&self) -> Option<Directory> {
        match self.lowers.as_slice() {
            [Lower::Directory(path)] => {
                let Builder { emulation, one_mount, no_links, root, .. } = *self;
                Some(Directory { path: path.clone(), emulation, one_mount, no_links, root })
            }
            _ => None,
        }
    }

    fn lower(&self, lower: &Lower) -> Result<FilesystemRef, ViewError> {
        match lower {
            Lower::Directory(path) => {
                let host = Host::builder().one_mount(self.one_mount).no_links(self.no_links);
                let host = host.open(path).map_err(ViewError::Lower)?;
                let host = FilesystemRef::new::<Host>(host);
                if !self.emulation {
                    return Ok(host);
                }
                // To find out whether it has links is to make one, and nothing is made here.
                let host = FilesystemRef::new::<ReadOnly<FilesystemRef>>(ReadOnly::new(host));
                let who = Credentials::root();
                SymlinkEmulation::over(&Cx::new(&who, &Now), host, Keep::HiddenFiles)
                    .map_err(|errno| ViewError::Links { path: path.clone(), errno })
            }
            Lower::Other(filesystem) => Ok(filesystem.clone()),
        }
    }

    /// The directories that it shows.
    fn directories(&self) -> Vec<PathBuf> {
        let directory = |lower: &Lower| match lower {
            Lower::Directory(path) => Some(path.clone()),
            Lower::Other(_) => None,
        };
        self.lowers.iter().filter_map(directory).collect()
    }

    fn open_frozen(&self, path: &Path) -> Result<FilesystemRef, ViewError> {
        let is_private = upper::check_frozen(path, &self.directories())?;
        let host = host_for_changes(is_private).open(path);
        host.map(FilesystemRef::new::<Host>)
            .map_err(|error| ViewError::Frozen { path: path.to_owned(), errno: error.errno })
    }

    fn in_memory(&self, builder: vnode_overlay::Builder) -> Result<(Shown, Option<Arc<Memory>>), ViewError> {
        let memory = Memory::builder().max_bytes(self.max_bytes).max_inodes(self.max_inodes);
        let memory = Arc::new(memory.build());
        let upper = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        // After a loss of power there is nobody to look at it.
        let shown = Shown::new(builder.volatile(true), upper).map_err(ViewError::Overlay)?;
        Ok((shown, Some(memory)))
    }

    fn in_directory(&self, builder: vnode_overlay::Builder, path: &Path) -> Result<Shown, ViewError> {
        if let Some(same) = self.frozen.iter().find(|frozen| upper::is_same(frozen, path)) {
            return Err(ViewError::Nested { upper: path.to_owned(), lower: same.clone() });
        }
        let Upper { path, is_private, lock } = Upper::take(path, &self.directories())?;
        let host = host_for_changes(is_private).open(&path);
        let host = host.map_err(|error| ViewError::upper(&path, error.errno))?;
        let upper = if self.max_bytes == 0 && self.max_inodes == 0 {
            FilesystemRef::new::<Host>(host)
        } else {
            let quota = Quota::<Host>::builder().max_bytes(self.max_bytes).max_inodes(self.max_inodes);
            let quota = quota.build(host).map_err(|errno| ViewError::upper(&path, errno))?;
            FilesystemRef::new::<Quota<Host>>(quota)
        };
        Shown::new(builder.holding(lock), upper).map_err(|errno| match errno {
            Errno::OPNOTSUPP => ViewError::Unfit { path: path.clone() },
            Errno::PERM if !sees_trusted() => ViewError::Privileged { path: path.clone() },
            Errno::INVAL => ViewError::Version { path: path.clone() },
            errno => ViewError::upper(&path, errno),
        })
    }
}

/// How a directory for changes is served.
fn host_for_changes(is_private: bool) -> vnode_host::HostBuilder {
    let is_root = rustix::process::geteuid().is_root();
    Host::builder().devices(true).owners(is_root).set_id(is_private).hide_guards(true)
}

/// The beginning of an overlay over these, the topmost first.
fn over(lowers: &[FilesystemRef]) -> vnode_overlay::Builder {
    lowers.iter().fold(Overlay::builder(), |builder, lower| builder.lower(lower.clone()))
}

impl Shown {
    fn new(builder: vnode_overlay::Builder, upper: FilesystemRef) -> vnode_core::Result<Self> {
        let who = Credentials::root();
        let overlay = Arc::new(builder.build(&Cx::new(&who, &Now), upper)?);
        let filesystem = FilesystemRef::new::<Overlay>(Arc::clone(&overlay));
        Ok(Shown { overlay, filesystem })
    }
}

/// Whether this process may have `trusted.*` attributes (`xattr(7)`).
fn sees_trusted() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CapabilitySet, capabilities};
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
            && !is_in_user_namespace()
    }
    #[cfg(not(target_os = "linux"))]
    {
        rustix::process::geteuid().is_root()
    }
}

/// Whether root here is somebody else outside (`user_namespaces(7)`).
#[cfg(target_os = "linux")]
fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}
