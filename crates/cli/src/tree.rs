//! The guest's tree of mounts, built as the mount options say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use vnode_core::{FilesystemRef, Mode, MountFlags, Namespace};
use vnode_memory::Memory;

use crate::failure::Failure;
use crate::mounts::{GuestPath, Kind, Mount};
use crate::options::{Preopen, Run, User};
use crate::stats::{Measured, Mounted};
use vnode_cli::load::{self, Owner};

/// What a tmpfs has as its root's permissions unless told, as tmpfs(5).
const TMPFS_MODE: u32 = 0o1777;

/// The tree, with what is known about it.
pub(crate) struct Tree {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) mounted: Vec<Mounted>,
}

/// The directories to open for the guest, in order.
pub(crate) fn preopens(options: &Run, mounts: &[Mount]) -> Vec<Preopen> {
    let named = |directory: &GuestPath| Preopen {
        directory: directory.clone(),
        name: directory.spelled().to_owned(),
    };
    let mut preopens: Vec<Preopen> = mounts.iter().map(|mount| named(&mount.guest)).collect();
    if mounts.is_empty() && !options.preopen.iter().any(|preopen| preopen.directory == GuestPath::root()) {
        preopens.push(named(&GuestPath::root()));
    }
    preopens.extend(options.preopen.iter().cloned());
    if let Some(cwd) = &options.cwd {
        preopens.push(Preopen { directory: cwd.clone(), name: ".".into() });
    }
    preopens
}

/// Makes every filesystem, fills it, and mounts it.
///
/// # Errors
/// Two mounts on one point; a copy that fails; a point that can't be.
pub(crate) fn build(options: &Run, mounts: &[Mount], measured: &mut Measured) -> Result<Tree, Failure> {
    let mut points = HashSet::new();
    if let Some(mount) = mounts.iter().find(|mount| !points.insert(mount.guest.absolute())) {
        return Err(Failure::setup(format!("two mounts are on {}; give each its own place", mount.guest)));
    }
    let mut filesystems = Vec::new();
    for mount in mounts {
        let start = Instant::now();
        filesystems.push((mount, Arc::new(filesystem(options, mount)?)));
        if mount.kind == Kind::Copy {
            measured.load += start.elapsed();
        }
    }
    // What is nearer to the root first: a later mount would hide what is below it.
    filesystems.sort_by_key(|(mount, _)| mount.guest.absolute().iter().filter(|&&byte| byte == b'/').count());
    assemble(options, filesystems)
}

fn assemble(options: &Run, mut filesystems: Vec<(&Mount, Arc<Memory>)>) -> Result<Tree, Failure> {
    let root = match filesystems.iter().position(|(mount, _)| mount.guest.absolute() == b"/") {
        Some(at) => {
            let (mount, memory) = filesystems.remove(at);
            (memory, flags(mount))
        }
        None => (Arc::new(root(options, filesystems.is_empty())), MountFlags::empty()),
    };
    let (memory, root_flags) = root;
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let namespace = Arc::new(Namespace::with_flags(fs, root_flags));
    let mut mounted = vec![Mounted { at: "/".to_owned(), memory }];
    for (mount, memory) in filesystems {
        let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        namespace
            .mount_at(mount.guest.absolute(), &fs, flags(mount))
            .map_err(|errno| Failure::setup(format!("can't mount on {}: {errno}", mount.guest)))?;
        mounted.push(Mounted { at: mount.guest.to_string(), memory });
    }
    Ok(Tree { namespace, mounted })
}

/// The root if no mount is on it: the guest's own if it has nothing else.
fn root(options: &Run, is_all: bool) -> Memory {
    let (uid, gid) = if is_all { owner(options.user.as_ref()) } else { (0, 0) };
    Memory::builder()
        .max_bytes(options.max_fs_bytes)
        .max_inodes(options.max_fs_inodes)
        .owner(uid, gid)
        .build()
}

fn filesystem(options: &Run, mount: &Mount) -> Result<Memory, Failure> {
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
    flags.set(MountFlags::READ_ONLY, mount.read_only);
    flags.set(MountFlags::NO_ATIME, mount.no_atime);
    flags
}
