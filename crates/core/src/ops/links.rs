//! readlink.

use std::sync::Arc;

use crate::caller::{Caller, Policy};
use crate::errno::{Errno, Result};
use crate::fs::LinkTarget;
use crate::mount::Place;
use crate::path::VPath;
use crate::walk;

impl Caller<'_> {
    /// The target of a symbolic link, byte for byte as it was made (`readlink(2)`). The caller cuts it to his
    /// buffer.
    ///
    /// # Errors
    /// `EINVAL`: not a symbolic link. `EPERM`: the target is absolute under [`Policy::Strict`].
    pub fn readlink(&self, base: &Place, path: VPath<'_>) -> Result<Arc<[u8]>> {
        let text = match walk::target(self, base, path)? {
            LinkTarget::Text(text) => text,
            LinkTarget::Jump(place) => self.getcwd(&place)?.into(),
        };
        if self.policy == Policy::Strict && text.first() == Some(&b'/') {
            return Err(Errno::PERM);
        }
        Ok(text)
    }
}
