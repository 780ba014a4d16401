//! Taking many names at once.

use std::sync::Arc;

use vnode_core::fs::{Inode, Run, RunEnd, Want};
use vnode_core::{Attr, Capabilities, Cx, Result, access};

use crate::node::Node;

/// How many directories are held locked at once on the way down.
const HELD: usize = 12;

/// How a stretch of a run ended.
enum Stop {
    /// The names taken lead here, and no other can be taken.
    At(Arc<Node>),
    /// The last name is taken, and its attributes are noted.
    Noted,
    /// As many directories are locked as may be: it goes on from here.
    Resume(Arc<Node>),
    /// No name was taken.
    Untaken,
}

/// Takes the names of a run.
///
/// Directories are held locked, not counted: the reference to the next one is borrowed from the one above.
pub(crate) fn resolve(cx: &Cx<'_>, dir: &Arc<Node>, run: &mut Run<'_>, want: Want) -> Result<RunEnd<Node>> {
    let checks = !cx.credentials().has(Capabilities::DAC_OVERRIDE);
    let mut way = Way { cx, run, want, checks, taken: false, attr: None };
    let mut stop = way.descend(dir, HELD)?;
    while let Stop::Resume(dir) = stop {
        stop = way.descend(&dir, HELD)?;
    }
    Ok(match (stop, way.attr) {
        (_, Some(attr)) => RunEnd::Attr(attr),
        (Stop::At(node) | Stop::Resume(node), None) => RunEnd::At(node),
        (Stop::Noted | Stop::Untaken, None) => RunEnd::Untaken,
    })
}

struct Way<'a, 'r, 'c> {
    cx: &'a Cx<'c>,
    run: &'a mut Run<'r>,
    want: Want,
    /// Whether the caller may not search every directory.
    checks: bool,
    taken: bool,
    attr: Option<Attr>,
}

impl Way<'_, '_, '_> {
    /// Takes names from `dir` on, holding at most `held` directories.
    fn descend(&mut self, dir: &Arc<Node>, held: usize) -> Result<Stop> {
        let Some((name, last)) = self.run.peek() else { return Ok(self.stop_in(dir)) };
        let Ok(directory) = dir.directory() else { return Ok(self.stop_in(dir)) };
        if held == 0 {
            return Ok(Stop::Resume(dir.clone()));
        }
        if self.checks {
            access::search(self.cx, &dir.attr())?;
        }
        let entries = directory.entries.read();
        let Some(node) = entries.get(&dir.shared.hasher, name.as_bytes()) else {
            return Ok(self.stop_in(dir));
        };
        let kind = node.kind();
        let stays = if last {
            (kind.is_symlink() && self.run.follows()) || (!kind.is_dir() && self.run.must_be_dir())
        } else {
            !kind.is_dir()
        };
        if stays {
            return Ok(self.stop_in(dir));
        }
        self.run.take();
        self.taken = true;
        if !last {
            return self.descend(node, held - 1);
        }
        if self.want == Want::Attr {
            self.attr = Some(node.attr());
            return Ok(Stop::Noted);
        }
        Ok(Stop::At(node.clone()))
    }

    fn stop_in(&self, dir: &Arc<Node>) -> Stop {
        if self.taken { Stop::At(dir.clone()) } else { Stop::Untaken }
    }
}
