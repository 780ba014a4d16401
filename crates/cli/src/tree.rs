//! The guest's tree of mounts, built as the mount options say.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use vnode_adapt::Keep;
use vnode_archive::{Archive, ArchiveBuilder, ArchiveError};
use vnode_core::{Errno, FilesystemRef, Mode, MountFlags, Namespace};
use vnode_host::{Host, HostError};
use vnode_memory::{Builder, Memory};
use vnode_sandbox::{Marks, View, ViewError};

use crate::commands;
use crate::emulation::{self, Emulated};
use crate::failure::Failure;
use crate::mounts::{GuestPath, Kind, Lower, Mount};
use crate::options::{Preopen, Run, User};
use crate::sandbox::Changed;
use crate::stats::{Measured, Mounted};
use crate::system::{self, System};
use crate::trusted::{self, Trusted};
use vnode_cli::load::{self, Owner};
use vnode_cli::text::shown;

/// What a tmpfs has as its root's permissions unless told, as tmpfs(5).
const TMPFS_MODE: u32 = 0o1777;

/// The tree, with what is known about it.
pub(crate) struct Tree {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) mounted: Vec<Mounted>,
    /// Of which can be told what the guest changed.
    pub(crate) overlays: Vec<Changed>,
    /// Where the mounts are, in the order of the options; the root if there were none.
    points: Vec<GuestPath>,
    /// Whether the guest is a POSIX process.
    is_posix: bool,
    /// What keeps other runs out.
    _locks: Vec<File>,
}

impl Tree {
    /// The directories to open for the guest, in order.
    pub(crate) fn preopens(&self, options: &Run) -> Vec<Preopen> {
        let mut preopens: Vec<Preopen> = self
            .points
            .iter()
            .map(|point| Preopen { directory: point.clone(), name: point.spelled().to_owned() })
            .collect();
        preopens.extend(options.preopen.iter().cloned());
        // A POSIX process asks where it stands.
        if let Some(cwd) = options.cwd.as_ref().filter(|_| !self.is_posix) {
            preopens.push(Preopen { directory: cwd.clone(), name: ".".into() });
        }
        preopens
    }
}

/// A filesystem to mount.
struct Served {
    filesystem: FilesystemRef,
    /// Of which the figures are asked for later.
    memory: Option<Arc<Memory>>,
    /// What keeps other runs out for as long as it is served.
    lock: Option<File>,
    /// If it is an overlay.
    view: Option<View>,
}

impl Served {
    fn in_memory(memory: Arc<Memory>) -> Self {
        Served {
            filesystem: FilesystemRef::new::<Memory>(Arc::clone(&memory)),
            memory: Some(memory),
            lock: None,
            view: None,
        }
    }

    fn mounted(self, at: String, kind: Kind) -> Mounted {
        Mounted { at, kind, memory: self.memory }
    }
}

/// Makes every filesystem, fills it, and mounts it.
///
/// # Errors
/// Two mounts on one point; a host directory that can't be served; a copy that fails; a point that can't be.
pub(crate) fn build(
    options: &Run,
    mounts: &[Mount],
    system: Option<&System>,
    measured: &mut Measured,
) -> Result<Tree, Failure> {
    check_points(mounts)?;
    let mut filesystems = Vec::new();
    for mount in mounts {
        let start = Instant::now();
        if let Some(served) = serve(options, mount)? {
            filesystems.push((mount, served));
        }
        if matches!(mount.kind, Kind::Copy | Kind::Image) {
            measured.load += start.elapsed();
        }
    }
    let overlays = filesystems.iter_mut().filter_map(|(mount, served)| {
        let (guest, upper) = (mount.guest.clone(), mount.upper.clone());
        served.view.take().map(|view| Changed { guest, view, upper })
    });
    let overlays = overlays.collect();
    let locks = filesystems.iter_mut().filter_map(|(_, served)| served.lock.take()).collect();
    let mut points: Vec<GuestPath> = filesystems.iter().map(|(mount, _)| mount.guest.clone()).collect();
    if mounts.is_empty() && !options.preopen.iter().any(|preopen| preopen.directory == GuestPath::root()) {
        points.push(GuestPath::root());
    }
    // What is nearer to the root first: a later mount would hide what is below it.
    filesystems.sort_by_key(|(mount, _)| mount.guest.absolute().iter().filter(|&&byte| byte == b'/').count());
    let (root, root_flags, root_kind) = take_root(&mut filesystems)
        .unwrap_or_else(|| (Served::in_memory(own_root(options, mounts)), MountFlags::empty(), Kind::Tmpfs));
    let namespace = Arc::new(Namespace::with_flags(root.filesystem.clone(), root_flags));
    let mut mounted = vec![root.mounted("/".to_owned(), root_kind)];
    commands::mount(&namespace, mounts, options)?;
    if let Some(system) = system {
        system::mount(&namespace, mounts, system)?;
        // Before what is mounted below it, for which a directory would be made up there.
        let tmp = Arc::new(tmpfs(options, (0, 0)).build());
        if system::mount_tmp(&namespace, mounts, &tmp)? {
            mounted.push(Served::in_memory(tmp).mounted("/tmp".to_owned(), Kind::Tmpfs));
        }
    }
    for (mount, served) in filesystems {
        namespace
            .mount_at(mount.guest.absolute(), &served.filesystem, flags(mount))
            .map_err(|errno| about(mount, format_args!("can't mount on {}: {errno}", mount.guest)))?;
        mounted.push(served.mounted(mount.guest.to_string(), mount.kind));
    }
    Ok(Tree { namespace, mounted, overlays, points, is_posix: system.is_some(), _locks: locks })
}

fn check_points(mounts: &[Mount]) -> Result<(), Failure> {
    let mut points = HashMap::new();
    for mount in mounts {
        if let Some(other) = points.insert(mount.guest.absolute(), mount) {
            return Err(Failure::setup(format!(
                "two mounts are on {}: {} and {}; give each its own place",
                mount.guest, other.option, mount.option
            )));
        }
    }
    Ok(())
}

fn take_root(filesystems: &mut Vec<(&Mount, Served)>) -> Option<(Served, MountFlags, Kind)> {
    let at = filesystems.iter().position(|(mount, _)| mount.guest.absolute() == b"/")?;
    let (mount, served) = filesystems.remove(at);
    Some((served, flags(mount), mount.kind))
}

/// The root if no mount is on it: the guest's own if it has nothing else.
fn own_root(options: &Run, mounts: &[Mount]) -> Arc<Memory> {
    let (uid, gid) = if mounts.is_empty() { owner(options.user.as_ref()) } else { (0, 0) };
    let builder =
        Memory::builder().max_bytes(options.max_fs_bytes).max_inodes(options.max_fs_inodes).owner(uid, gid);
    Arc::new(builder.build())
}

/// A memory filesystem as a tmpfs is.
fn tmpfs(options: &Run, (uid, gid): (u32, u32)) -> Builder {
    Memory::builder()
        .max_bytes(options.max_fs_bytes)
        .max_inodes(options.max_fs_inodes)
        .owner(uid, gid)
        .mode(Mode::from_raw(TMPFS_MODE))
}

/// The filesystem of a mount; none if it is optional and not there.
fn serve(options: &Run, mount: &Mount) -> Result<Option<Served>, Failure> {
    match mount.kind {
        Kind::Host => host(options, mount),
        Kind::Image => image(options, mount).map(Some),
        Kind::Tmpfs | Kind::Copy => Ok(Some(Served::in_memory(Arc::new(memory(options, mount)?)))),
        Kind::Overlay => overlay(options, mount).map(Some),
    }
}

fn host(options: &Run, mount: &Mount) -> Result<Option<Served>, Failure> {
    let path = mount.source.as_deref().unwrap_or(Path::new(""));
    let host = match Host::builder().one_mount(mount.one_mount).open(path) {
        Ok(host) => host,
        Err(error) if error.errno == Errno::NOENT && mount.optional => return Ok(None),
        Err(error) => return Err(unserved(mount, &error)),
    };
    if !mount.is_read_only() {
        check_trusted(mount, path)?;
    }
    let filesystem = FilesystemRef::new::<Host>(host);
    let Some(keep) = emulation::keep(options, mount) else {
        return Ok(Some(Served { filesystem, memory: None, lock: None, view: None }));
    };
    let Emulated { filesystem, lock } = emulation::emulate(filesystem, path, keep, mount)
        .map_err(|problem| about(mount, format_args!("{problem}")))?;
    Ok(Some(Served { filesystem, memory: None, lock, view: None }))
}

fn image(options: &Run, mount: &Mount) -> Result<Served, Failure> {
    let filesystem = archive(options, mount, mount.source.as_deref().unwrap_or(Path::new("")))?;
    Ok(Served { filesystem, memory: None, lock: None, view: None })
}

/// An archive, read where it lies.
fn archive(options: &Run, mount: &Mount, path: &Path) -> Result<FilesystemRef, Failure> {
    // An overlay's limits are those of its changes.
    let is_image = mount.kind == Kind::Image;
    let limited = |builder: ArchiveBuilder<'static>| {
        let builder = builder.layer(mount.oci);
        let bytes = mount.size.filter(|_| is_image);
        let builder = bytes.into_iter().fold(builder, ArchiveBuilder::max_bytes);
        mount.inodes.filter(|_| is_image).into_iter().fold(builder, ArchiveBuilder::max_inodes)
    };
    let archive = load::image(path, options.quiet, limited).map_err(|error| {
        let hint = match error {
            ArchiveError::NoArchive if path.is_dir() => "; --overlay and --dir take directories",
            ArchiveError::TooLarge { .. } if is_image => "; size= allows more",
            ArchiveError::TooMany { .. } if is_image => "; inodes= allows more",
            ArchiveError::TooLarge { .. } | ArchiveError::TooMany { .. } => "; unpack it to a directory",
            _ => "",
        };
        about(mount, format_args!("can't serve {}: {error}{hint}", shown(path.as_os_str())))
    })?;
    Ok(FilesystemRef::new::<Archive>(archive))
}

/// Refuses a directory for the guest to write to in which there is what vnode trusts.
fn check_trusted(mount: &Mount, path: &Path) -> Result<(), Failure> {
    let (what, variable) = match trusted::meets(path) {
        None => return Ok(()),
        Some(Trusted::Modules) => (
            "vnode's cache of compiled modules is there, and what a guest writes into it would run as vnode",
            "XDG_CACHE_HOME",
        ),
        Some(Trusted::Sandboxes) => (
            "vnode's sandboxes are there, and what a guest writes into one says what others may see",
            "XDG_STATE_HOME",
        ),
    };
    Err(about(
        mount,
        format_args!("{what}; give another directory, or add ro, or keep them elsewhere ({variable})"),
    ))
}

/// A view of the host's directories with the changes elsewhere.
fn overlay(options: &Run, mount: &Mount) -> Result<Served, Failure> {
    let in_memory = mount.upper.is_none();
    let default = |in_memory_default: u64| if in_memory { in_memory_default } else { 0 };
    let bytes = mount.size.or(options.quota).unwrap_or(default(options.max_fs_bytes));
    let inodes = mount.inodes.unwrap_or(default(options.max_fs_inodes));
    let mut lowers = mount.lowers.iter();
    let mut view = match lowers.next() {
        Some(Lower::Directory(path)) => View::of(path),
        Some(Lower::Image(path)) => View::of_filesystem(archive(options, mount, path)?),
        None => View::of(""),
    };
    for lower in lowers {
        view = match lower {
            Lower::Directory(path) => view.over(path),
            Lower::Image(path) => view.over_filesystem(archive(options, mount, path)?),
        };
    }
    view = view.no_links(mount.is_kept).one_mount(mount.one_mount).max_bytes(bytes).max_inodes(inodes);
    view = view.emulate_symlinks(emulation::keep(options, mount) == Some(Keep::HiddenFiles));
    if mount.user_xattr {
        view = view.marks(Marks::User);
    }
    if let Some(upper) = &mount.upper {
        // A sandbox's own is where sandboxes are.
        if trusted::meets(upper) == Some(Trusted::Modules) {
            check_trusted(mount, upper)?;
        }
        view = view.changes_in(upper);
    }
    view = mount.frozen.iter().fold(view, |view, frozen| view.frozen(frozen));
    match view.open() {
        Ok(view) => Ok(Served {
            filesystem: view.filesystem.clone(),
            memory: view.memory.clone(),
            lock: None,
            view: Some(view),
        }),
        Err(ViewError::Lower(error)) => Err(unserved(mount, &error)),
        Err(error) => Err(about(mount, format_args!("{error}"))),
    }
}

/// Why a directory of the host can't be served.
fn unserved(mount: &Mount, error: &HostError) -> Failure {
    let path = shown(error.path.as_os_str());
    match error.errno {
        Errno::NOENT if let Some(spelled) = mount.with_double_colons() => {
            about(mount, format_args!("the host has no directory {path}; if that was meant, write {spelled}"))
        }
        Errno::NOENT if mount.kind == Kind::Overlay => {
            about(mount, format_args!("the host has no directory {path}"))
        }
        Errno::NOENT => about(
            mount,
            format_args!(
                "the host has no directory {path}; add optional (--dir HOST::GUEST::optional) to go on without it"
            ),
        ),
        Errno::NOTDIR => {
            about(mount, format_args!("{path} is no directory on the host; give the directory that it is in"))
        }
        Errno::LOOP if mount.is_kept => about(
            mount,
            format_args!(
                "{path} was replaced by a link, or a directory that it is in; put it back on the host"
            ),
        ),
        errno @ Errno::ACCES => about(mount, format_args!("vnode may not enter {path} on the host: {errno}")),
        errno => about(mount, format_args!("can't serve {path} of the host: {errno}")),
    }
}

fn about(mount: &Mount, message: std::fmt::Arguments<'_>) -> Failure {
    Failure::setup(format!("{}: {message}", mount.option))
}

fn memory(options: &Run, mount: &Mount) -> Result<Memory, Failure> {
    let (uid, gid) = owner(options.user.as_ref());
    let mut builder = Memory::builder()
        .max_bytes(mount.size.unwrap_or(options.max_fs_bytes))
        .max_inodes(mount.inodes.unwrap_or(options.max_fs_inodes))
        .owner(mount.uid.unwrap_or(uid), mount.gid.unwrap_or(gid));
    if mount.kind == Kind::Tmpfs {
        builder = builder.mode(Mode::from_raw(mount.mode.unwrap_or(TMPFS_MODE)));
    }
    let memory = builder.build();
    if let Some(source) = &mount.source {
        let owner = Owner { uid: mount.uid, gid: mount.gid };
        load::load(&memory, source, owner, options.quiet).map_err(Failure::setup)?;
    }
    Ok(memory)
}

fn owner(user: Option<&User>) -> (u32, u32) {
    user.map_or((0, 0), |user| (user.uid, user.gid))
}

fn flags(mount: &Mount) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::READ_ONLY, mount.is_read_only());
    flags.set(MountFlags::NO_ATIME, mount.no_atime);
    flags
}
