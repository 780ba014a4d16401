//! Directories of the guest's tree, as options name them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// A directory of the guest's tree, as it was spelled and as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestPath {
    spelled: OsString,
    absolute: Vec<u8>,
}

impl GuestPath {
    /// Takes a path as spelled. A relative one starts from `/`.
    pub(crate) fn new(spelled: &OsStr) -> Result<GuestPath, String> {
        if spelled.is_empty() {
            return Err("the guest's directory is missing".to_owned());
        }
        let bytes = spelled.as_bytes();
        if bytes.len() > vnode_core::PATH_MAX {
            return Err(format!(
                "the guest's directory has {} bytes; {} are the most",
                bytes.len(),
                vnode_core::PATH_MAX
            ));
        }
        let mut absolute = Vec::new();
        for name in bytes.split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.'])) {
            if name == b".." {
                return Err(format!(
                    "\"{}\" has \"..\"; write the guest's directory without it",
                    spelled.display()
                ));
            }
            if name.len() > vnode_core::NAME_MAX {
                return Err(format!(
                    "a name in the guest's directory has {} bytes; {} are the most",
                    name.len(),
                    vnode_core::NAME_MAX
                ));
            }
            absolute.push(b'/');
            absolute.extend_from_slice(name);
        }
        if absolute.is_empty() {
            absolute.push(b'/');
        }
        Ok(GuestPath { spelled: spelled.to_owned(), absolute })
    }

    /// The root directory.
    pub(crate) fn root() -> GuestPath {
        GuestPath { spelled: "/".into(), absolute: b"/".to_vec() }
    }

    /// As it was spelled: the name of the preopen.
    pub(crate) fn spelled(&self) -> &OsStr {
        &self.spelled
    }

    /// The absolute path without `.`, doubled and trailing slashes.
    pub(crate) fn absolute(&self) -> &[u8] {
        &self.absolute
    }
}

impl std::fmt::Display for GuestPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", OsStr::from_bytes(&self.absolute).display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_paths_keep_their_spelling_and_are_found_absolute() {
        for (spelled, absolute) in
            [(".", "/"), ("/", "/"), ("foo", "/foo"), ("//a/./b//", "/a/b"), ("./x", "/x"), ("...", "/...")]
        {
            let path = GuestPath::new(OsStr::new(spelled)).unwrap();
            assert_eq!(path.absolute(), absolute.as_bytes());
            assert_eq!(path.spelled(), spelled);
        }
        for bad in ["", "a/..", "../b", &"x".repeat(256)] {
            assert!(GuestPath::new(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
