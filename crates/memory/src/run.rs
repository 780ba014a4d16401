//! Taking many names at once.

use std::sync::Arc;

use vnode_core::fs::{LinkTarget, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Errno, Mode, Result, access};

use crate::node::{Body, Node};

/// How many directories are held locked at once on the way down.
const HELD: usize = 12;

/// A directory with these bits may be searched whoever asks.
const SEARCHED_BY_ALL: Mode = Mode::from_raw(0o111);

/// Takes the names of a run.
///
/// Directories are held locked, not counted: the reference to the next one is borrowed from the one above.
pub(crate) fn resolve(cx: &Cx<'_>, dir: &Arc<Node>, run: &mut Run<'_>, want: Want) -> Result<RunEnd<Node>> {
    let checks = !cx.credentials().has(Capabilities::DAC_OVERRIDE);
    let mut way = Way { cx, run, want, checks, taken: false };
    let mut step = way.descend(dir, HELD)?;
    loop {
        match step {
            Step::End(end) => return Ok(end),
            Step::From(dir) => step = way.descend(&dir, HELD)?,
            // Read with no directory held: the clock is somebody else's.
            Step::Link(dir, link) => {
                link.meta.accessed(cx);
                if let Body::Symlink(target) = &link.body {
                    way.run.leads_to(LinkTarget::Text(target.clone()));
                }
                return Ok(RunEnd::Link(dir));
            }
        }
    }
}

struct Way<'a, 'r, 'c> {
    cx: &'a Cx<'c>,
    run: &'a mut Run<'r>,
    want: Want,
    /// Whether the caller may not search every directory.
    checks: bool,
    taken: bool,
}

/// How far a descent came.
enum Step {
    End(RunEnd<Node>),
    /// To here, with no directory held any more.
    From(Arc<Node>),
    /// To a link to be read, by way of this directory if names were taken.
    Link(Option<Arc<Node>>, Arc<Node>),
}

impl Way<'_, '_, '_> {
    /// Takes names from `dir` on, holding at most `held` directories.
    fn descend(&mut self, dir: &Arc<Node>, held: usize) -> Result<Step> {
        let Some((name, last)) = self.run.peek() else { return Ok(self.end_in(dir)) };
        let Ok(directory) = dir.directory() else { return Ok(self.end_in(dir)) };
        if held == 0 {
            return Ok(Step::From(dir.clone()));
        }
        if self.checks && !dir.meta.read().mode.contains(SEARCHED_BY_ALL) {
            access::search(self.cx, &dir.attr())?;
        }
        let entries = directory.entries.read();
        let Some(node) = entries.get(name.as_bytes()) else {
            return if last && self.want == Want::Slot { Ok(self.end_in(dir)) } else { Err(Errno::NOENT) };
        };
        let follows = !last || self.run.follows();
        match &node.body {
            Body::Symlink(_) if follows && self.run.reads_links() => {
                return Ok(Step::Link(self.taken.then(|| dir.clone()), node.clone()));
            }
            Body::Symlink(_) if follows => return Ok(self.end_in(dir)),
            Body::Directory(_) => {}
            _ if !last || self.run.must_be_dir() => return Ok(self.end_in(dir)),
            _ => {}
        }
        self.run.take();
        self.taken = true;
        if !last {
            return self.descend(node, held - 1);
        }
        Ok(Step::End(match self.want {
            Want::Attr => {
                self.run.answer(node.attr());
                RunEnd::Answered
            }
            Want::Inode | Want::Slot | Want::Parent | Want::Target => RunEnd::At(node.clone()),
        }))
    }

    /// No other name can be taken: the names taken, if any, lead here.
    fn end_in(&mut self, dir: &Arc<Node>) -> Step {
        Step::End(if self.taken { RunEnd::At(dir.clone()) } else { RunEnd::Untaken })
    }
}
