//! Changing attributes (`shmem_setattr` in Linux).

use vnode_core::{Cx, Result, SetAttr, SetTime};

use crate::content::Content;
use crate::node::Node;
use crate::rank::{CONTENT, WriteGuard};

impl Node {
    /// Changes attributes, all or none.
    pub(crate) fn set_attr(&self, cx: &Cx<'_>, set: &SetAttr) -> Result<()> {
        let now = cx.now();
        let SetAttr { mode, uid, gid, atime, mtime, size } = *set;
        let time = |time| if let SetTime::To(time) = time { time } else { now };
        let resized = size.map(|size| self.resize(size)).transpose()?;
        let mut meta = self.meta.write();
        meta.mode = mode.unwrap_or(meta.mode);
        meta.uid = uid.unwrap_or(meta.uid);
        meta.gid = gid.unwrap_or(meta.gid);
        let only_size = SetAttr { size, ..SetAttr::default() } == *set;
        if let Some((content, changed)) = &resized {
            meta.size = content.size();
            meta.pages = content.pages();
            if *changed {
                meta.mtime = now;
            }
        }
        if !only_size || resized.is_none_or(|(_, changed)| changed) {
            meta.ctime = now;
        }
        meta.atime = atime.map_or(meta.atime, time);
        meta.mtime = mtime.map_or(meta.mtime, time);
        Ok(())
    }

    /// Sets the size of the content, which stays locked; tells whether that counts as a change. Given the size
    /// that it has, a file with content is changed and one without isn't.
    fn resize(&self, size: u64) -> Result<(WriteGuard<'_, Content, CONTENT>, bool)> {
        let mut content = self.content()?.write();
        let changed = size != content.size() || content.pages() > 0;
        content.set_size(&self.shared.quota, size)?;
        Ok((content, changed))
    }
}
