//! Lookups by scope, on the kernel.

use vnode_core::{Attr, Result};

use super::{Kernel, Resolve, openat2};
use crate::differ::paths::{Resolver, Scope};
use crate::subject::{At, Follow, Handle, Subject};

impl Resolver for Kernel {
    fn look_up(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr> {
        let at = At::dir(dir, path);
        let resolve = match scope {
            Scope::InRoot => Resolve::InRoot,
            Scope::Beneath => Resolve::Beneath,
            Scope::Process => return self.fstatat(at, follow),
        };
        let found = openat2(at, resolve, follow == Follow::No)?;
        let attr = self.fstat(found);
        self.close(found)?;
        attr
    }
}
