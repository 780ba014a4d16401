//! A directory's links, from its hidden file.

use std::sync::Arc;

use vnode_core::{Cx, Errno, Name, Result};

use super::hidden::{Hidden, Log, is_reserved};
use super::link::Link;
use super::own::Own;
use super::record::{Content, Stored};
use super::table::Directory;
use super::{Node, Shared};

impl Shared {
    /// Reads what links a directory has.
    ///
    /// # Errors
    /// `EIO`: its hidden file is damaged. `ENOMEM`: there is no room for its links. Those of reading.
    pub(super) fn load(&self, cx: &Cx<'_>, hidden: &Hidden, dir: &Node) -> Result<Arc<Directory>> {
        let own = Own::during(cx);
        let cx = &own.cx();
        let _loading = hidden.loading.lock();
        if let Some(known) = self.table.lock().get(dir.id()) {
            return Ok(known);
        }
        let (log, content) = Log::read(cx, &self.fs, dir)?;
        let exists = log.exists();
        let directory = Directory::new(dir, log);
        if self.fill(&directory, &content).is_err() {
            // Others may be in the way of which nobody needs anything.
            self.sweep();
            self.fill(&directory, &content).map_err(|_| Errno::NOMEM)?;
        }
        // A directory that was removed is nothing to hold on to.
        if !exists && self.is_removed(cx, dir)? { Ok(directory) } else { Ok(self.add(directory)) }
    }

    /// A directory that is to be changed, read again if somebody else changed its file: another process that serves the
    /// same directory. The names are held alone.
    ///
    /// # Errors
    /// Those of looking at the file and reading it.
    pub(super) fn current(&self, cx: &Cx<'_>, dir: &Node) -> Result<Arc<Directory>> {
        let known = self.directory(cx, dir)?;
        if self.hidden.is_none() {
            return Ok(known);
        }
        let own = Own::during(cx);
        let cx = &own.cx();
        if known.log.lock().is_current(cx, &self.fs, dir)? {
            return Ok(known);
        }
        drop(self.table.lock().forget(dir.id()));
        known.clear();
        let again = self.directory(cx, dir)?;
        again.log.lock().first = core::mem::take(&mut known.log.lock().first);
        *again.index.lock() = core::mem::take(&mut *known.index.lock());
        Ok(again)
    }

    /// Gives a directory the links that its file has.
    fn fill(&self, directory: &Arc<Directory>, content: &Content) -> Result<()> {
        // No emulation wrote the reserved ones.
        let mut names: Vec<_> = content.names.iter().filter(|(name, _)| !is_reserved(name)).collect();
        names.sort_by_key(|(_, (place, _))| *place);
        for (name, (_, number)) in names {
            let Some(stored) = content.links.get(number) else { continue };
            let link = self.stored_link(*number, stored)?;
            directory.put(Name::new(name)?, &link);
            let known = link.names();
            // Another directory's file may not know of this name.
            link.with_attr(|attr| attr.nlink = attr.nlink.max(known));
        }
        Ok(())
    }

    /// The link of a number: the one that somebody has, or that is stored.
    fn stored_link(&self, number: u64, stored: &Stored) -> Result<Arc<Link>> {
        let mut table = self.table.lock();
        if let Some(link) = table.link(number) {
            // Another directory's file may not know what became of it last.
            if link.attr().ctime < stored.state.attr.ctime {
                link.set(stored.state.clone());
            }
            return Ok(link);
        }
        let link = Link::new(Arc::clone(&stored.target), stored.state.clone(), &self.room)?;
        table.know(&link);
        Ok(link)
    }

    /// Knows a link by its number, so that every directory that has a name of it has the same.
    pub(super) fn know(&self, link: &Arc<Link>) {
        if self.hidden.is_some() {
            self.table.lock().know(link);
        }
    }
}
