//! Lookups by scope, on vnode.

use vnode_core::{Attr, Caller, Cx, Errno, Follow as WalkFollow, Policy, Result, VPath};

use super::Vnode;
use crate::differ::paths::{Resolver, Scope};
use crate::subject::{Follow, Handle};

impl Resolver for Vnode {
    fn look_up(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr> {
        let base = &self.file(dir)?.place;
        let (root, policy) = match scope {
            Scope::InRoot => (base, Policy::Posix),
            Scope::Beneath => (&self.root, Policy::Strict),
            Scope::Process => (&self.root, Policy::Posix),
        };
        let cx = Cx::new(&self.credentials, &self.clock);
        let caller = Caller { ns: &self.ns, cx: &cx, root, policy };
        let follow = if follow == Follow::Yes { WalkFollow::Yes } else { WalkFollow::No };
        match caller.stat(base, VPath::new(path)?, follow) {
            // WASI's word for what openat2 calls EXDEV.
            Err(Errno::PERM) if scope == Scope::Beneath => Err(Errno::XDEV),
            found => found,
        }
    }
}
