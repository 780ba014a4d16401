//! Taking many names at once.

use std::sync::Arc;

use vnode_core::fs::{Inode, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Result, access};

use crate::node::Node;

/// How many directories are held locked at once on the way down.
const HELD: usize = 12;

/// Where a stretch of a run ended.
enum Stop {
    /// The run is taken as far as it can be.
    End(RunEnd<Node>),
    /// As many directories are locked as may be: it goes on from here.
    Resume(Arc<Node>),
}

/// Takes the names of a run.
///
/// Directories are held locked, not counted: the reference to the next one is borrowed from the one above.
pub(crate) fn resolve(cx: &Cx<'_>, dir: &Arc<Node>, run: &mut Run<'_>, want: Want) -> Result<RunEnd<Node>> {
    let mut way =
        Way { cx, run, want, searches_all: cx.credentials().has(Capabilities::DAC_OVERRIDE), taken: false };
    let mut stop = way.descend(dir, HELD)?;
    loop {
        match stop {
            Stop::End(end) => return Ok(end),
            Stop::Resume(dir) => stop = way.descend(&dir, HELD)?,
        }
    }
}

struct Way<'a, 'r, 'c> {
    cx: &'a Cx<'c>,
    run: &'a mut Run<'r>,
    want: Want,
    searches_all: bool,
    taken: bool,
}

impl Way<'_, '_, '_> {
    /// Takes names from `dir` on, holding at most `held` directories.
    fn descend(&mut self, dir: &Arc<Node>, held: usize) -> Result<Stop> {
        let Some((name, last)) = self.run.peek() else { return Ok(self.end_at(dir)) };
        if held == 0 {
            return Ok(Stop::Resume(dir.clone()));
        }
        let Ok(directory) = dir.directory() else { return Ok(self.end_at(dir)) };
        if !self.searches_all {
            access::search(self.cx, &dir.attr())?;
        }
        let entries = directory.entries.read();
        let Some(node) = entries.get(&dir.shared.hasher, name.as_bytes()) else {
            return Ok(self.end_at(dir));
        };
        let kind = node.kind();
        let stays = if last {
            (kind.is_symlink() && self.run.follows()) || (!kind.is_dir() && self.run.must_be_dir())
        } else {
            !kind.is_dir()
        };
        if stays {
            return Ok(self.end_at(dir));
        }
        self.run.take();
        self.taken = true;
        if !last {
            return self.descend(node, held - 1);
        }
        Ok(Stop::End(match self.want {
            Want::Attr => RunEnd::Attr(node.attr()),
            Want::Inode | Want::Parent => RunEnd::At(node.clone()),
        }))
    }

    fn end_at(&self, dir: &Arc<Node>) -> Stop {
        Stop::End(if self.taken { RunEnd::At(dir.clone()) } else { RunEnd::Untaken })
    }
}
