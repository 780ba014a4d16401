//! The walker: the one function that gives path text a meaning.
//!
//! What a symbolic link means - where it restarts, when it is followed, how many, what a trailing slash does,
//! where it may not lead - is here and nowhere else. Three doors ([`resolve`], [`resolve_parent`],
//! [`resolve_or_slot`]) open on one private loop, [`Walk::reach_last`] (`link_path_walk` in Linux's `fs/namei.c`).
//! The text of a link is never joined to what is left of the path: both stay as they are, on a stack.

use std::sync::Arc;

use arc_swap::Guard;
use parking_lot::RwLockReadGuard;
use smallvec::SmallVec;

use crate::access;
use crate::attr::Attr;
use crate::caller::{Caller, Follow, Policy};
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::fs::{Caps, LinkTarget};
use crate::mount::{MountTable, Place};
use crate::path::{Component, Name, NameBuf, VPath, next_component};
use crate::run::{Run, RunEnd, Want};

/// Symbolic links that one walk follows; the next is `ELOOP` (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;
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
    pub(crate) dir: Place,
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

/// What `resolve` found.
pub(crate) enum Found {
    Place(Place),
    Attr(Attr),
}

/// Resolves to what is there (stat, chdir, open).
pub(crate) fn resolve(
    caller: &Caller<'_>,
    base: &Place,
    path: VPath<'_>,
    follow: Follow,
    want: Want,
) -> Result<Found> {
    unraced(caller, base, path, |mut walk| {
        loop {
            let child = match walk.reach_last(want, follow == Follow::Yes)? {
                Reached::Attr(attr) => return Ok(Found::Attr(attr)),
                Reached::Last(Last::Name(last)) => walk.child(last.name_in(caller, walk.here())?)?,
                Reached::Last(Last::DotDot) => walk.parent()?,
                Reached::Here | Reached::Last(Last::Dot | Last::Root) => walk.take_here(),
            };
            if child.kind().is_symlink() && (follow == Follow::Yes || walk.must_be_dir) {
                walk.follow(&child)?;
                continue;
            }
            return walk.finish(child).map(Found::Place);
        }
    })
}

/// Resolves to the directory that the last component is in (mkdir, unlink, rename, link, symlink).
pub(crate) fn resolve_parent<'p>(caller: &Caller<'_>, base: &Place, path: VPath<'p>) -> Result<Parent<'p>> {
    // The last component is never followed, so its text is the caller's own.
    let text = path.as_bytes();
    unraced(caller, base, path, |mut walk| {
        let last = match walk.reach_last(Want::Parent, false)? {
            Reached::Last(Last::Name(last)) => {
                Last::Name(LastName { text: Text::Caller(text), start: last.start, end: last.end })
            }
            Reached::Last(Last::Dot) => Last::Dot,
            Reached::Last(Last::DotDot) => Last::DotDot,
            Reached::Last(Last::Root) | Reached::Here | Reached::Attr(_) => Last::Root,
        };
        let dir = walk.take_here();
        Ok(Parent { dir, last, trailing_slash: walk.must_be_dir, table: walk.table })
    })
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
    unraced(caller, base, path, |mut walk| {
        loop {
            let last = match walk.reach_last(Want::Inode, follow == Follow::Yes)? {
                Reached::Last(Last::Name(last)) => last,
                Reached::Last(Last::DotDot) => return walk.parent().map(Slot::Found),
                // A name with a slash behind it, as below.
                Reached::Here if walk.must_be_dir => return Err(Errno::ISDIR),
                _ => return Ok(Slot::Found(walk.take_here())),
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

/// Runs a walk; again if a directory moved under it, at last with moves locked out.
fn unraced<'a, T>(
    caller: &'a Caller<'a>,
    base: &'a Place,
    path: VPath<'a>,
    walk: impl Fn(Walk<'a>) -> Result<T>,
) -> Result<T> {
    if !path.is_absolute() && !base.kind().is_dir() {
        return Err(Errno::NOTDIR);
    }
    for _ in 0..RACED_TRIES {
        match walk(Walk::new(caller, base, path, None)?) {
            Err(Errno::RACED) => {}
            result => return result,
        }
    }
    let held = caller.ns.renames.hold()?;
    walk(Walk::new(caller, base, path, Some(held))?)
}

/// Checks a component as a name of `dir`. Linux leaves its length to the filesystem, which is never asked about
/// a directory that was removed.
fn name_in<'n>(caller: &Caller<'_>, dir: &Place, bytes: &'n [u8]) -> Result<Name<'n>> {
    match Name::new(bytes) {
        Err(Errno::NAMETOOLONG) if dir.attr(caller.cx)?.nlink == 0 => Err(Errno::NOENT),
        name => name,
    }
}

/// The inode that a name of `dir` stands for, a mount's root if one is there.
fn child(caller: &Caller<'_>, table: &MountTable, dir: &Place, name: Name<'_>) -> Result<Place> {
    if let Some(mounted) = table.at(dir, name.as_bytes()) {
        return Ok(mounted);
    }
    let node = dir.mount.filesystem().any().lookup(caller.cx, dir.at(name))?;
    Ok(dir.sibling(node))
}

/// Path text on the stack.
#[derive(Clone)]
enum Text<'a> {
    Caller(&'a [u8]),
    Link(Arc<[u8]>),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Caller(bytes) => bytes,
            Text::Link(bytes) => bytes,
        }
    }
}

struct Frame<'a> {
    text: Text<'a>,
    at: usize,
}

/// How the loop ended.
enum Reached<'a> {
    /// Before this component.
    Last(Last<'a>),
    /// At the end: the walk's place is what was looked for.
    Here,
    /// At the end, with the attributes that were looked for.
    Attr(Attr),
}

/// The state of one walk.
struct Walk<'a> {
    caller: &'a Caller<'a>,
    base: &'a Place,
    table: Guard<Arc<MountTable>>,
    /// Where the walk began, until it moves.
    start: &'a Place,
    moved: Option<Place>,
    /// What is left to walk, innermost link last. Every text but the last has components left.
    texts: SmallVec<[Frame<'a>; 2]>,
    links: u32,
    /// A slash followed the last component: it must be a directory, and is followed if it is a link.
    must_be_dir: bool,
    sequence: u64,
    held: Option<RwLockReadGuard<'a, ()>>,
}

impl<'a> Walk<'a> {
    fn new(
        caller: &'a Caller<'a>,
        base: &'a Place,
        path: VPath<'a>,
        held: Option<RwLockReadGuard<'a, ()>>,
    ) -> Result<Self> {
        let start = match (path.is_absolute(), caller.policy) {
            (false, _) => base,
            (true, Policy::Posix) => caller.root,
            (true, Policy::Beneath) => return Err(Errno::NOTCAPABLE),
            (true, Policy::Strict) => return Err(Errno::PERM),
        };
        let mut texts = SmallVec::new();
        texts.push(Frame { text: Text::Caller(path.as_bytes()), at: 0 });
        Ok(Walk {
            caller,
            base,
            table: caller.ns.table(),
            start,
            moved: None,
            texts,
            links: 0,
            must_be_dir: false,
            sequence: caller.ns.renames.sequence(),
            held,
        })
    }

    fn here(&self) -> &Place {
        self.moved.as_ref().unwrap_or(self.start)
    }

    /// The place reached; the walk is at its end.
    fn take_here(&mut self) -> Place {
        self.moved.take().unwrap_or_else(|| self.start.clone())
    }

    /// Walks up to the last component, or beyond if the filesystem takes it along.
    fn reach_last(&mut self, want: Want, follows: bool) -> Result<Reached<'a>> {
        loop {
            self.drop_finished();
            if self.texts.is_empty() {
                return Ok(Reached::Last(Last::Root));
            }
            if !self.here().kind().is_dir() {
                return Err(Errno::NOTDIR);
            }
            if let Some(reached) = self.take_run(want, follows)? {
                return Ok(reached);
            }
            self.check_search()?;
            let only = self.texts.len() == 1;
            let Some(frame) = self.texts.last_mut() else { return Ok(Reached::Last(Last::Root)) };
            let Some((component, end)) = next_component(frame.text.bytes(), frame.at) else { continue };
            let rest = &frame.text.bytes()[end..];
            if only && rest.iter().all(|&byte| byte == b'/') {
                self.must_be_dir |= !rest.is_empty();
                let last = match component {
                    Component::Dot => Last::Dot,
                    Component::DotDot => Last::DotDot,
                    Component::Name(name) => {
                        let start = end - name.len();
                        Last::Name(LastName { text: frame.text.clone(), start, end })
                    }
                };
                frame.at = end;
                return Ok(Reached::Last(last));
            }
            match component {
                Component::Dot => frame.at = end,
                Component::DotDot => {
                    let parent = self.parent()?;
                    self.step_over(end, parent);
                }
                Component::Name(name) => {
                    let here = self.moved.as_ref().unwrap_or(self.start);
                    let name = name_in(self.caller, here, name)?;
                    let child = child(self.caller, &self.table, here, name)?;
                    frame.at = end;
                    if child.kind().is_symlink() {
                        self.follow(&child)?;
                    } else {
                        self.moved = Some(child);
                    }
                }
            }
        }
    }

    fn step_over(&mut self, end: usize, place: Place) {
        if let Some(frame) = self.texts.last_mut() {
            frame.at = end;
        }
        self.moved = Some(place);
    }

    /// Drops texts that have no component left.
    fn drop_finished(&mut self) {
        while let Some(frame) = self.texts.last() {
            if next_component(frame.text.bytes(), frame.at).is_some() {
                break;
            }
            self.texts.pop();
        }
    }

    /// Lets the filesystem take the names that come next, if it can.
    fn take_run(&mut self, want: Want, follows: bool) -> Result<Option<Reached<'a>>> {
        let here = self.moved.as_ref().unwrap_or(self.start);
        let fs = here.mount.filesystem();
        if !fs.caps().contains(Caps::RUNS) {
            return Ok(None);
        }
        let only = self.texts.len() == 1;
        let Some(frame) = self.texts.last_mut() else { return Ok(None) };
        let text = frame.text.bytes();
        let must_be_dir = self.must_be_dir || (only && text.last() == Some(&b'/'));
        let table = &self.table;
        let cut = |name: &[u8]| !table.is_empty() && table.names_a_point(name);
        let mut run = Run::new(text, frame.at, only, want, follows || must_be_dir, must_be_dir, &cut);
        if run.peek().is_none() {
            return Ok(None);
        }
        let end = fs.any().resolve_run(self.caller.cx, &here.node, &mut run, want)?;
        let (position, took_last) = (run.position(), run.took_last());
        let place = match end {
            RunEnd::Untaken => return Ok(None),
            RunEnd::Attr(attr) => return Ok(Some(Reached::Attr(fs.with_dev(attr)))),
            RunEnd::At(node) => here.sibling(node),
        };
        frame.at = position;
        self.moved = Some(place);
        if took_last {
            self.must_be_dir = must_be_dir;
            return Ok(Some(Reached::Here));
        }
        // The directory reached is checked like any other before its next name is looked up.
        Ok(None)
    }

    /// Checks that the directory that the walk stands in may be searched.
    fn check_search(&self) -> Result<()> {
        if self.caller.cx.credentials().has(Capabilities::DAC_OVERRIDE) {
            return Ok(());
        }
        access::search(self.caller.cx, &self.here().attr(self.caller.cx)?)
    }

    fn child(&self, name: Name<'_>) -> Result<Place> {
        child(self.caller, &self.table, self.here(), name)
    }

    /// The directory above, as far as the caller may go.
    fn parent(&self) -> Result<Place> {
        let here = self.here();
        let in_callers_text = self.texts.last().is_none_or(|frame| matches!(frame.text, Text::Caller(_)));
        match self.caller.policy {
            Policy::Posix => {}
            Policy::Beneath if in_callers_text && here.is(self.base) => return Err(Errno::NOTCAPABLE),
            Policy::Beneath => {}
            Policy::Strict if here.is(self.base) => return Err(Errno::PERM),
            Policy::Strict => {}
        }
        if here.is(self.caller.root) {
            return Ok(here.clone());
        }
        let above = if here.is_mount_root() {
            here.mount.above().unwrap_or(here).clone()
        } else {
            let above = here.sibling(here.mount.filesystem().any().parent(self.caller.cx, &here.node)?);
            if !self.is_connected(&above)? {
                return Err(Errno::NOENT);
            }
            above
        };
        // A directory that moves between two steps could lead around the base.
        let may_have_raced = self.caller.policy != Policy::Posix && self.held.is_none();
        if may_have_raced && !self.caller.ns.renames.unmoved_since(self.sequence) {
            return Err(Errno::RACED);
        }
        Ok(above)
    }

    /// Whether a directory is below its mount's root. One that was moved out of what a bind mount shows is not,
    /// and `..` must not lead further out (`path_connected` in Linux).
    fn is_connected(&self, dir: &Place) -> Result<bool> {
        let fs = dir.mount.filesystem().any();
        if dir.mount.shows_all() {
            return Ok(true);
        }
        // As far as the tree is deep, for each `..` again: the one part of a walk that can last.
        self.caller.cx.check_canceled()?;
        let mut here = dir.clone();
        while !here.is_mount_root() {
            let above = here.sibling(fs.parent(self.caller.cx, &here.node)?);
            if above.is(&here) {
                return Ok(false);
            }
            here = above;
        }
        Ok(true)
    }

    /// Goes on with the target of a symbolic link.
    fn follow(&mut self, link: &Place) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target =
            self.caller.reading(link, |cx| link.mount.filesystem().any().readlink(cx, &link.node))?;
        let text = match target {
            LinkTarget::Jump(place) => {
                self.moved = Some(place);
                return Ok(());
            }
            LinkTarget::Text(text) => text,
        };
        match text.first() {
            None => return Err(Errno::NOENT),
            Some(b'/') if self.caller.policy == Policy::Strict => return Err(Errno::PERM),
            Some(b'/') => self.moved = Some(self.caller.root.clone()),
            Some(_) => {}
        }
        self.drop_finished();
        self.texts.push(Frame { text: Text::Link(text), at: 0 });
        Ok(())
    }

    fn finish(&self, place: Place) -> Result<Place> {
        if self.must_be_dir && !place.kind().is_dir() { Err(Errno::NOTDIR) } else { Ok(place) }
    }
}
