//! Forwarding: the methods of [`Filesystem`](vnode_core::fs::Filesystem) that a decorator leaves to the filesystem
//! within.

/// The named methods, each of which has `self.hook` carry out the same call of `self.fs`. `names`, `inodes` and
/// `opens` stand for those of their kind; `caps` and `root`, which can't fail, go straight through.
macro_rules! forward {
    ($($method:ident)*) => {
        $(forward!(@ $method);)*
    };
    (@ names) => {
        forward!(lookup parent name_of create link remove rename readlink resolve_run);
    };
    (@ inodes) => {
        forward!(getattr setattr sync get_xattr set_xattr list_xattr remove_xattr);
    };
    (@ opens) => {
        forward!(create_open open open_dir);
    };
    (@ caps) => {
        fn caps(&self) -> ::vnode_core::fs::Caps {
            self.fs.caps()
        }
    };
    (@ root) => {
        fn root(&self) -> ::std::sync::Arc<Self::Inode> {
            self.fs.root()
        }
    };
    (@ statfs) => {
        fn statfs(&self, cx: &::vnode_core::Cx<'_>) -> ::vnode_core::Result<::vnode_core::StatFs> {
            self.hook.around(cx, &$crate::call::Call::of_all($crate::Op::Statfs), |cx| self.fs.statfs(cx))
        }
    };
    (@ lookup) => {
        fn lookup(
            &self,
            cx: &::vnode_core::Cx<'_>,
            at: ::vnode_core::fs::At<'_, Self::Inode>,
        ) -> ::vnode_core::Result<::std::sync::Arc<Self::Inode>> {
            self.hook.around(cx, &$crate::call::Call::at($crate::Op::Lookup, at), |cx| self.fs.lookup(cx, at))
        }
    };
    (@ parent) => {
        fn parent(
            &self,
            cx: &::vnode_core::Cx<'_>,
            dir: &::std::sync::Arc<Self::Inode>,
        ) -> ::vnode_core::Result<::std::sync::Arc<Self::Inode>> {
            let call = $crate::call::Call::of($crate::Op::Parent, dir.id());
            self.hook.around(cx, &call, |cx| self.fs.parent(cx, dir))
        }
    };
    (@ name_of) => {
        fn name_of(
            &self,
            cx: &::vnode_core::Cx<'_>,
            dir: &::std::sync::Arc<Self::Inode>,
            out: &mut ::vnode_core::NameBuf,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::NameOf, dir.id());
            self.hook.around(cx, &call, |cx| self.fs.name_of(cx, dir, out))
        }
    };
    (@ create) => {
        fn create(
            &self,
            cx: &::vnode_core::Cx<'_>,
            at: ::vnode_core::fs::At<'_, Self::Inode>,
            new: ::vnode_core::fs::NewInode<'_>,
        ) -> ::vnode_core::Result<::std::sync::Arc<Self::Inode>> {
            let call = $crate::call::Call::at($crate::Op::Create, at);
            self.hook.around(cx, &call, |cx| self.fs.create(cx, at, new))
        }
    };
    (@ create_open) => {
        fn create_open(
            &self,
            cx: &::vnode_core::Cx<'_>,
            at: ::vnode_core::fs::At<'_, Self::Inode>,
            new: ::vnode_core::fs::NewInode<'_>,
            access: ::vnode_core::fs::Access,
        ) -> ::vnode_core::Result<::vnode_core::fs::OpenedNew<Self::Inode>> {
            let call = $crate::call::Call::at($crate::Op::CreateOpen, at);
            let (inode, file) =
                self.hook.around(cx, &call, |cx| self.fs.create_open(cx, at, new, access))?;
            let file = $crate::hook::HookedFile::opened(file, inode.id(), &self.hook);
            Ok((inode, file))
        }
    };
    (@ link) => {
        fn link(
            &self,
            cx: &::vnode_core::Cx<'_>,
            at: ::vnode_core::fs::At<'_, Self::Inode>,
            target: &::std::sync::Arc<Self::Inode>,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::at($crate::Op::Link, at);
            self.hook.around(cx, &call, |cx| self.fs.link(cx, at, target))
        }
    };
    (@ remove) => {
        fn remove(
            &self,
            cx: &::vnode_core::Cx<'_>,
            at: ::vnode_core::fs::At<'_, Self::Inode>,
            what: ::vnode_core::fs::Remove,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::at($crate::Op::Remove, at);
            self.hook.around(cx, &call, |cx| self.fs.remove(cx, at, what))
        }
    };
    (@ rename) => {
        fn rename(
            &self,
            cx: &::vnode_core::Cx<'_>,
            from: ::vnode_core::fs::At<'_, Self::Inode>,
            to: ::vnode_core::fs::At<'_, Self::Inode>,
            how: ::vnode_core::fs::Rename,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::at($crate::Op::Rename, from).to(to);
            self.hook.around(cx, &call, |cx| self.fs.rename(cx, from, to, how))
        }
    };
    (@ readlink) => {
        fn readlink(
            &self,
            cx: &::vnode_core::Cx<'_>,
            link: &::std::sync::Arc<Self::Inode>,
        ) -> ::vnode_core::Result<::vnode_core::fs::LinkTarget> {
            let call = $crate::call::Call::of($crate::Op::Readlink, link.id());
            self.hook.around(cx, &call, |cx| self.fs.readlink(cx, link))
        }
    };
    (@ getattr) => {
        fn getattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
        ) -> ::vnode_core::Result<::vnode_core::Attr> {
            let call = $crate::call::Call::of($crate::Op::Getattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.getattr(cx, inode))
        }
    };
    (@ setattr) => {
        fn setattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            set: &::vnode_core::SetAttr,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::Setattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.setattr(cx, inode, set))
        }
    };
    (@ open) => {
        fn open(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            access: ::vnode_core::fs::Access,
        ) -> ::vnode_core::Result<::std::sync::Arc<dyn ::vnode_core::fs::File>> {
            let call = $crate::call::Call::of($crate::Op::Open, inode.id());
            let file = self.hook.around(cx, &call, |cx| self.fs.open(cx, inode, access))?;
            Ok($crate::hook::HookedFile::opened(file, inode.id(), &self.hook))
        }
    };
    (@ open_dir) => {
        fn open_dir(
            &self,
            cx: &::vnode_core::Cx<'_>,
            dir: &::std::sync::Arc<Self::Inode>,
        ) -> ::vnode_core::Result<::std::boxed::Box<dyn ::vnode_core::fs::DirStream>> {
            let call = $crate::call::Call::of($crate::Op::OpenDir, dir.id());
            let stream = self.hook.around(cx, &call, |cx| self.fs.open_dir(cx, dir))?;
            Ok($crate::hook::HookedStream::opened(stream, dir.id(), &self.hook))
        }
    };
    (@ sync) => {
        fn sync(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            data_only: bool,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::Sync, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.sync(cx, inode, data_only))
        }
    };
    (@ resolve_run) => {
        fn resolve_run(
            &self,
            cx: &::vnode_core::Cx<'_>,
            dir: &::std::sync::Arc<Self::Inode>,
            run: &mut ::vnode_core::fs::Run<'_>,
            want: ::vnode_core::fs::Want,
        ) -> ::vnode_core::Result<::vnode_core::fs::RunEnd<Self::Inode>> {
            let call = $crate::call::Call::of($crate::Op::ResolveRun, dir.id());
            self.hook.around(cx, &call, |cx| self.fs.resolve_run(cx, dir, run, want))
        }
    };
    (@ get_xattr) => {
        fn get_xattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            name: &[u8],
        ) -> ::vnode_core::Result<::std::sync::Arc<[u8]>> {
            let call = $crate::call::Call::of($crate::Op::GetXattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.get_xattr(cx, inode, name))
        }
    };
    (@ set_xattr) => {
        fn set_xattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            name: &[u8],
            value: &[u8],
            how: ::vnode_core::fs::SetXattr,
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::SetXattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.set_xattr(cx, inode, name, value, how))
        }
    };
    (@ list_xattr) => {
        fn list_xattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            emit: &mut dyn FnMut(&[u8]),
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::ListXattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.list_xattr(cx, inode, emit))
        }
    };
    (@ remove_xattr) => {
        fn remove_xattr(
            &self,
            cx: &::vnode_core::Cx<'_>,
            inode: &::std::sync::Arc<Self::Inode>,
            name: &[u8],
        ) -> ::vnode_core::Result<()> {
            let call = $crate::call::Call::of($crate::Op::RemoveXattr, inode.id());
            self.hook.around(cx, &call, |cx| self.fs.remove_xattr(cx, inode, name))
        }
    };
}

pub(crate) use forward;
