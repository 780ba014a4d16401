//! Runs of names: the filesystem within takes them. What it finds is no link, for a name is a link's or its own; where it
//! finds nothing, there may be one.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode, Run, RunEnd};
use vnode_core::{Cx, Errno, FilesystemRef, Result, access};

use super::{Node, Shared, hidden};

impl Shared {
    /// Has the filesystem within take a run by `take`, or goes itself as far as it can without following a link.
    pub(super) fn run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        take: impl FnOnce(&FilesystemRef, &mut Run<'_>) -> Result<RunEnd<dyn Inode>>,
    ) -> Result<RunEnd<dyn Inode>> {
        let _names = self.names.read();
        if self.hidden.is_none() && self.table.lock().is_empty() {
            return take(&self.fs, run);
        }
        let start = run.mark();
        let reserved = |name: &[u8]| hidden::is_reserved(name);
        if self.hidden.is_none()
            || !run.ahead().is_some_and(|(text, _)| text.split(|byte| *byte == b'/').any(reserved))
        {
            match take(&self.fs, run) {
                Err(Errno::NOENT) => run.rewind(start),
                taken => return taken,
            }
        }
        self.step(cx, dir, run)
    }

    /// Takes names of directories for as long as there are any; all else is the walker's to look up.
    fn step(&self, cx: &Cx<'_>, dir: &Node, run: &mut Run<'_>) -> Result<RunEnd<dyn Inode>> {
        let mut at: Option<Node> = None;
        while let Some((name, false)) = run.peek() {
            let here = at.as_ref().unwrap_or(dir);
            if self.reserves(name) {
                break;
            }
            // Whether the first directory may be searched, the walker checks itself before it goes on alone.
            access::search(cx, &self.fs.getattr(cx, here)?)?;
            match self.fs.lookup(cx, vnode_core::fs::At { dir: here, name }) {
                Ok(node) if node.kind().is_dir() => at = Some(node),
                Ok(_) | Err(_) => break,
            }
            run.take();
        }
        Ok(at.map_or(RunEnd::Untaken, |node| RunEnd::At(Arc::clone(&node))))
    }
}
