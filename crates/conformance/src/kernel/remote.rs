//! The kernel as subject of another thread: for a subject that must not share the oracle's root, descriptors and
//! credentials.

#![allow(unsafe_code, reason = "work that borrows is handed to another thread, which is waited for")]

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use vnode_core::{Attr, Result, SetTime, StatFs};

use super::{Kernel, Within};
use crate::differ::paths::{Resolver, Scope};
use crate::overlay::Stack;
use crate::subject::{
    Access, Allocate, At, Entry, Follow, Handle, Mount, Needs, Node, OpenFlags, RenameHow, Subject, Target,
    User, Whence, XattrHow,
};

type Work<'a> = dyn FnOnce(&mut Kernel) + Send + 'a;

/// A [`Kernel`] on a thread of its own.
pub struct Remote {
    work: Sender<Box<Work<'static>>>,
}

/// The kernel's thread: works until nobody can ask any more.
fn serve(kernel: &mut Kernel, work: Receiver<Box<Work<'static>>>) {
    for job in work {
        job(kernel);
    }
}

impl Kernel {
    /// Runs `work` on this thread with the kernel of another as subject.
    ///
    /// # Errors
    /// As [`Kernel::on_thread`].
    ///
    /// # Panics
    /// When `work` does.
    pub fn beside<T>(work: impl FnOnce(&mut Remote) -> T) -> std::result::Result<T, String> {
        Kernel::beside_on(Within::Tmpfs, work)
    }

    /// The same, on the filesystem that the directory `within` is in.
    ///
    /// # Errors
    /// As [`Kernel::on_thread`].
    ///
    /// # Panics
    /// When `work` does.
    pub fn beside_within<T>(
        within: &Path,
        work: impl FnOnce(&mut Remote) -> T,
    ) -> std::result::Result<T, String> {
        Kernel::beside_on(Within::Directory(within), work)
    }

    /// The same, with what overlays of the kernel's show once the tree is sunk ([`Subject::sink`]).
    ///
    /// # Errors
    /// As [`Kernel::on_thread`].
    ///
    /// # Panics
    /// When `work` does.
    pub fn of_overlays_beside<T>(
        stack: Stack,
        work: impl FnOnce(&mut Remote) -> T,
    ) -> std::result::Result<T, String> {
        Kernel::beside_on(Within::Overlays(stack), work)
    }

    fn beside_on<T>(
        within: Within<'_>,
        work: impl FnOnce(&mut Remote) -> T,
    ) -> std::result::Result<T, String> {
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let thread =
                scope.spawn(move || Kernel::on_thread_within(within, move |kernel| serve(kernel, receiver)));
            let mut remote = Remote { work: sender };
            // No private root could be had: the thread ended, and will say why.
            let lives = remote.lives();
            let result = lives.then(|| work(&mut remote));
            drop(remote);
            match (thread.join(), result) {
                (Ok(Ok(())), Some(result)) => Ok(result),
                (Ok(Err(why)), _) => Err(why),
                (Ok(Ok(())), None) => Err("the oracle's thread ended".to_owned()),
                (Err(panic), _) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Remote {
    fn lives(&mut self) -> bool {
        self.try_ask(|_| ()).is_some()
    }

    /// Whether the kernel gave a root, mounts and users of its own; if so, no case may be skipped.
    pub fn is_privileged(&self) -> bool {
        self.ask(|kernel| kernel.is_privileged())
    }

    fn ask<T: Send>(&self, question: impl FnOnce(&mut Kernel) -> T + Send) -> T {
        self.try_ask(question).unwrap_or_else(|| unreachable!("the oracle's thread ended"))
    }

    fn try_ask<T: Send>(&self, question: impl FnOnce(&mut Kernel) -> T + Send) -> Option<T> {
        let (answer, answered) = channel();
        let job = move |kernel: &mut Kernel| {
            // Nobody but the caller below reads it, and it waits.
            let _ = answer.send(question(kernel));
        };
        let job: Box<Work<'_>> = Box::new(job);
        // SAFETY: only the lifetime changes. What the job borrows outlives this call, and the job doesn't outlive it:
        // `recv` returns when the answer was sent, which is the last thing that the job does and for which it was
        // moved out of its box, or when the sender was dropped, which it is with the job only.
        let job: Box<Work<'static>> = unsafe { std::mem::transmute(job) };
        self.work.send(job).ok()?;
        answered.recv().ok()
    }
}

macro_rules! asked {
    ($(fn $name:ident(&mut self $(, $arg:ident: $type:ty)*) $(-> $result:ty)?;)*) => {
        $(
            fn $name(&mut self $(, $arg: $type)*) $(-> $result)? {
                self.ask(|kernel| kernel.$name($($arg),*))
            }
        )*
    };
}

impl Subject for Remote {
    fn name(&self) -> String {
        self.ask(|kernel| kernel.name())
    }

    fn provides(&self) -> Needs {
        self.ask(|kernel| kernel.provides())
    }

    fn miscounts_links(&self) -> bool {
        self.ask(|kernel| kernel.miscounts_links())
    }

    asked! {
        fn reset(&mut self) -> Result<()>;
        fn step(&mut self);
        fn tick(&mut self);
        fn freeze(&mut self) -> Result<()>;
        fn sink(&mut self) -> Result<()>;
        fn open_top(&mut self) -> Result<Handle>;
        fn openat(&mut self, at: At<'_>, flags: OpenFlags, mode: u32) -> Result<Handle>;
        fn close(&mut self, handle: Handle) -> Result<()>;
        fn read(&mut self, handle: Handle, count: usize) -> Result<Vec<u8>>;
        fn pread(&mut self, handle: Handle, count: usize, offset: i64) -> Result<Vec<u8>>;
        fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<usize>;
        fn pwrite(&mut self, handle: Handle, bytes: &[u8], offset: i64) -> Result<usize>;
        fn lseek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<i64>;
        fn fsync(&mut self, handle: Handle) -> Result<()>;
        fn ftruncate(&mut self, handle: Handle, len: i64) -> Result<()>;
        fn truncate(&mut self, path: &[u8], len: i64) -> Result<()>;
        fn fallocate(&mut self, handle: Handle, how: Allocate, offset: i64, len: i64) -> Result<()>;
        fn mkdirat(&mut self, at: At<'_>, mode: u32) -> Result<()>;
        fn mknodat(&mut self, at: At<'_>, node: Node, mode: u32) -> Result<()>;
        fn symlinkat(&mut self, target: &[u8], at: At<'_>) -> Result<()>;
        fn linkat(&mut self, old: At<'_>, new: At<'_>, follow: Follow) -> Result<()>;
        fn unlinkat(&mut self, at: At<'_>) -> Result<()>;
        fn rmdirat(&mut self, at: At<'_>) -> Result<()>;
        fn renameat2(&mut self, from: At<'_>, to: At<'_>, how: RenameHow) -> Result<()>;
        fn readlinkat(&mut self, at: At<'_>, size: usize) -> Result<Vec<u8>>;
        fn fstatat(&mut self, at: At<'_>, follow: Follow) -> Result<Attr>;
        fn fstat(&mut self, handle: Handle) -> Result<Attr>;
        fn utimensat(&mut self, on: Target<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()>;
        fn fchmodat(&mut self, at: At<'_>, mode: u32) -> Result<()>;
        fn fchmod(&mut self, handle: Handle, mode: u32) -> Result<()>;
        fn fchownat(&mut self, on: Target<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()>;
        fn faccessat(&mut self, at: At<'_>, access: Access, follow: Follow) -> Result<()>;
        fn statfs(&mut self, path: &[u8]) -> Result<StatFs>;
        fn chdir(&mut self, path: &[u8]) -> Result<()>;
        fn fchdir(&mut self, handle: Handle) -> Result<()>;
        fn getcwd(&mut self) -> Result<Vec<u8>>;
        fn readdir(&mut self, handle: Handle, cookie: u64, max: usize) -> Result<Vec<Entry>>;
        fn setxattr(&mut self, on: Target<'_>, name: &[u8], value: &[u8], how: XattrHow) -> Result<()>;
        fn getxattr(&mut self, on: Target<'_>, name: &[u8], size: usize) -> Result<Vec<u8>>;
        fn listxattr(&mut self, on: Target<'_>) -> Result<Vec<Vec<u8>>>;
        fn removexattr(&mut self, on: Target<'_>, name: &[u8]) -> Result<()>;
        fn umask(&mut self, mask: u32) -> u32;
        fn become_user(&mut self, user: &User) -> Result<()>;
        fn mount(&mut self, what: Mount<'_>, path: &[u8], read_only: bool) -> Result<()>;
        fn umount(&mut self, path: &[u8]) -> Result<()>;
    }
}

impl Resolver for Remote {
    asked! {
        fn look_up(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr>;
    }
}
