//! Lookups by scope, on the kernel.

use vnode_core::{Attr, Errno, Result};

use super::{Kernel, Resolve, openat2};
use crate::differ::paths::{Resolver, Scope};
use crate::subject::{At, Follow, Handle, Subject};

impl Resolver for Kernel {
    fn look_up(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr> {
        // Again after ELOOP, for it may have miscounted the links: [`Subject::miscounts_links`].
        for _ in 0..3 {
            match self.look_up_once(dir, path, scope, follow) {
                Err(Errno::LOOP) => {}
                result => return result,
            }
        }
        self.look_up_once(dir, path, scope, follow)
    }
}

impl Kernel {
    fn look_up_once(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr> {
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
