//! readlink.

use std::sync::Arc;

use crate::caller::{Caller, Policy};
use crate::errno::{Errno, Result};
use crate::fs::LinkTarget;
use crate::mount::Place;
use crate::path::{PATH_MAX, VPath};
use crate::walk;

impl Caller<'_> {
    /// The target of a symbolic link, byte for byte as it was made (`readlink(2)`). The caller cuts it to his
    /// buffer.
    ///
    /// # Errors
    /// `EINVAL`: not a symbolic link. `EPERM`: the target is absolute, or a [`Jump`](crate::fs::Jump), under
    /// [`Policy::Strict`].
    pub fn readlink(&self, base: &Place, path: VPath<'_>) -> Result<Arc<[u8]>> {
        let text = match walk::target(self, base, path)? {
            LinkTarget::Text(text) => text,
            LinkTarget::Jump(_) if self.policy == Policy::Strict => return Err(Errno::PERM),
            LinkTarget::Jump(jump) => jump.text(self)?,
        };
        if self.policy == Policy::Strict && text.first() == Some(&b'/') {
            return Err(Errno::PERM);
        }
        Ok(text)
    }

    /// The absolute path, from the caller's root, of the name that `path` comes to behind all links (`d_path` in
    /// Linux), as long as `place` has it.
    ///
    /// # Errors
    /// `ENOENT`: something else has the name by now, or nothing, or it is not below the root. `ENAMETOOLONG`: the
    /// path is over 4095 bytes. `EISDIR`: the path ends with no name.
    pub fn path_of(&self, place: &Place, base: &Place, path: VPath<'_>) -> Result<Vec<u8>> {
        let (dir, name, found) = walk::resolve_name(self, base, path)?;
        if !found.is(place) {
            return Err(Errno::NOENT);
        }
        let mut text = self.getcwd(&dir)?;
        if text.last() != Some(&b'/') {
            text.push(b'/');
        }
        text.extend_from_slice(name.as_bytes());
        if text.len() > PATH_MAX { Err(Errno::NAMETOOLONG) } else { Ok(text) }
    }
}
