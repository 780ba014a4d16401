//! What a path means, as POSIX says it (XBD 4.16) and Linux does it, with the table of scopes of
//! `docs/ARCHITECTURE.md`: a link is resolved by resolving its target from where the link is.

use vnode_core::{Errno, NAME_MAX, PATH_MAX, Policy, Result};

use super::{Id, Model, What};
use crate::op::At;

/// The last component of a path whose parent is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name.
    Name(Vec<u8>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none.
    Root,
}

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What is there; whether a link at the end is followed.
    There(bool),
    /// What is there, or where it would be made.
    Slot(bool),
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// This is there.
    There(Id),
    /// This name, which is missing.
    Missing(Id, Vec<u8>),
}

/// Where a name is to be made or removed.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The directory.
    pub dir: Id,
    /// The last component.
    pub last: Last,
    /// Whether slashes follow it.
    pub slash: bool,
}

/// Checks what no path may be.
///
/// # Errors
/// `ENOENT`, `ENAMETOOLONG`, `EINVAL`.
pub fn check(path: &[u8]) -> Result<()> {
    match path {
        b"" => Err(Errno::NOENT),
        _ if path.len() > PATH_MAX => Err(Errno::NAMETOOLONG),
        _ if path.contains(&0) => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

/// A walk, which counts links over all texts.
struct Walk<'a> {
    model: &'a Model,
    base: Id,
    links: u32,
}

/// Whose text it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Own,
    Link,
}

impl Walk<'_> {
    fn start(&self, at: Id, text: &[u8], whose: Text) -> Result<Id> {
        match (text.first(), self.model.policy) {
            (Some(b'/'), Policy::Posix) => Ok(self.model.root),
            (Some(b'/'), Policy::Beneath) if whose == Text::Own => Err(Errno::NOTCAPABLE),
            (Some(b'/'), Policy::Beneath) => Ok(self.model.root),
            (Some(b'/'), Policy::Strict) => Err(Errno::PERM),
            _ => Ok(at),
        }
    }

    fn up(&self, at: Id, whose: Text) -> Result<Id> {
        match self.model.policy {
            Policy::Beneath if whose == Text::Own && at == self.base => Err(Errno::NOTCAPABLE),
            Policy::Strict if at == self.base => Err(Errno::PERM),
            _ if at == self.model.root => Ok(at),
            _ => Ok(self.model.above(at)),
        }
    }

    fn resolve(&mut self, at: Id, text: &[u8], whose: Text, ask: Ask) -> Result<End> {
        let mut at = self.start(at, text, whose)?;
        let parts = components(text);
        let slash = text.ends_with(b"/") && !parts.is_empty();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            if !self.model.is_dir(at) {
                return Err(Errno::NOTDIR);
            }
            match *part {
                b"." => {}
                b".." => at = self.up(at, whose)?,
                name => {
                    if last && slash && matches!(ask, Ask::Slot(_)) {
                        return Err(Errno::ISDIR);
                    }
                    let found = self.model.checked_lookup(at, name)?;
                    let follows = !last || slash || matches!(ask, Ask::There(true) | Ask::Slot(true));
                    at = match found {
                        Some(link) if follows && self.model.target(link).is_some() => {
                            let ask = if last { ask.following() } else { Ask::There(true) };
                            match self.follow(at, link, ask)? {
                                End::There(id) => id,
                                missing if last => return Ok(missing),
                                End::Missing(..) => return Err(Errno::NOENT),
                            }
                        }
                        Some(id) => id,
                        None if last => return Ok(End::Missing(at, name.to_vec())),
                        None => return Err(Errno::NOENT),
                    };
                }
            }
        }
        if slash && !self.model.is_dir(at) { Err(Errno::NOTDIR) } else { Ok(End::There(at)) }
    }

    fn follow(&mut self, dir: Id, link: Id, ask: Ask) -> Result<End> {
        self.links += 1;
        if self.links > 40 {
            return Err(Errno::LOOP);
        }
        let target = self.model.target(link).unwrap_or_default();
        self.resolve(dir, target, Text::Link, ask)
    }
}

impl Ask {
    /// The same of a link's target.
    fn following(self) -> Ask {
        match self {
            Ask::There(_) => Ask::There(true),
            Ask::Slot(_) => Ask::Slot(true),
        }
    }
}

fn components(text: &[u8]) -> Vec<&[u8]> {
    text.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect()
}

impl Model {
    pub(super) fn target(&self, id: Id) -> Option<&[u8]> {
        match self.what(id) {
            What::Link(text) => Some(text),
            _ => None,
        }
    }

    /// A name that may be too long, which is found in a directory that is there only.
    fn checked_lookup(&self, dir: Id, name: &[u8]) -> Result<Option<Id>> {
        self.check_name(dir, name)?;
        Ok(self.lookup(dir, name))
    }

    pub(super) fn check_name(&self, dir: Id, name: &[u8]) -> Result<()> {
        match name.len() > NAME_MAX {
            true if self.is_removed(dir) => Err(Errno::NOENT),
            true => Err(Errno::NAMETOOLONG),
            false => Ok(()),
        }
    }

    fn walk(&self, at: &At) -> Result<Walk<'_>> {
        let base = self.held[at.slot];
        if !at.path.starts_with(b"/") && !self.is_dir(base) {
            return Err(Errno::NOTDIR);
        }
        Ok(Walk { model: self, base, links: 0 })
    }

    /// What a path leads to.
    ///
    /// # Errors
    /// Those of resolution.
    pub fn end(&self, at: &At, ask: Ask) -> Result<End> {
        let mut walk = self.walk(at)?;
        walk.resolve(walk.base, &at.path, Text::Own, ask)
    }

    /// What is there.
    ///
    /// # Errors
    /// Those of resolution.
    pub fn there(&self, at: &At, follow: bool) -> Result<Id> {
        match self.end(at, Ask::There(follow))? {
            End::There(id) => Ok(id),
            End::Missing(..) => Err(Errno::NOENT),
        }
    }

    /// Where the last component is.
    ///
    /// # Errors
    /// Those of resolution.
    pub fn parent(&self, at: &At) -> Result<Parent> {
        let mut walk = self.walk(at)?;
        let path = at.path.as_slice();
        let parts = components(path);
        let Some((last, _)) = parts.split_last() else {
            return Ok(Parent {
                dir: walk.start(walk.base, path, Text::Own)?,
                last: Last::Root,
                slash: false,
            });
        };
        let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        // The slash stays: what is before it must be a directory.
        let front = &path[..end - last.len()];
        let dir = match walk.resolve(walk.base, front, Text::Own, Ask::There(true))? {
            End::There(dir) => dir,
            End::Missing(..) => return Err(Errno::NOENT),
        };
        if !self.is_dir(dir) {
            return Err(Errno::NOTDIR);
        }
        let last = match *last {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            name => Last::Name(name.to_vec()),
        };
        Ok(Parent { dir, last, slash: end < path.len() })
    }
}
