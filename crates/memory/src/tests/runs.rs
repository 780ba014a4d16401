//! Taking many names at once, through the core's walker; and the same without, name by name.

use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, LinkTarget, NewInode, NewKind, Remove, Rename, Run,
    RunEnd, Want,
};
use vnode_core::{
    Attr, Caller, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, NameBuf, Namespace, Policy, Result,
    SetAttr, StatFs, VPath,
};

use super::Fixture;
use crate::{Memory, Node};

/// The same filesystem, walked name by name.
struct Steps(Arc<Memory>);

impl Filesystem for Steps {
    type Inode = Node;

    fn caps(&self) -> Caps {
        self.0.caps() - Caps::RUNS
    }

    fn root(&self) -> Arc<Node> {
        self.0.root()
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        self.0.statfs(cx)
    }

    fn lookup(&self, cx: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        self.0.lookup(cx, at)
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        self.0.parent(cx, dir)
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        self.0.name_of(cx, dir, out)
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, Node>, new: NewInode<'_>) -> Result<Arc<Node>> {
        self.0.create(cx, at, new)
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
        self.0.link(cx, at, target)
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
        self.0.remove(cx, at, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
        self.0.rename(cx, from, to, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        Filesystem::readlink(&*self.0, cx, link)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        self.0.getattr(cx, inode)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, set: &SetAttr) -> Result<()> {
        self.0.setattr(cx, inode, set)
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<Node>, access: Access) -> Result<Arc<dyn File>> {
        self.0.open(cx, inode, access)
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        self.0.open_dir(cx, dir)
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Arc<Node>, data_only: bool) -> Result<()> {
        self.0.sync(cx, inode, data_only)
    }

    fn resolve_run(&self, _: &Cx<'_>, _: &Arc<Node>, _: &mut Run<'_>, _: Want) -> Result<RunEnd<Node>> {
        panic!("not without Caps::RUNS")
    }
}

fn stat(fx: &Fixture, ns: &Namespace, who: &Credentials, path: &[u8], follow: Follow) -> Result<Attr> {
    let cx = Cx::new(who, &fx.clock);
    let caller = Caller { ns, cx: &cx, root: ns.root(), policy: Policy::Posix };
    let attr = caller.stat(ns.root(), VPath::new(path)?, follow)?;
    let place = caller.resolve(ns.root(), VPath::new(path)?, follow)?;
    assert_eq!(place.attr(&cx)?, attr);
    // The two namespaces have device numbers of their own.
    Ok(Attr { dev: 0, ..attr })
}

#[test]
fn a_run_leads_where_single_steps_lead() {
    let fx = Fixture::default();
    let memory = Arc::new(Memory::new());
    let deep = vec!["d"; 40].join("/");
    let make = |dir: &Arc<Node>, name: &str, kind, mode| {
        let new = NewInode { kind, mode: Mode::from_raw(mode), uid: 0, gid: 0 };
        memory.create(&fx.cx(), super::at(dir, name), new).unwrap()
    };
    let mut at = memory.root();
    for _ in 0..40 {
        make(&at, "file", NewKind::Regular, 0o644);
        at = make(&at, "d", NewKind::Directory, 0o755);
    }
    let root = memory.root();
    make(&root, "link", NewKind::Symlink(deep.as_bytes()), 0);
    make(&root, "to-file", NewKind::Symlink(b"d/file"), 0);
    make(&root, "dangling", NewKind::Symlink(b"d/none"), 0);
    make(&root, "loop", NewKind::Symlink(b"loop"), 0);
    let private = make(&root, "private", NewKind::Directory, 0o700);
    make(&private, "in", NewKind::Directory, 0o755);
    let open = make(&root, "open", NewKind::Directory, 0o711);
    make(&open, "file", NewKind::Regular, 0o600);
    let runs = Namespace::new(FilesystemRef::new::<Memory>(memory.clone()));
    let steps = Namespace::new(FilesystemRef::new::<Steps>(Steps(memory)));
    let mut paths: Vec<String> = vec![".".into(), "/".into(), "x".into(), "d/x/y".into(), "d/file/x".into()];
    for end in ["", "/", "/file", "/file/", "/..", "/.", "/../file", "//file", "/none", "/none/x", "/x/.."] {
        let starts = [
            "d",
            &deep,
            "link",
            "d/d",
            "to-file",
            "dangling",
            "loop",
            "private",
            "private/in",
            "open",
            "link/../d",
        ];
        paths.extend(starts.iter().map(|start| format!("{start}{end}")));
    }
    let mut outcomes = std::collections::BTreeMap::new();
    for who in [Credentials::root(), Credentials::user(1000, 1000, &[])] {
        for path in &paths {
            for follow in [Follow::Yes, Follow::No] {
                let one = stat(&fx, &runs, &who, path.as_bytes(), follow);
                assert_eq!(one, stat(&fx, &steps, &who, path.as_bytes(), follow), "{path}");
                *outcomes.entry(one.err()).or_insert(0) += 1;
            }
        }
    }
    for outcome in [None, Some(Errno::NOENT), Some(Errno::NOTDIR), Some(Errno::LOOP), Some(Errno::ACCES)] {
        assert!(outcomes.get(&outcome).is_some_and(|&count| count >= 5), "{outcome:?} of {outcomes:?}");
    }
}
