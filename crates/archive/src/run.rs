//! Taking many names at once.

use std::sync::Arc;

use vnode_core::fs::{Access, LinkTarget, Run, RunEnd, Want};
use vnode_core::{Capabilities, Cx, Errno, Mode, Result, access};

use crate::node::{Body, Node};
use crate::tree::Tree;

/// A directory with these bits may be searched whoever asks.
const SEARCHED_BY_ALL: Mode = Mode::from_raw(0o111);

/// Takes the names of a run, and opens the last with `open`. No node is counted but the last.
pub(crate) fn resolve(
    tree: &Tree,
    cx: &Cx<'_>,
    dir: &Arc<Node>,
    run: &mut Run<'_>,
    want: Want,
    open: Option<Access>,
) -> Result<RunEnd<Node>> {
    let checks = !cx.credentials().has(Capabilities::DAC_OVERRIDE);
    let (mut at, mut taken) = (dir, false);
    let end_in = |at: &Arc<Node>, taken| if taken { RunEnd::At(at.clone()) } else { RunEnd::Untaken };
    while let Some((name, last)) = run.peek() {
        if at.directory().is_err() {
            break;
        }
        if checks && !at.meta.mode.contains(SEARCHED_BY_ALL) {
            access::search(cx, &at.attr())?;
        }
        let node = match tree.find(at.number(), name.as_bytes()) {
            Ok(node) => node,
            Err(Errno::NOENT) if last && want == Want::Slot => break,
            Err(error) => return Err(error),
        };
        let follows = !last || run.follows();
        match &node.body {
            Body::Symlink(target) if follows && run.reads_links() => {
                run.leads_to(LinkTarget::Text(target.clone()));
                return Ok(RunEnd::Link(taken.then(|| at.clone())));
            }
            Body::Symlink(_) if follows => break,
            Body::Directory(_) => {}
            _ if !last || run.must_be_dir() => break,
            _ => {}
        }
        run.take();
        (at, taken) = (node, true);
        if last {
            if want == Want::Attr {
                run.answer(node.attr());
                return Ok(RunEnd::Answered);
            }
            // What is packed is unpacked only for who may read it.
            if open == Some(Access::READ) && matches!(node.body, Body::File(_)) {
                run.opened(node.clone(), node.attr());
            }
            break;
        }
    }
    Ok(end_in(at, taken))
}
