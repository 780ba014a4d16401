//! Which of a sandbox's changes are meant, told by the guest's paths.

use super::error::StoreError;
use super::record::MountRecord;
use crate::changes::Change;

/// What is meant of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Nothing,
    Everything,
    /// These paths from the mount's root, and what is below them.
    Some(Vec<Vec<u8>>),
}

/// That paths are the guest's: absolute, and without empty names, `.` and `..`.
///
/// # Errors
/// [`StoreError::Path`].
pub(super) fn check(paths: &[Vec<u8>]) -> Result<(), StoreError> {
    let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    let fits = |path: &[u8]| {
        path == b"/"
            || path.strip_prefix(b"/").is_some_and(|rest| rest.split(|&byte| byte == b'/').all(is_plain))
    };
    match paths.iter().find(|path| !fits(path)) {
        None => Ok(()),
        Some(path) => Err(StoreError::Path { path: path.clone() }),
    }
}

/// What is meant of a mount by the guest's paths; everything if none are told.
pub(super) fn chosen(mounts: &[MountRecord], mount: &MountRecord, paths: Option<&[Vec<u8>]>) -> Chosen {
    let Some(paths) = paths else { return Chosen::Everything };
    let own = mount.mount.guest.as_slice();
    let mut below = Vec::new();
    for path in paths {
        if below_of(path, own).is_some() {
            // What the mount is in is meant, or the mount.
            return Chosen::Everything;
        }
        let Some(rest) = below_of(own, path) else { continue };
        // It may be in another one that is mounted below this.
        let others = mounts.iter().map(|other| other.mount.guest.as_slice());
        let mut nearer = others.filter(|other| other.len() > own.len() && below_of(own, other).is_some());
        if !nearer.any(|other| below_of(other, path).is_some()) {
            below.push(rest.to_vec());
        }
    }
    if below.is_empty() { Chosen::Nothing } else { Chosen::Some(below) }
}

/// Whether a change of a mount is at one of the guest's paths or below it, or was.
pub(super) fn is_at(guest: &[u8], change: &Change, path: &[u8]) -> bool {
    let guest = guest.strip_suffix(b"/").unwrap_or(guest);
    let paths = [Some(&change.path), change.from.as_ref()];
    paths.into_iter().flatten().any(|own| below_of(path, &[guest, own].concat()).is_some())
}

/// What comes behind a directory's path in a path at or below it: empty, or starting with `/`.
fn below_of<'a>(dir: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    let path = if path == b"/" { b"" } else { path };
    path.strip_prefix(dir).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::super::record::{Lower, Mount};
    use super::*;

    #[test]
    fn paths_are_of_the_mount_that_is_nearest() {
        let mounts: Vec<MountRecord> = ["/", "/data", "/data/sub"]
            .into_iter()
            .map(|guest| {
                let lowers = vec![Lower::Directory("/host".into())];
                MountRecord::new(Mount { guest: guest.into(), lowers, ..Mount::default() }).unwrap()
            })
            .collect();
        let all = |paths: &[&str]| -> Vec<Chosen> {
            let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            mounts.iter().map(|mount| chosen(&mounts, mount, Some(&paths))).collect()
        };
        let some = |path: &str| Chosen::Some(vec![path.as_bytes().to_vec()]);
        use Chosen::{Everything, Nothing};
        let everything = mounts.iter().map(|mount| chosen(&mounts, mount, None));
        assert!(everything.eq([Everything, Everything, Everything]));
        assert_eq!(all(&[]), [Nothing, Nothing, Nothing]);
        assert_eq!(all(&["/"]), [Everything, Everything, Everything]);
        assert_eq!(all(&["/data"]), [Nothing, Everything, Everything]);
        assert_eq!(all(&["/data/f"]), [Nothing, some("/f"), Nothing]);
        assert_eq!(all(&["/data/sub/f"]), [Nothing, Nothing, some("/f")]);
        assert_eq!(all(&["/datax", "/data/sub"]), [some("/datax"), Nothing, Everything]);
    }

    #[test]
    fn paths_have_one_form() {
        let check = |path: &str| check(&[path.into()]);
        for good in ["/", "/a", "/a/b", "/.a/..b", "/\n"] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a", "a/b", "//", "/a/", "/a//b", "/./a", "/a/..", "/.."] {
            assert!(matches!(check(bad), Err(StoreError::Path { .. })), "{bad:?}");
        }
    }
}
