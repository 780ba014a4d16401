//! Where the process stands.

use std::sync::Arc;

use vnode_core::{Place, Result, VPath};

use crate::fd_table::Fd;
use crate::process::{FsContext, Process};
use crate::rights::Rights;

impl Process {
    /// Goes to a directory; relative paths start where it stood (`chdir(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`: no directory. `EACCES`: it may not be searched. Those of a walk.
    pub fn chdir(&self, path: &[u8]) -> Result<()> {
        let path = VPath::new(path)?;
        let cwd = self.call(|caller| caller.chdir(&self.context.load().cwd, path))?;
        self.go_to(&cwd);
        Ok(())
    }

    /// Goes to an open directory (`fchdir(2)`).
    ///
    /// # Errors
    /// `EBADF`; as [`Process::chdir`].
    pub fn fchdir(&self, fd: Fd) -> Result<()> {
        let file = self.fds.get(fd, Rights::empty())?;
        let place = file.base()?;
        self.call(|caller| caller.chdir_place(place))?;
        self.go_to(place);
        Ok(())
    }

    /// The absolute path of the working directory (`getcwd(2)`).
    ///
    /// # Errors
    /// `ENOENT`: it was removed, or is not below the root. `ENAMETOOLONG`: the path is over 4095 bytes.
    pub fn getcwd(&self) -> Result<Vec<u8>> {
        self.call(|caller| caller.getcwd(&self.context.load().cwd))
    }

    fn go_to(&self, cwd: &Place) {
        self.context.rcu(|context| {
            let FsContext { root, umask, .. } = FsContext::clone(context);
            Arc::new(FsContext { root, cwd: cwd.counted_apart().into(), umask })
        });
    }
}
