//! Mounts that a sandbox keeps for later runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Emulate, GuestPath, Kind, Lower, Mount, SHORTS};

/// An option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Without `--`.
    pub(crate) option: String,
    pub(crate) value: OsString,
}

impl Mount {
    /// Parses an option again.
    pub(crate) fn again(Given { option, value }: &Given) -> Result<Mount, String> {
        match SHORTS.iter().find(|row| row.option == option) {
            Some(row) => Mount::short(row, value),
            None => Mount::full(value),
        }
    }

    /// An overlay that a sandbox has.
    pub(crate) fn of_sandbox(mount: &vnode_sandbox::Mount) -> Result<Mount, String> {
        let guest = GuestPath::new(OsStr::from_bytes(&mount.guest))?;
        let mut made = Mount { given: None, ..Mount::new(Kind::Overlay, "sandbox", OsStr::new(""), guest) };
        for lower in &mount.lowers {
            made.lowers.push(match lower {
                vnode_sandbox::Lower::Directory(path) => Lower::Directory(path.clone()),
                vnode_sandbox::Lower::Archive { path, layer } => {
                    made.oci |= layer;
                    Lower::Image(path.clone())
                }
            });
        }
        made.one_mount = mount.one_mount;
        made.user_xattr = mount.user_xattr;
        made.emulate = mount.emulate_symlinks.then_some(Emulate::Yes);
        (made.size, made.inodes) = (Some(mount.max_bytes), Some(mount.max_inodes));
        Ok(made)
    }

    /// The same with the host's paths from a directory on.
    pub(crate) fn started_from(mut self, directory: &Path) -> Mount {
        let lowers = self.lowers.iter_mut().map(|lower| match lower {
            Lower::Directory(path) | Lower::Image(path) => path,
        });
        for path in lowers.chain(&mut self.source).chain(&mut self.upper) {
            let whole = directory.join(&*path);
            // What isn't there is told by whoever opens it.
            *path = whole.canonicalize().unwrap_or(whole);
        }
        self
    }

    /// Whether it is the same for a guest as another one, however that was spelled.
    pub(crate) fn is_like(&self, other: &Mount) -> bool {
        let told = |mount: &Mount| Mount { option: String::new(), given: None, ..mount.clone() };
        let same_guest = self.guest.absolute() == other.guest.absolute();
        same_guest
            && Mount { guest: GuestPath::root(), ..told(self) }
                == Mount { guest: GuestPath::root(), ..told(other) }
    }
}
