//! Filesystems that are another one but for a few methods.

/// The methods of a [`Filesystem`](vnode_core::fs::Filesystem) that are those of `self.0`, for who says the others.
macro_rules! forward_the_rest {
    () => {
        fn root(&self) -> Node<F> {
            self.0.root()
        }

        fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
            self.0.statfs(cx)
        }

        fn lookup(&self, cx: &Cx<'_>, at: At<'_, F::Inode>) -> Result<Node<F>> {
            self.0.lookup(cx, at)
        }

        fn parent(&self, cx: &Cx<'_>, dir: &Node<F>) -> Result<Node<F>> {
            self.0.parent(cx, dir)
        }

        fn name_of(&self, cx: &Cx<'_>, dir: &Node<F>, out: &mut NameBuf) -> Result<()> {
            self.0.name_of(cx, dir, out)
        }

        fn create_open(
            &self,
            cx: &Cx<'_>,
            at: At<'_, F::Inode>,
            new: NewInode<'_>,
            access: Access,
        ) -> Result<OpenedNew<F::Inode>> {
            self.0.create_open(cx, at, new, access)
        }

        fn link(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, target: &Node<F>) -> Result<()> {
            self.0.link(cx, at, target)
        }

        fn remove(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, what: Remove) -> Result<()> {
            self.0.remove(cx, at, what)
        }

        fn rename(
            &self,
            cx: &Cx<'_>,
            from: At<'_, F::Inode>,
            to: At<'_, F::Inode>,
            how: Rename,
        ) -> Result<()> {
            self.0.rename(cx, from, to, how)
        }

        fn getattr(&self, cx: &Cx<'_>, inode: &Node<F>) -> Result<Attr> {
            self.0.getattr(cx, inode)
        }

        fn setattr(&self, cx: &Cx<'_>, inode: &Node<F>, set: &SetAttr) -> Result<()> {
            self.0.setattr(cx, inode, set)
        }

        fn open(&self, cx: &Cx<'_>, inode: &Node<F>, access: Access) -> Result<Arc<dyn File>> {
            self.0.open(cx, inode, access)
        }

        fn open_dir(&self, cx: &Cx<'_>, dir: &Node<F>) -> Result<Box<dyn DirStream>> {
            self.0.open_dir(cx, dir)
        }

        fn sync(&self, cx: &Cx<'_>, inode: &Node<F>, data_only: bool) -> Result<()> {
            self.0.sync(cx, inode, data_only)
        }

        fn get_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, name: &[u8]) -> Result<Arc<[u8]>> {
            self.0.get_xattr(cx, inode, name)
        }

        fn set_xattr(
            &self,
            cx: &Cx<'_>,
            inode: &Node<F>,
            name: &[u8],
            value: &[u8],
            how: SetXattr,
        ) -> Result<()> {
            self.0.set_xattr(cx, inode, name, value, how)
        }

        fn list_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
            self.0.list_xattr(cx, inode, emit)
        }

        fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, name: &[u8]) -> Result<()> {
            self.0.remove_xattr(cx, inode, name)
        }
    };
}

pub(crate) use forward_the_rest;
