//! Path text: bytes as the guest spelled them, and single names cut from them.
//!
//! Nothing here normalises, joins or interprets: `..` and symbolic links mean something only to the walker.

use core::fmt;

use smallvec::SmallVec;

use crate::errno::{Errno, Result};

/// The longest name of a directory entry, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// The longest path text and symbolic link target, in bytes. Linux's `PATH_MAX` is 4096 with the final NUL.
pub const PATH_MAX: usize = 4095;

/// One path component: 1 to 255 bytes, no `/`, no NUL, never `.` or `..`.
///
/// A value of this type is the proof that a filesystem may use the bytes as a directory entry's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// * `ENAMETOOLONG`: more than [`NAME_MAX`] bytes.
    /// * `EINVAL`: empty, `.`, `..`, or holding `/` or NUL.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        match bytes {
            b"" | b"." | b".." => Err(Errno::INVAL),
            _ if bytes.iter().any(|&byte| byte == b'/' || byte == 0) => Err(Errno::INVAL),
            _ => Ok(Name(bytes)),
        }
    }

    /// A component of text that is known to hold no NUL byte.
    ///
    /// # Errors
    /// `ENAMETOOLONG`.
    pub(crate) fn of_component(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > NAME_MAX { Err(Errno::NAMETOOLONG) } else { Ok(Name(bytes)) }
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

/// A name with its own storage; names up to 32 bytes stand inline.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(SmallVec<[u8; 32]>);

impl NameBuf {
    /// An empty buffer, to be filled with [`NameBuf::set`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a name's bytes.
    pub fn set(&mut self, name: Name<'_>) {
        self.0.clear();
        self.0.extend_from_slice(name.as_bytes());
    }

    /// The name held.
    ///
    /// # Errors
    /// `EINVAL`: nothing was set.
    pub fn as_name(&self) -> Result<Name<'_>> {
        if self.0.is_empty() { Err(Errno::INVAL) } else { Ok(Name(&self.0)) }
    }

    /// The bytes; empty if nothing was set.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Name<'_>> for NameBuf {
    fn from(name: Name<'_>) -> Self {
        NameBuf(SmallVec::from_slice(name.as_bytes()))
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A path as the caller spelled it: bytes, never normalised, never checked for UTF-8.
///
/// `VPath::new` refuses what no operation accepts. The empty path is `ENOENT` everywhere but where an operation
/// says that it takes one (`AT_EMPTY_PATH`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VPath<'a>(&'a [u8]);

impl<'a> VPath<'a> {
    /// The path of the directory that a walk starts from.
    pub const HERE: VPath<'static> = VPath(b".");

    /// Checks the text of a path.
    ///
    /// # Errors
    /// * `ENOENT`: empty (POSIX, pathname resolution).
    /// * `ENAMETOOLONG`: more than [`PATH_MAX`] bytes.
    /// * `EINVAL`: holds a NUL byte, which no C caller can pass.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Errno::NOENT);
        }
        if bytes.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if bytes.contains(&0) {
            return Err(Errno::INVAL);
        }
        Ok(VPath(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the text starts with `/`.
    pub fn is_absolute(self) -> bool {
        self.0.first() == Some(&b'/')
    }
}

impl fmt::Debug for VPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for VPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

/// What one step of a walk reads from path text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component<'a> {
    Dot,
    DotDot,
    Name(&'a [u8]),
}

/// Reads the component that starts at `text[at..]` after any slashes.
///
/// Answers the component, the position behind it, and nothing at the end of the text.
#[inline]
pub(crate) fn next_component(text: &[u8], at: usize) -> Option<(Component<'_>, usize)> {
    let mut rest = text.get(at..)?;
    while let [b'/', behind @ ..] = rest {
        rest = behind;
    }
    let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    let (name, behind) = rest.split_at(len);
    let component = match name {
        b"" => return None,
        b"." => Component::Dot,
        b".." => Component::DotDot,
        name => Component::Name(name),
    };
    Some((component, text.len() - behind.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_is_no_entry() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert_eq!(Name::new(bad), Err(Errno::INVAL), "{bad:?}");
        }
        assert_eq!(Name::new(&[b'a'; 256]), Err(Errno::NAMETOOLONG));
        assert!(Name::new(&[0xff; 255]).is_ok());
        assert!(Name::new(b"...").is_ok());
    }

    #[test]
    fn paths_refuse_only_what_no_operation_takes() {
        assert_eq!(VPath::new(b""), Err(Errno::NOENT));
        assert_eq!(VPath::new(&[b'/'; 4096]), Err(Errno::NAMETOOLONG));
        assert!(VPath::new(&[b'/'; 4095]).is_ok());
        assert_eq!(VPath::new(b"a\0b"), Err(Errno::INVAL));
        assert!(VPath::new(b"/a").unwrap().is_absolute());
    }

    #[test]
    fn components_keep_every_fact_of_the_text() {
        let text = b"//a/./..//bc/";
        let mut at = 0;
        let mut seen = Vec::new();
        while let Some((component, next)) = next_component(text, at) {
            seen.push((component, next));
            at = next;
        }
        assert_eq!(
            seen,
            [
                (Component::Name(b"a"), 3),
                (Component::Dot, 5),
                (Component::DotDot, 8),
                (Component::Name(b"bc"), 12)
            ]
        );
    }
}
