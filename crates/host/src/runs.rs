//! Runs of names, found in as few calls of the host as can be.

use std::sync::Arc;

use vnode_core::fs::{Access, Inode, InodeId, LinkTarget, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Errno, FileType, Result};

use crate::host::Host;
use crate::node::{HostNode, Way};
use crate::pool::Descriptor;
use crate::sys::{self, AsFd, BorrowedFd, Stat};

type End = RunEnd<HostNode>;

/// Names with slashes between them, and whether the walk's last is the last of them.
#[derive(Clone, Copy)]
struct Names<'a> {
    text: &'a [u8],
    with_last: bool,
}

impl<'a> Names<'a> {
    /// Those that may be taken; none where each directory's mode is to be looked at.
    fn ahead(cx: &Cx<'_>, run: &Run<'a>) -> Option<Self> {
        if !cx.credentials().has(Capabilities::DAC_OVERRIDE) {
            return None;
        }
        run.ahead().map(|(text, with_last)| Names { text, with_last })
    }

    /// All but the last one, if there are any, and the last one.
    fn split(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        match self.text.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Some(&self.text[..slash]), &self.text[slash + 1..]),
            None => (None, self.text),
        }
    }

    /// Each name behind the first `from` bytes, with where it ends.
    fn steps(&self, from: usize) -> impl Iterator<Item = (&'a [u8], usize)> + use<'a> {
        let text = self.text;
        let mut at = from;
        core::iter::from_fn(move || {
            let start = at + text.get(at..)?.iter().position(|&byte| byte != b'/')?;
            let len = text[start..].iter().position(|&byte| byte == b'/').unwrap_or(text.len() - start);
            at = start + len;
            Some((&text[start..at], at))
        })
    }
}

/// What was reached, by the first `end` bytes of the names.
struct Reached {
    descriptor: Descriptor,
    stat: Stat,
    end: usize,
}

/// A run on its way.
struct Taking<'h, 'r, 'a> {
    host: &'h Host,
    dir: &'h Arc<HostNode>,
    /// The directory's own descriptor.
    start: BorrowedFd<'h>,
    names: Names<'a>,
    run: &'r mut Run<'a>,
    want: Want,
}

/// [`Filesystem::resolve_run`](vnode_core::fs::Filesystem::resolve_run).
#[inline]
pub(crate) fn resolve(
    host: &Host,
    cx: &Cx<'_>,
    dir: &Arc<HostNode>,
    run: &mut Run<'_>,
    want: Want,
) -> Result<End> {
    let Some(names) = Names::ahead(cx, run) else { return Ok(RunEnd::Untaken) };
    let held = dir.fd()?;
    Taking { host, dir, start: held.as_fd(), names, run, want }.take()
}

/// [`Filesystem::open_run`](vnode_core::fs::Filesystem::open_run).
#[inline]
pub(crate) fn open(
    host: &Host,
    cx: &Cx<'_>,
    dir: &Arc<HostNode>,
    run: &mut Run<'_>,
    access: Access,
) -> Result<End> {
    let Some(names) = Names::ahead(cx, run) else { return Ok(RunEnd::Untaken) };
    let held = dir.fd()?;
    let mut taking = Taking { host, dir, start: held.as_fd(), names, run, want: Want::Inode };
    match taking.open(cx, access)? {
        Some(end) => Ok(end),
        None => taking.take(),
    }
}

impl<'a> Taking<'_, '_, 'a> {
    /// Opens the last name, if it is a regular file and no link is on the way.
    fn open(&mut self, cx: &Cx<'_>, access: Access) -> Result<Option<End>> {
        let (parents, last) = self.names.split();
        if !self.names.with_last || self.run.must_be_dir() || (parents.is_some() && !self.host.has_openat2) {
            return Ok(None);
        }
        let reached = match parents.map(|parents| self.at_once(parents)).transpose() {
            // By single steps, up to the link, or along what moves meanwhile.
            Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) => return Ok(None),
            Ok(Some(reached)) if !reached.stat.attr.kind.is_dir() => return Ok(None),
            reached => reached?,
        };
        let (dir, id) = self.stands(reached.as_ref());
        let (descriptor, stat) = match self.host.open_named(cx, dir, last, access) {
            // A link, a directory, a special file.
            Err(Errno::NXIO | Errno::LOOP) => return Ok(None),
            opened => opened?,
        };
        self.host.check_mount(id, stat)?;
        let descriptor = Arc::new(descriptor);
        let node = HostNode::opened(&self.host.pool, Arc::clone(&descriptor), access, Some(stat.id));
        self.run.take_all();
        self.run.opened(self.host.file(descriptor, stat.attr.mode), self.host.attr(stat));
        Ok(Some(RunEnd::At(node)))
    }

    fn take(self) -> Result<End> {
        let (parents, last) = self.names.split();
        if parents.is_none() && self.names.with_last {
            match self.want {
                Want::Attr => return self.stat_one(last),
                Want::Target if !self.host.one_mount => return self.target_one(last),
                // A lookup tells whether it is there, in as many calls.
                Want::Slot => return Ok(RunEnd::Untaken),
                Want::Inode | Want::Parent | Want::Target => {}
            }
        }
        let Some(parents) = parents.filter(|_| self.host.has_openat2) else { return self.step(None) };
        if self.want == Want::Attr && self.names.with_last {
            return self.stat_last(parents);
        }
        match self.at_once(self.names.text) {
            Ok(reached) if self.may_take(&reached) => {
                self.run.take_all();
                self.finish(Some(reached))
            }
            Err(Errno::NOENT) if self.may_miss_last() => self.step_last(parents),
            Ok(_) => self.step_last(parents),
            // `EXDEV` also says that a directory left where the walk began, while it walked.
            Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) => self.step(None),
            Err(errno) => Err(errno),
        }
    }

    fn may_miss_last(&self) -> bool {
        self.want == Want::Slot && self.names.with_last
    }

    /// Whether all the names may be taken that lead there.
    fn may_take(&self, reached: &Reached) -> bool {
        let kind = reached.stat.attr.kind;
        if self.names.with_last { self.may_end(kind) } else { kind.is_dir() }
    }

    /// Whether the walk may end there.
    fn may_end(&self, kind: FileType) -> bool {
        kind.is_dir() || !(self.run.must_be_dir() || (kind.is_symlink() && self.run.follows()))
    }

    /// The attributes of the only name.
    #[inline]
    fn stat_one(self, name: &[u8]) -> Result<End> {
        let stat = self.host.look_at(self.start, name)?;
        self.host.check_mount(self.dir.id(), stat)?;
        let kind = stat.attr.kind;
        if kind.is_symlink() && self.run.follows() {
            if !self.run.reads_links() {
                return Ok(RunEnd::Untaken);
            }
            return match sys::read_link_at(self.start, name) {
                // The name stands for something else since.
                Err(Errno::INVAL) => Ok(RunEnd::Untaken),
                target => {
                    self.run.leads_to(LinkTarget::Text(target?));
                    Ok(RunEnd::Link(None))
                }
            };
        }
        if self.run.must_be_dir() && !kind.is_dir() {
            return Ok(RunEnd::Untaken);
        }
        self.run.take_all();
        self.run.answer(self.host.attr(stat));
        Ok(RunEnd::Answered)
    }

    /// Where the only name leads.
    fn target_one(self, name: &[u8]) -> Result<End> {
        if self.run.must_be_dir() {
            return Ok(RunEnd::Untaken);
        }
        match sys::read_link_at(self.start, name) {
            // No link, of which a lookup tells what it is.
            Err(Errno::INVAL) => Ok(RunEnd::Untaken),
            target => {
                self.run.take_all();
                self.run.leads_to(LinkTarget::Text(target?));
                Ok(RunEnd::Answered)
            }
        }
    }

    /// The attributes of the last name. No inode is made, and nothing is found from there.
    fn stat_last(self, parents: &[u8]) -> Result<End> {
        let names = self.names.text;
        let found = self.host.pool.open(|| sys::find_run(self.start, names, self.host.one_mount));
        let found = match found {
            Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) => return self.step(None),
            found => found?,
        };
        let attr = self.host.attr(sys::look(found.as_fd())?);
        if !self.may_end(attr.kind) {
            return self.step_last(parents);
        }
        self.run.take_all();
        self.run.answer(attr);
        Ok(RunEnd::Answered)
    }

    /// What the names lead to, in one call.
    fn at_once(&self, names: &[u8]) -> Result<Reached> {
        let host = self.host;
        let descriptor = host.pool.open(|| sys::find_run(self.start, names, host.one_mount))?;
        let stat = sys::stat(descriptor.as_fd())?;
        Ok(Reached { descriptor, stat, end: names.len() })
    }

    fn stands<'s>(&'s self, reached: Option<&'s Reached>) -> (BorrowedFd<'s>, InodeId) {
        match reached {
            Some(reached) => (reached.descriptor.as_fd(), reached.stat.id),
            None => (self.start, self.dir.id()),
        }
    }

    /// Takes the directories at once, and looks at the last name by itself.
    fn step_last(self, parents: &[u8]) -> Result<End> {
        match self.at_once(parents) {
            Ok(reached) if reached.stat.attr.kind.is_dir() => {
                for _ in self.names.steps(0).take_while(|&(_, end)| end <= parents.len()) {
                    self.run.take();
                }
                self.step(Some(reached))
            }
            // A link came there since, or something else.
            Ok(_) | Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN) => self.step(None),
            Err(errno) => Err(errno),
        }
    }

    /// Takes name after name.
    fn step(self, from: Option<Reached>) -> Result<End> {
        let mut reached = from;
        let done = reached.as_ref().map_or(0, |reached| reached.end);
        for (name, end) in self.names.steps(done) {
            let is_last = self.names.with_last && end == self.names.text.len();
            let (dir, id) = self.stands(reached.as_ref());
            let descriptor = match self.host.pool.open(|| sys::find(dir, name)) {
                Err(Errno::NOENT) if is_last && self.want == Want::Slot => break,
                found => found?,
            };
            let stat = sys::stat(descriptor.as_fd())?;
            self.host.check_mount(id, stat)?;
            let kind = stat.attr.kind;
            if kind.is_symlink() && (!is_last || self.run.follows()) {
                return self.link(reached, &descriptor);
            }
            if !kind.is_dir() {
                if !is_last {
                    return Err(Errno::NOTDIR);
                }
                if self.run.must_be_dir() {
                    break;
                }
            }
            self.run.take();
            reached = Some(Reached { descriptor, stat, end });
        }
        self.finish(reached)
    }

    /// The end before a link.
    fn link(self, reached: Option<Reached>, link: &Descriptor) -> Result<End> {
        if !self.run.reads_links() {
            return self.finish(reached);
        }
        self.run.leads_to(LinkTarget::Text(sys::read_link(link.as_fd())?));
        Ok(RunEnd::Link(reached.map(|reached| self.node(reached))))
    }

    /// The end at what was reached.
    fn finish(self, reached: Option<Reached>) -> Result<End> {
        let Some(reached) = reached else { return Ok(RunEnd::Untaken) };
        let all = self.names.with_last && reached.end == self.names.text.len();
        if all && self.want == Want::Attr {
            self.run.answer(self.host.attr(reached.stat));
            return Ok(RunEnd::Answered);
        }
        Ok(RunEnd::At(self.node(reached)))
    }

    fn node(&self, reached: Reached) -> Arc<HostNode> {
        let Reached { descriptor, stat, end } = reached;
        let names = self.names.text.get(..end).unwrap_or(self.names.text).into();
        let way = Way { from: Arc::clone(self.dir), names };
        HostNode::found(&self.host.pool, stat, descriptor, way)
    }
}
