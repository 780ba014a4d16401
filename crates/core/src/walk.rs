//! The walker: the one function that gives path text a meaning.
//!
//! What a symbolic link means - where it restarts, when it is followed, how many, what a trailing slash does,
//! where it may not lead - is here and nowhere else. Three doors ([`resolve`], [`resolve_parent`],
//! [`resolve_or_slot`]) open on one private loop, `Walk::reach_last` (`link_path_walk` in Linux's `fs/namei.c`).
//! The text of a link is never joined to what is left of the path: both stay as they are, on a stack.

mod steps;

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::Guard;

use crate::attr::Attr;
use crate::caller::{Caller, Follow};
use crate::errno::{Errno, Result};
use crate::fs::{Access, File, LinkTarget};
use crate::mount::{MountTable, Place};
use crate::path::{Name, NameBuf, VPath};
use crate::run::Want;
use steps::{Reached, Text, Walk, child, name_in};

/// Walks tried against directories that move meanwhile, before they are made to wait.
const RACED_TRIES: u32 = 4;

/// The last component of a walk, not looked up: each operation has its own errors for each.
pub(crate) enum Last<'a> {
    /// A name, which may be missing.
    Name(LastName<'a>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: only slashes.
    Root,
}

/// A name within the text that it came from.
pub(crate) struct LastName<'a> {
    text: Text<'a>,
    start: usize,
    end: usize,
}

impl LastName<'_> {
    /// The name, as one of `dir`.
    ///
    /// # Errors
    /// `ENAMETOOLONG`. `ENOENT`: it is, but `dir` was removed, which is found first.
    pub(crate) fn name_in(&self, caller: &Caller<'_>, dir: &Place) -> Result<Name<'_>> {
        name_in(caller, dir, &self.text.bytes()[self.start..self.end])
    }
}

/// Where a name is to be made or removed.
pub(crate) struct Parent<'a> {
    /// Borrowed if the walk never left the place that it began at.
    pub(crate) dir: Cow<'a, Place>,
    pub(crate) last: Last<'a>,
    /// Whether slashes follow the last component.
    pub(crate) trailing_slash: bool,
    pub(crate) table: Guard<Arc<MountTable>>,
}

impl Parent<'_> {
    /// What the name stands for, a mount's root if one is there.
    pub(crate) fn child(&self, caller: &Caller<'_>, name: Name<'_>) -> Result<Place> {
        child(caller, &self.table, &self.dir, name)
    }
}

/// What `resolve_or_slot` found.
pub(crate) enum Slot {
    Found(Place),
    /// The name at the end, behind all links, is missing here.
    Missing {
        dir: Place,
        name: NameBuf,
    },
}

/// Resolves to what is there (chdir, open).
pub(crate) fn resolve(caller: &Caller<'_>, base: &Place, path: VPath<'_>, follow: Follow) -> Result<Place> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        walk.find(Want::Inode, follow)?;
        Ok(walk.take_here())
    })
}

/// A place that was found.
pub(crate) struct Found {
    pub(crate) place: Place,
    /// Its attributes and content, if it was opened on the way: large, rare, and handed through several calls.
    pub(crate) opened: Option<Box<(Attr, Arc<dyn File>)>>,
}

impl From<Place> for Found {
    fn from(place: Place) -> Self {
        Found { place, opened: None }
    }
}

/// Resolves to what is there, and opens it for `access` if it is a regular file and that is easier at once (open).
pub(crate) fn resolve_to_open(
    caller: &Caller<'_>,
    base: &Place,
    path: VPath<'_>,
    follow: Follow,
    access: Access,
) -> Result<Found> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        walk.opens = Some(access);
        walk.find(Want::Inode, follow)?;
        let file = walk.found.file.take();
        let opened = file.and_then(|file| Some(Box::new((walk.found.attr?, file))));
        Ok(Found { place: walk.take_here(), opened })
    })
}

/// The attributes of what is there (stat).
pub(crate) fn attributes(caller: &Caller<'_>, base: &Place, path: VPath<'_>, follow: Follow) -> Result<Attr> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        walk.find(Want::Attr, follow)?;
        match &walk.found.attr {
            Some(attr) => Ok(*attr),
            None => walk.here().attr(caller.cx),
        }
    })
}

/// Where the link leads that is there (readlink).
///
/// # Errors
/// `EINVAL`: it is no link.
pub(crate) fn target(caller: &Caller<'_>, base: &Place, path: VPath<'_>) -> Result<LinkTarget> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        walk.find(Want::Target, Follow::No)?;
        if let Some(target) = walk.found.target.take() {
            return Ok(target);
        }
        let link = walk.here();
        if !link.kind().is_symlink() {
            return Err(Errno::INVAL);
        }
        caller.reading(&link.mount, |cx| link.mount.filesystem().any().readlink(cx, &link.node))
    })
}

/// Resolves to the directory that the last component is in (mkdir, unlink, rename, link, symlink).
pub(crate) fn resolve_parent<'p>(
    caller: &'p Caller<'_>,
    base: &'p Place,
    path: VPath<'p>,
) -> Result<Parent<'p>> {
    // The last component is never followed, so its text is the caller's own.
    let text = path.as_bytes();
    let table = caller.ns.table();
    let (dir, last, trailing_slash) = unraced(caller, base, path, &table, |walk| {
        let last = match walk.reach_last(Want::Parent, false)? {
            Reached::Last(Last::Name(last)) => {
                Last::Name(LastName { text: Text::Caller(text), start: last.start, end: last.end })
            }
            Reached::Last(Last::Dot) => Last::Dot,
            Reached::Last(Last::DotDot) => Last::DotDot,
            Reached::Last(Last::Root) | Reached::Here => Last::Root,
        };
        let dir = walk.moved.take().map_or(Cow::Borrowed(walk.start), Cow::Owned);
        Ok((dir, last, walk.must_be_dir))
    })?;
    Ok(Parent { dir, last, trailing_slash, table })
}

/// Resolves to what is there or to where it would be made: a dangling link at the end gives the name that it
/// points to (open with `O_CREAT`).
///
/// # Errors
/// `EISDIR`: a slash follows the last name (`open(2)` with `O_CREAT`).
pub(crate) fn resolve_or_slot(
    caller: &Caller<'_>,
    base: &Place,
    path: VPath<'_>,
    follow: Follow,
) -> Result<Slot> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        loop {
            let last = match walk.reach_last(Want::Slot, follow == Follow::Yes)? {
                Reached::Last(Last::Name(last)) => last,
                Reached::Last(Last::DotDot) => return walk.parent().map(Slot::Found),
                // A name with a slash behind it, as below.
                Reached::Here if walk.must_be_dir => return Err(Errno::ISDIR),
                Reached::Here | Reached::Last(Last::Dot | Last::Root) => {
                    return Ok(Slot::Found(walk.take_here()));
                }
            };
            if walk.must_be_dir {
                return Err(Errno::ISDIR);
            }
            let name = last.name_in(caller, walk.here())?;
            match walk.child(name) {
                Ok(child) if child.kind().is_symlink() && follow == Follow::Yes => walk.follow(&child)?,
                Ok(child) => return Ok(Slot::Found(child)),
                Err(Errno::NOENT) => {
                    return Ok(Slot::Missing { dir: walk.here().clone(), name: name.into() });
                }
                Err(errno) => return Err(errno),
            }
        }
    })
}

/// Resolves to the name at the end, behind all links, with its directory and what has it (what a path's own path is).
///
/// # Errors
/// `EISDIR`: the path ends with no name.
pub(crate) fn resolve_name(
    caller: &Caller<'_>,
    base: &Place,
    path: VPath<'_>,
) -> Result<(Place, NameBuf, Place)> {
    let table = caller.ns.table();
    unraced(caller, base, path, &table, |walk| {
        loop {
            let Reached::Last(Last::Name(last)) = walk.reach_last(Want::Parent, false)? else {
                return Err(Errno::ISDIR);
            };
            let name = last.name_in(caller, walk.here())?;
            let child = walk.child(name)?;
            if !child.kind().is_symlink() {
                return Ok((walk.here().clone(), name.into(), child));
            }
            walk.follow(&child)?;
        }
    })
}

/// Runs a walk; again if a directory moved under it, at last with moves locked out.
fn unraced<'a, T>(
    caller: &'a Caller<'_>,
    base: &'a Place,
    path: VPath<'a>,
    table: &MountTable,
    run: impl Fn(&mut Walk<'a, '_>) -> Result<T>,
) -> Result<T> {
    if !path.is_absolute() && !base.kind().is_dir() {
        return Err(Errno::NOTDIR);
    }
    let mut walk = Walk::new(caller, base, path, table)?;
    for _ in 0..RACED_TRIES {
        let result = run(&mut walk);
        if !matches!(result, Err(Errno::RACED)) {
            return result;
        }
        walk.begin(path);
    }
    walk.held = Some(base.mount.filesystem().renames().hold()?);
    walk.begin(path);
    run(&mut walk)
}
