//! Where directories of the host really are: a mount shows a directory in a second place, and no path tells.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What Linux tells of each mount (`proc_pid_mountinfo(5)`); other systems tell nothing.
const MOUNTS: &str = "/proc/self/mountinfo";

/// One mount that this process sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The filesystem, `MAJOR:MINOR`.
    device: String,
    /// The directory of the filesystem that is shown.
    root: PathBuf,
    /// Where.
    at: PathBuf,
    kind: String,
    /// The filesystem's own options.
    options: String,
}

/// All mounts, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Mounts(Vec<Mount>);

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(2);
        let (device, root, at) = (words.next()?, words.next()?, words.next()?);
        let mut words = filesystem.split(' ');
        let (kind, _source, options) = (words.next()?, words.next()?, words.next().unwrap_or_default());
        Some(Mount {
            device: device.to_owned(),
            root: unescaped(root),
            at: unescaped(at),
            kind: kind.to_owned(),
            options: options.to_owned(),
        })
    }
}

/// Text in which a space, a tab, a line's end and a backslash are `\OOO`.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| byte == b'\\') {
            Some(escaped) => {
                bytes.push(escaped);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

impl Mounts {
    /// The mounts that there are; none where the system doesn't tell.
    pub(crate) fn now() -> Self {
        // A path in it need not be text.
        let bytes = std::fs::read(MOUNTS).unwrap_or_default();
        Mounts(String::from_utf8_lossy(&bytes).lines().filter_map(Mount::parse).collect())
    }

    /// The filesystem that an absolute path without links is on, and its path there.
    fn place(&self, path: &Path) -> Option<(&str, PathBuf)> {
        // Of several at one point the last is seen.
        let over = self.0.iter().filter(|mount| path.starts_with(&mount.at));
        let mount = over.max_by_key(|mount| mount.at.as_os_str().len())?;
        let rest = path.strip_prefix(&mount.at).ok()?;
        Some((&mount.device, joined(&mount.root, rest)))
    }

    /// Whether a directory is another one or below it, by whatever mounts; both paths are absolute and without links.
    pub(crate) fn is_in(&self, inner: &Path, outer: &Path) -> bool {
        let (Some((device, inner)), Some((of_outer, at_outer))) = (self.place(inner), self.place(outer))
        else {
            return false;
        };
        let mounted = self.0.iter().filter(|mount| mount.at.starts_with(outer));
        let mut shown = mounted.map(|mount| (mount.device.as_str(), mount.root.as_path()));
        let below = |(there, root): (&str, &Path)| there == device && inner.starts_with(root);
        below((of_outer, &at_outer)) || shown.any(below)
    }

    /// Where something is mounted below a directory: paths from there, starting with `/`.
    pub(crate) fn inside(&self, directory: &Path) -> HashSet<Vec<u8>> {
        let Ok(directory) = std::fs::canonicalize(directory) else { return HashSet::new() };
        let inside = self.0.iter().filter_map(|mount| mount.at.strip_prefix(&directory).ok());
        let inside = inside.filter(|path| !path.as_os_str().is_empty());
        inside.map(|path| [b"/", path.as_os_str().as_bytes()].concat()).collect()
    }

    /// Where Linux's overlayfs is mounted with this directory, `upper/` or `work/` of an upper.
    pub(crate) fn overlay_with(&self, directory: &Path) -> Option<&Path> {
        let names = |option: &str| {
            let path = option.strip_prefix("upperdir=").or_else(|| option.strip_prefix("workdir="));
            path.is_some_and(|path| unescaped(path) == directory)
        };
        let with = |mount: &&Mount| mount.kind == "overlay" && mount.options.split(',').any(names);
        self.0.iter().find(with).map(|mount| mount.at.as_path())
    }
}

fn joined(root: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { root.to_owned() } else { root.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_same_by_whatever_mount() {
        let lines = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 22 254:0 /t/l/sub /t/m rw - ext4 /dev/vda rw\n\
            31 22 0:40 / /t/l/other\\040disk rw - tmpfs none rw\n\
            32 22 0:41 / /k rw - overlay o rw,lowerdir=/t/l,upperdir=/t/u/upper,workdir=/t/u/work";
        let mounts = Mounts(lines.lines().filter_map(Mount::parse).collect());
        let is_in = |inner: &str, outer: &str| mounts.is_in(Path::new(inner), Path::new(outer));
        for (inner, outer) in [
            ("/t/l", "/t/l"),
            ("/t/l/x", "/t/l"),
            ("/t/m/u", "/t/l"),
            ("/t/m", "/t/l/sub"),
            ("/t/l/sub/x", "/t/m"),
            ("/t/l/other disk/u", "/t/l"),
        ] {
            assert!(is_in(inner, outer), "{inner} is in {outer}");
        }
        for (inner, outer) in [
            ("/t/l", "/t/m"),
            ("/t/lx", "/t/l"),
            ("/t/l/other disk", "/t/m"),
            ("/k/x", "/t/l"),
            ("/t/l/x", "/t/m"),
        ] {
            assert!(!is_in(inner, outer), "{inner} is in {outer}");
        }
        assert_eq!(mounts.overlay_with(Path::new("/t/u/work")), Some(Path::new("/k")));
        assert_eq!(mounts.overlay_with(Path::new("/t/u")), None);
    }
}
