//! What all threads work on: a root, and a filesystem that is mounted to be written, to be read, and in part.

use std::sync::Arc;

use vnode_core::fs::{Access, At, Filesystem, NewInode, NewKind, Rename};
use vnode_core::{
    Caller, Clock, Credentials, Cx, FilesystemRef, Follow, Mode, MountFlags, Name, Namespace, OpenFlags,
    OpenHow, Place, Policy, Timespec, VPath,
};
use vnode_memory::{Memory, Node};

pub(crate) struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000, nsec: 0 }
    }
}

pub(crate) struct World {
    pub(crate) root: Arc<Memory>,
    pub(crate) data: Arc<Memory>,
    pub(crate) namespace: Arc<Namespace>,
    /// The root of the bind mount, which the mount holds even when it is removed.
    pub(crate) bound: Arc<Node>,
}

impl World {
    /// `data` is at `/d`, read-only at `/ro`, its directory `a` at `/bound`; both filesystems are small enough to be
    /// full now and then.
    pub(crate) fn new() -> World {
        World::through(|fs| fs)
    }

    /// The same, with what `adapt` makes of each filesystem mounted instead.
    pub(crate) fn through(mut adapt: impl FnMut(FilesystemRef) -> FilesystemRef) -> World {
        let memory = || {
            Arc::new(
                Memory::builder().max_bytes(200 * 4096).max_inodes(60).mode(Mode::from_raw(0o777)).build(),
            )
        };
        let (root, data) = (memory(), memory());
        let who = Credentials::root();
        let cx = Cx::new(&who, &Fixed);
        let new = NewInode { kind: NewKind::Directory, mode: Mode::from_raw(0o777), uid: 0, gid: 0 };
        let top = Filesystem::root(&*data);
        let bound = data.create(&cx, At { dir: &top, name: Name::new(b"a").unwrap() }, new).unwrap();
        let mut mounted = |memory: &Arc<Memory>| adapt(FilesystemRef::new::<Memory>(Arc::clone(memory)));
        let namespace = Arc::new(Namespace::new(mounted(&root)));
        let fs = mounted(&data);
        namespace.mount_at(b"/d", &fs, MountFlags::empty()).unwrap();
        namespace.mount_at(b"/ro", &fs, MountFlags::READ_ONLY).unwrap();
        let caller = Caller { ns: &namespace, cx: &cx, root: namespace.root(), policy: Policy::Posix };
        let place = caller.resolve(caller.root, VPath::new(b"/d/a").unwrap(), Follow::Yes).unwrap();
        namespace.bind_at(b"/bound", &place, MountFlags::empty()).unwrap();
        World { root, data, namespace, bound }
    }

    /// A call from outside of any process.
    pub(crate) fn as_user<T>(
        &self,
        who: &Credentials,
        policy: Policy,
        work: impl FnOnce(&Caller<'_>) -> T,
    ) -> T {
        let cx = Cx::new(who, &Fixed);
        work(&Caller { ns: &self.namespace, cx: &cx, root: self.namespace.root(), policy })
    }

    /// Removes all that there is by paths; only the roots are left, and what the bind mount holds.
    pub(crate) fn remove_all(&self) {
        let root = Credentials::root();
        self.as_user(&root, Policy::Posix, |caller| {
            for at in [&b"d"[..], b"."] {
                let base = caller.resolve(caller.root, VPath::new(at).unwrap(), Follow::Yes).unwrap();
                remove_below(caller, &base);
            }
        });
    }
}

/// Moves directories up before it empties them, so that it needs neither recursion nor a stack.
fn remove_below(caller: &Caller<'_>, base: &Place) {
    let how = OpenHow { access: Access::READ, flags: OpenFlags::DIRECTORY, mode: Mode::empty() };
    let mut moved = 0;
    loop {
        let opened = caller.open(base, VPath::new(b".").unwrap(), &how).unwrap();
        let mut names = Vec::new();
        let mut listing = caller.list(&opened.place).unwrap();
        listing
            .list(caller, 2, &mut |entry| {
                // A mount that its directory doesn't have is no entry of it.
                if entry.next < 1 << 63 {
                    names.push(entry.name.to_vec());
                }
                core::ops::ControlFlow::Continue(())
            })
            .unwrap();
        if names.is_empty() {
            return;
        }
        for name in names {
            let path = VPath::new(&name).unwrap();
            if caller.unlink(base, path).is_ok() || caller.rmdir(base, path).is_ok() {
                continue;
            }
            let dir = caller.resolve(base, path, Follow::No).unwrap();
            let mut below = Vec::new();
            let mut listing = caller.list(&dir).unwrap();
            listing
                .list(caller, 2, &mut |entry| {
                    below.push(entry.name.to_vec());
                    core::ops::ControlFlow::Continue(())
                })
                .unwrap();
            for name in below {
                moved += 1;
                let to = format!("moved-{moved}");
                let (from, to) = (VPath::new(&name).unwrap(), VPath::new(to.as_bytes()).unwrap());
                caller.rename(&dir, from, base, to, Rename::Replace).unwrap();
            }
            caller.rmdir(base, path).unwrap();
        }
    }
}
