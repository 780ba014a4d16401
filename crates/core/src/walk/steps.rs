//! The state of a walk, and its one loop.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use smallvec::SmallVec;

use super::{Last, LastName};
use crate::access;
use crate::caller::{Caller, Follow, Policy};
use crate::cx::{Capabilities, Cx};
use crate::erase::Node;
use crate::errno::{Errno, Result};
use crate::fs::{Access, Caps, Jump, LinkTarget};
use crate::mount::{MountTable, Place};
use crate::path::{Component, Name, VPath, next_component};
use crate::rename_lock::RenameLock;
use crate::run::{Answer, Cut, Run, RunEnd, Want};

/// Symbolic links that one walk follows; the next is `ELOOP` (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// Checks a component as a name of `dir`. Linux leaves its length to the filesystem, which is never asked about
/// a directory that was removed.
pub(super) fn name_in<'n>(caller: &Caller<'_>, dir: &Place, bytes: &'n [u8]) -> Result<Name<'n>> {
    match Name::of_component(bytes) {
        Err(Errno::NAMETOOLONG) if dir.attr(caller.cx)?.nlink == 0 => Err(Errno::NOENT),
        name => name,
    }
}

/// The inode that a name of `dir` stands for, a mount's root if one is there.
pub(super) fn child(caller: &Caller<'_>, table: &MountTable, dir: &Place, name: Name<'_>) -> Result<Place> {
    if let Some(mounted) = table.at(dir, name.as_bytes()) {
        return Ok(mounted);
    }
    let node = dir.mount.filesystem().any().lookup(caller.cx, dir.at(name))?;
    Ok(dir.sibling(node))
}

/// Path text on the stack.
#[derive(Clone)]
pub(super) enum Text<'a> {
    Caller(&'a [u8]),
    Link(Arc<[u8]>),
}

impl Text<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Text::Caller(bytes) => bytes,
            Text::Link(bytes) => bytes,
        }
    }
}

/// A text, and how far it was walked.
struct Frame<'a> {
    text: Text<'a>,
    at: usize,
}

impl<'a> Frame<'a> {
    fn of(path: VPath<'a>) -> Self {
        Frame { text: Text::Caller(path.as_bytes()), at: 0 }
    }
}

/// How the loop ended.
pub(super) enum Reached<'a> {
    /// Before this component.
    Last(Last<'a>),
    /// At the end: the walk's place is what was looked for, or its answer is given.
    Here,
}

/// What a filesystem took of the names to come.
enum Taken {
    /// None.
    None,
    /// Some; the directory that was reached is checked like any other before its next name is looked up. A link that
    /// came next was followed.
    Some,
    /// All, and what was wanted of the last.
    All,
}

/// The state of one walk.
pub(super) struct Walk<'a, 't> {
    caller: &'a Caller<'a>,
    base: &'a Place,
    table: &'t MountTable,
    /// Where the walk began, until it moves.
    pub(super) start: &'a Place,
    pub(super) moved: Option<Place>,
    /// The text that is walked: the innermost link's.
    text: Frame<'a>,
    /// What is left to walk behind it, innermost last. Each has components left.
    outer: SmallVec<[Frame<'a>; 1]>,
    links: u32,
    /// A slash followed the last component: it must be a directory, and is followed if it is a link.
    pub(super) must_be_dir: bool,
    /// What the filesystem said at the end of a run: the attributes looked for, or where a link leads.
    pub(super) found: Answer,
    /// A regular file at the end may be opened at once, for this.
    pub(super) opens: Option<Access>,
    sequence: u64,
    pub(super) held: Option<RwLockReadGuard<'a, ()>>,
}

impl<'a, 't> Walk<'a, 't> {
    pub(super) fn new(
        caller: &'a Caller<'_>,
        base: &'a Place,
        path: VPath<'a>,
        table: &'t MountTable,
    ) -> Result<Self> {
        let start = match (path.is_absolute(), caller.policy) {
            (false, _) => base,
            (true, Policy::Posix) => caller.root,
            (true, Policy::Beneath) => return Err(Errno::NOTCAPABLE),
            (true, Policy::Strict) => return Err(Errno::PERM),
        };
        Ok(Walk {
            caller,
            base,
            table,
            start,
            moved: None,
            text: Frame::of(path),
            outer: SmallVec::new(),
            links: 0,
            must_be_dir: false,
            found: Answer::default(),
            opens: None,
            sequence: base.mount.filesystem().renames().sequence(),
            held: None,
        })
    }

    /// Goes back to where it began.
    #[cold]
    pub(super) fn begin(&mut self, path: VPath<'a>) {
        self.moved = None;
        self.text = Frame::of(path);
        self.outer.clear();
        self.links = 0;
        self.must_be_dir = false;
        self.found = Answer::default();
        self.sequence = self.renames().sequence();
    }

    /// What tells of directories that move in the base's filesystem.
    pub(super) fn renames(&self) -> &RenameLock {
        self.base.mount.filesystem().renames()
    }

    pub(super) fn here(&self) -> &Place {
        self.moved.as_ref().unwrap_or(self.start)
    }

    /// The place reached; the walk is at its end.
    pub(super) fn take_here(&mut self) -> Place {
        self.moved.take().unwrap_or_else(|| self.start.clone())
    }

    /// Goes to another inode of the same mount.
    fn go(&mut self, node: Node) {
        match &mut self.moved {
            Some(place) => place.node = node,
            None => self.moved = Some(self.start.sibling(node)),
        }
    }

    /// Walks to what the path leads to: its place, or its attributes if those are wanted and easier.
    #[inline]
    pub(super) fn find(&mut self, want: Want, follow: Follow) -> Result<()> {
        loop {
            let child = match self.reach_last(want, follow == Follow::Yes)? {
                Reached::Here => return Ok(()),
                Reached::Last(Last::Name(last)) => self.child(last.name_in(self.caller, self.here())?)?,
                Reached::Last(Last::DotDot) => self.parent()?,
                Reached::Last(Last::Dot | Last::Root) => self.take_here(),
            };
            if child.kind().is_symlink() && (follow == Follow::Yes || self.must_be_dir) {
                self.follow(&child)?;
                continue;
            }
            if self.must_be_dir && !child.kind().is_dir() {
                return Err(Errno::NOTDIR);
            }
            self.moved = Some(child);
            return Ok(());
        }
    }

    /// Walks up to the last component, or beyond if the filesystem takes it along.
    pub(super) fn reach_last(&mut self, want: Want, follows: bool) -> Result<Reached<'a>> {
        loop {
            let Some((component, end)) = next_component(self.text.text.bytes(), self.text.at) else {
                let Some(outer) = self.outer.pop() else { return Ok(Reached::Last(Last::Root)) };
                self.text = outer;
                continue;
            };
            if !self.here().kind().is_dir() {
                return Err(Errno::NOTDIR);
            }
            if matches!(component, Component::Name(_)) {
                match self.take_run(want, follows)? {
                    Taken::None => {}
                    Taken::Some => continue,
                    Taken::All => return Ok(Reached::Here),
                }
            }
            self.check_search()?;
            let Frame { text, at } = &mut self.text;
            let Some((component, _)) = next_component(text.bytes(), *at) else { continue };
            let rest = &text.bytes()[end..];
            if self.outer.is_empty() && rest.iter().all(|&byte| byte == b'/') {
                self.must_be_dir |= !rest.is_empty();
                let last = match component {
                    Component::Dot => Last::Dot,
                    Component::DotDot => Last::DotDot,
                    Component::Name(name) => {
                        let start = end - name.len();
                        Last::Name(LastName { text: text.clone(), start, end })
                    }
                };
                *at = end;
                return Ok(Reached::Last(last));
            }
            match component {
                Component::Dot => *at = end,
                Component::DotDot => {
                    self.moved = Some(self.parent()?);
                    self.text.at = end;
                }
                Component::Name(name) => {
                    let here = self.moved.as_ref().unwrap_or(self.start);
                    let name = name_in(self.caller, here, name)?;
                    let child = child(self.caller, self.table, here, name)?;
                    *at = end;
                    if child.kind().is_symlink() {
                        self.follow(&child)?;
                    } else {
                        self.moved = Some(child);
                    }
                }
            }
        }
    }

    /// Lets the filesystem take the names that come next, if it can.
    fn take_run(&mut self, want: Want, follows: bool) -> Result<Taken> {
        let here = self.moved.as_ref().unwrap_or(self.start);
        let fs = here.mount.filesystem();
        if !fs.caps().contains(Caps::RUNS) {
            return Ok(Taken::None);
        }
        let only = self.outer.is_empty();
        let text = self.text.text.bytes();
        let must_be_dir = self.must_be_dir || (only && text.last() == Some(&b'/'));
        let table = self.table;
        let names_a_point = |name: &[u8]| table.names_a_point(name);
        let cut = (!table.is_empty()).then_some(&names_a_point as &Cut<'_>);
        let (found, follows) = (&mut self.found, follows || must_be_dir);
        let reads_links = self.links < MAX_LINKS;
        let mut run = Run::new(text, self.text.at, only, want, follows, must_be_dir, reads_links, cut, found);
        if run.peek().is_none() {
            return Ok(Taken::None);
        }
        let opens =
            self.opens.filter(|access| !access.contains(Access::WRITE) || here.mount.want_write().is_ok());
        let end = self.caller.reading(&here.mount, |cx| match opens {
            Some(access) => fs.any().open_run(cx, &here.node, &mut run, access),
            None => fs.any().resolve_run(cx, &here.node, &mut run, want),
        })?;
        let (position, took_last, next_end) = (run.position(), run.took_last(), run.next_end());
        self.found.attr.iter_mut().for_each(|attr| fs.fill_dev(attr));
        match end {
            RunEnd::Untaken => return Ok(Taken::None),
            RunEnd::At(node) => {
                self.text.at = position;
                self.go(node);
                if !took_last {
                    return Ok(Taken::Some);
                }
            }
            RunEnd::Answered => {}
            RunEnd::Link(dir) => {
                let (Some((end, last)), Some(target)) = (next_end, self.found.target.take()) else {
                    return Err(Errno::IO);
                };
                self.text.at = end;
                if let Some(dir) = dir {
                    self.go(dir);
                }
                self.must_be_dir |= last && must_be_dir;
                if want == Want::Slot && self.must_be_dir {
                    return Err(Errno::ISDIR);
                }
                self.go_on_with(target)?;
                return Ok(Taken::Some);
            }
        }
        self.must_be_dir = must_be_dir;
        Ok(Taken::All)
    }

    /// Checks that the directory that the walk stands in may be searched.
    fn check_search(&self) -> Result<()> {
        if self.caller.cx.credentials().has(Capabilities::DAC_OVERRIDE) {
            return Ok(());
        }
        access::search(self.caller.cx, &self.here().attr(self.caller.cx)?)
    }

    pub(super) fn child(&self, name: Name<'_>) -> Result<Place> {
        child(self.caller, self.table, self.here(), name)
    }

    /// The directory above, as far as the caller may go.
    pub(super) fn parent(&self) -> Result<Place> {
        let here = self.here();
        let in_callers_text = matches!(self.text.text, Text::Caller(_));
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
        // A directory that moves between two steps could lead around the base. Only in the base's own filesystem:
        // the way up through another mount ends at its point, which stays where it is.
        let may_have_raced = self.caller.policy != Policy::Posix && self.held.is_none();
        if may_have_raced && !self.renames().unmoved_since(self.sequence) {
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

    /// Follows a symbolic link.
    pub(super) fn follow(&mut self, link: &Place) -> Result<()> {
        if self.links >= MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let read = |cx: &Cx<'_>| link.mount.filesystem().any().readlink(cx, &link.node);
        self.go_on_with(self.caller.reading(&link.mount, read)?)
    }

    /// Where a link without text leads. What is open has rights, which its place doesn't tell: where rights are walls,
    /// a jump must not lead to names or content, only to streams and devices.
    fn jump(&self, jump: &dyn Jump) -> Result<Place> {
        if self.caller.policy == Policy::Strict {
            return Err(Errno::PERM);
        }
        let place = jump.place(self.caller)?;
        if self.caller.policy == Policy::Beneath && place.is_on_medium() {
            return Err(Errno::NOTCAPABLE);
        }
        Ok(place)
    }

    /// Goes on with the target of a symbolic link.
    fn go_on_with(&mut self, target: LinkTarget) -> Result<()> {
        self.links += 1;
        let text = match target {
            LinkTarget::Jump(jump) => {
                self.moved = Some(self.jump(&*jump)?);
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
        if text.contains(&0) {
            return Err(Errno::INVAL);
        }
        let inner = Frame { text: Text::Link(text), at: 0 };
        let outer = core::mem::replace(&mut self.text, inner);
        if next_component(outer.text.bytes(), outer.at).is_some() {
            self.outer.push(outer);
        }
        Ok(())
    }
}
