//! Taking many names at once.

use std::sync::Arc;

use vnode_core::fs::{Inode, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Mode, Result, access};

use crate::node::Node;

/// How many directories are held locked at once on the way down.
const HELD: usize = 12;

/// A directory with these bits may be searched whoever asks.
const SEARCHED_BY_ALL: Mode = Mode::from_raw(0o111);

/// Takes the names of a run.
///
/// Directories are held locked, not counted: the reference to the next one is borrowed from the one above.
pub(crate) fn resolve(cx: &Cx<'_>, dir: &Arc<Node>, run: &mut Run<'_>, want: Want) -> Result<RunEnd<Node>> {
    let checks = !cx.credentials().has(Capabilities::DAC_OVERRIDE);
    let mut end = RunEnd::Untaken;
    let mut way = Way { cx, run, want, checks, taken: false, end: &mut end };
    let mut resume = way.descend(dir, HELD)?;
    while let Some(dir) = resume {
        resume = way.descend(&dir, HELD)?;
    }
    Ok(end)
}

struct Way<'a, 'r, 'c> {
    cx: &'a Cx<'c>,
    run: &'a mut Run<'r>,
    want: Want,
    /// Whether the caller may not search every directory.
    checks: bool,
    taken: bool,
    /// Where it ends. Noted, not returned: attributes are large, and each directory would pass them on.
    end: &'a mut RunEnd<Node>,
}

impl Way<'_, '_, '_> {
    /// Takes names from `dir` on, holding at most `held` directories; answers where to go on if those are all.
    fn descend(&mut self, dir: &Arc<Node>, held: usize) -> Result<Option<Arc<Node>>> {
        let Some((name, last)) = self.run.peek() else { return self.end_in(dir) };
        let Ok(directory) = dir.directory() else { return self.end_in(dir) };
        if held == 0 {
            return Ok(Some(dir.clone()));
        }
        if self.checks && !dir.meta.read().mode.contains(SEARCHED_BY_ALL) {
            access::search(self.cx, &dir.attr())?;
        }
        let entries = directory.entries.read();
        let Some(node) = entries.get(&dir.shared.hasher, name.as_bytes()) else { return self.end_in(dir) };
        let kind = node.kind();
        let stays = if last {
            (kind.is_symlink() && self.run.follows()) || (!kind.is_dir() && self.run.must_be_dir())
        } else {
            !kind.is_dir()
        };
        if stays {
            return self.end_in(dir);
        }
        self.run.take();
        self.taken = true;
        if !last {
            return self.descend(node, held - 1);
        }
        *self.end = match self.want {
            Want::Attr => RunEnd::Attr(node.attr()),
            Want::Inode | Want::Parent => RunEnd::At(node.clone()),
        };
        Ok(None)
    }

    /// No other name can be taken: the names taken, if any, lead here.
    fn end_in(&mut self, dir: &Arc<Node>) -> Result<Option<Arc<Node>>> {
        if self.taken {
            *self.end = RunEnd::At(dir.clone());
        }
        Ok(None)
    }
}
