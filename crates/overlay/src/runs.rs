//! Taking many names at once: one after the other, without going back to the walker for each.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode, LinkTarget, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Errno, FileType, Result, access};

use crate::layers::UPPER;
use crate::node::Node;
use crate::overlay::Shared;

impl Shared {
    /// [`Filesystem::resolve_run`](vnode_core::fs::Filesystem::resolve_run).
    pub(crate) fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<Node>> {
        let checks = !cx.credentials().has(Capabilities::DAC_OVERRIDE);
        let mut here: Option<Arc<Node>> = None;
        while let Some((name, last)) = run.peek() {
            let dir = here.as_ref().unwrap_or(dir);
            if checks {
                access::search(cx, &self.attr(cx, dir)?)?;
            }
            let found = {
                let names = dir.directory()?.names.read();
                self.find(cx, dir, &names, name)
            };
            let node = match found {
                Err(Errno::NOENT) if last && want == Want::Slot => break,
                found => found?,
            };
            match node.kind() {
                FileType::Directory => {}
                FileType::Symlink if !last || run.follows() => {
                    if !run.reads_links() {
                        break;
                    }
                    run.leads_to(self.readlink(cx, &node)?);
                    return Ok(RunEnd::Link(here));
                }
                _ if !last || run.must_be_dir() => break,
                _ => {}
            }
            run.take();
            if last && want == Want::Attr {
                run.answer(self.getattr(cx, &node)?);
                return Ok(RunEnd::Answered);
            }
            here = Some(node);
        }
        Ok(here.map_or(RunEnd::Untaken, RunEnd::At))
    }

    /// Where a symbolic link leads. A lower's access times stay.
    pub(crate) fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget> {
        let (layer, inode) = link.shown()?;
        let fs = self.layers.fs(layer);
        if layer == UPPER { fs.readlink(cx, inode) } else { fs.readlink(&cx.keeping_atime(), inode) }
    }
}
