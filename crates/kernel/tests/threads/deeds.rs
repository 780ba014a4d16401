//! What a thread does: one operation after the other, chosen at random, by a process of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::access::May;
use vnode_core::fs::{NewKind, Rename, SetXattr};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Credentials, Errno, Follow, Mode, OpenFlags, Place, Policy, Result, SetTime, Timespec, VPath,
};
use vnode_kernel::{ClockId, FdFlags, Limits, OpenRequest, Poll, Process, Rights, Whence, stream::Interest};

use crate::world::World;

/// Few names, so that threads meet.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Where a path begins: each mount, and the root's own filesystem.
const STARTS: [&str; 7] = ["", "", "d/", "d/", "d/", "ro/", "bound/"];
const DESCRIPTORS: u32 = 12;
const RENAMES: [Rename; 4] = [Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange];

/// How often each operation succeeded and how often it failed, by its error.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<&'static str, BTreeMap<&'static str, u64>>);

impl Tally {
    fn count(&mut self, deed: &'static str, result: &Result<()>) {
        let outcome = result.as_ref().err().map_or("ok", |errno| errno.name());
        *self.0.entry(deed).or_default().entry(outcome).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (deed, outcomes) in &other.0 {
            let sums = self.0.entry(deed).or_default();
            outcomes.iter().for_each(|(outcome, count)| *sums.entry(outcome).or_default() += count);
        }
    }

    /// A run in which some operation never succeeded would not be worth much.
    pub(crate) fn check(&self) {
        assert_eq!(self.0.len(), 41, "operations");
        for (deed, outcomes) in &self.0 {
            assert!(outcomes.contains_key("ok"), "{deed} never succeeded: {outcomes:?}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(deed, outcomes)| writeln!(f, "{deed:>12} {outcomes:?}"))
    }
}

pub(crate) struct Worker<'w> {
    world: &'w World,
    process: Process,
    who: Credentials,
    policy: Policy,
    bases: Vec<Place>,
    random: u64,
    tally: Tally,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(world: &'w World, thread: u64, seed: u64) -> Self {
        let policy = [Policy::Posix, Policy::Beneath, Policy::Strict][thread as usize % 3];
        let who = if thread == 6 { Credentials::user(1000, 1000, &[]) } else { Credentials::root() };
        let bases: Vec<Place> = world.as_user(&Credentials::root(), Policy::Posix, |caller| {
            let place =
                |path: &[u8]| caller.resolve(caller.root, VPath::new(path).unwrap(), Follow::Yes).unwrap();
            [&b"/"[..], b"/d", b"/ro", b"/bound"].map(place).into()
        });
        let mut builder = Process::builder(Arc::clone(&world.namespace))
            .policy(policy)
            .credentials(who.clone())
            .limits(Limits { open_files: DESCRIPTORS });
        for base in &bases {
            builder = builder.preopen("x", base.clone());
        }
        let random = seed.wrapping_add(thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let process = builder.build().unwrap();
        Worker { world, process, who, policy, bases, random, tally: Tally::default() }
    }

    /// Closes all and answers what was done.
    pub(crate) fn finish(self) -> Tally {
        self.tally
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A path of one to three names, sometimes with `..`, from one of the bases: below `/` often into a mount.
    fn path(&mut self, base: u64) -> Vec<u8> {
        let mut path = if base == 0 { self.pick(&STARTS).to_owned() } else { String::new() };
        for _ in 0..self.pick(&[1, 1, 1, 2, 2, 3]) {
            match self.below(20) {
                0 => path += "../",
                1 => path += "./",
                _ => {
                    path += self.pick(&NAMES);
                    path.push('/');
                }
            }
        }
        if self.below(12) > 0 {
            path.pop();
        }
        path.into_bytes()
    }

    /// Two of the bases, mostly the same, each with a path.
    fn ends(&mut self) -> [(u64, Vec<u8>); 2] {
        let one = self.below(4);
        let other = if self.below(3) > 0 { one } else { self.below(4) };
        [one, other].map(|base| (base, self.path(base)))
    }

    /// The descriptor of a base, or now and then any.
    fn base(&mut self, base: u64) -> u32 {
        if self.below(12) > 0 { 3 + base as u32 } else { self.below(u64::from(DESCRIPTORS)) as u32 }
    }

    /// A descriptor that is likely to be a file's.
    fn fd(&mut self) -> u32 {
        7 + self.below(u64::from(DESCRIPTORS) - 7) as u32
    }

    /// Does one thing.
    pub(crate) fn act(&mut self) {
        let (deed, result) = match self.below(1100) {
            0..=2 => ("prune", self.prune()),
            3..=499 => self.by_path(),
            500..=799 => self.by_descriptor(),
            _ => self.by_place(),
        };
        if let Err(errno) = &result {
            let raw = errno.raw();
            // What is meant for vnode itself never comes out, and nothing here goes wrong by itself.
            assert!(raw < u16::MAX && *errno != Errno::IO, "{deed}: {errno:?}");
        }
        self.tally.count(deed, &result);
    }

    /// Goes down to the end of a way and removes what is there: renames make trees deeper than any path here.
    fn prune(&mut self) -> Result<()> {
        let base = self.pick(&[0, 0, 1, 1, 3]);
        let mut here = self.bases[base].clone();
        loop {
            let chosen = self.below(1 << 20);
            let names = self.world.as_user(&self.who, self.policy, |caller| {
                let mut names = Vec::new();
                caller.list(&here)?.list(caller, 2, &mut |entry| {
                    names.push(entry.name.to_vec());
                    ControlFlow::Continue(())
                })?;
                Ok(names)
            })?;
            if names.is_empty() {
                return Ok(());
            }
            let name = &names[chosen as usize % names.len()];
            let next = self.world.as_user(&self.who, self.policy, |caller| {
                let path = VPath::new(name)?;
                match caller.unlink(&here, path).or_else(|_| caller.rmdir(&here, path)) {
                    Err(Errno::NOTEMPTY) => caller.resolve(&here, path, Follow::No).map(Some),
                    result => result.map(|()| None),
                }
            })?;
            match next {
                Some(next) if next.kind().is_dir() => here = next,
                _ => return Ok(()),
            }
        }
    }

    /// A call by path of the process.
    fn by_path(&mut self) -> (&'static str, Result<()>) {
        let [(base, path), (other_base, other)] = self.ends();
        let (fd, other_fd) = (self.base(base), self.base(other_base));
        let follow = self.pick(&[Follow::Yes, Follow::No]);
        let time = Some(SetTime::To(Timespec::from_nanos(self.random)));
        let text = self.pick(&["a", "../b", "b/c", "/d/a", "..", "c/", "/bound/../d"]);
        let text = text.repeat(1 + self.below(3) as usize * 20);
        match self.below(20) {
            0..=3 => ("open", self.open(fd, &path)),
            4 | 5 => ("mkdir", self.process.mkdir_at(fd, &path)),
            6 | 14 | 15 => ("rmdir", self.process.rmdir_at(fd, &path)),
            7 | 16..=19 => ("unlink", self.process.unlink_at(fd, &path)),
            8 => ("link", self.process.link_at(fd, &path, follow, other_fd, &other)),
            9 => ("rename", self.process.rename_at(fd, &path, other_fd, &other)),
            10 => ("symlink", self.process.symlink_at(text.as_bytes(), fd, &path)),
            11 => ("readlink", self.process.readlink_at(fd, &path).map(drop)),
            12 => ("stat", self.process.stat_at(fd, &path, follow).map(drop)),
            _ => ("utimensat", self.process.set_times_at(fd, &path, follow, time, None)),
        }
    }

    fn open(&mut self, fd: u32, path: &[u8]) -> Result<()> {
        let mut flags = OpenFlags::from_bits_truncate(self.below(32) as u32);
        if self.below(3) > 0 {
            flags -= OpenFlags::DIRECTORY;
        }
        let rights = self.pick(&[
            Rights::FD_READ,
            Rights::FD_WRITE,
            Rights::FD_READ | Rights::FD_WRITE,
            Rights::FD_READDIR,
            Rights::empty(),
        ]);
        let status = self.pick(&[FdFlags::empty(), FdFlags::empty(), FdFlags::APPEND, FdFlags::SYNC]);
        let request = OpenRequest { flags, rights, status, close_on_exec: false };
        self.process.open(fd, path, &request).map(drop)
    }

    /// A call by descriptor of the process.
    fn by_descriptor(&mut self) -> (&'static str, Result<()>) {
        let (fd, other) = (self.fd(), self.fd());
        let (offset, len) = (self.below(200_000), 1 + self.below(20_000));
        let mut buffer = vec![7; len as usize];
        let process = &self.process;
        let time = Some(SetTime::Now);
        match self.random % 17 {
            0 => ("write", process.write(fd, &mut Source::from_slice(&buffer)).map(drop)),
            1 => ("pwrite", process.pwrite(fd, offset, &mut Source::from_slice(&buffer)).map(drop)),
            2 => (
                "read",
                process
                    .read(fd, &mut Sink::from_slice(&mut buffer))
                    .map(|count| only_sevens(&buffer[..count])),
            ),
            3 => (
                "pread",
                process
                    .pread(fd, offset, &mut Sink::from_slice(&mut buffer))
                    .map(|count| only_sevens(&buffer[..count])),
            ),
            4 => ("seek", process.seek(fd, offset as i64 - 1000, Whence::End).map(drop)),
            5 => ("tell", process.tell(fd).map(drop)),
            6 => ("fallocate", process.allocate(fd, offset, len)),
            7 => ("ftruncate", process.set_size(fd, offset)),
            8 => ("futimens", process.set_times(fd, time, time)),
            9 => ("fstat", process.stat(fd).map(drop)),
            10 => ("fsync", process.sync(fd)),
            11 => ("readdir", self.list(fd)),
            12 => ("renumber", process.renumber(fd, other)),
            13 => ("fcntl", process.set_flags(fd, FdFlags::empty())),
            14 => ("advise", process.advise(fd, len)),
            15 => ("poll", self.poll(fd)),
            _ => ("close", process.close(fd)),
        }
    }

    /// Each name at most once, `.` and `..` first.
    fn list(&self, fd: u32) -> Result<()> {
        let mut names = Vec::new();
        self.process.readdir(fd, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        })?;
        assert_eq!(names[..2], [b".".to_vec(), b"..".to_vec()]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a name is listed twice");
        Ok(())
    }

    fn poll(&self, fd: u32) -> Result<()> {
        let clock = Poll::Clock { clock: ClockId::Monotonic, timeout: 0, absolute: false };
        let events = self.process.poll(&[Poll::Fd { fd, interest: Interest::Read }, clock])?;
        events[0].ready.map(drop)
    }

    /// What preview 1 has no call for: the core's operations.
    fn by_place(&mut self) -> (&'static str, Result<()>) {
        let choice = self.below(17);
        let [(base, path), (other_base, other)] = self.ends();
        let follow = self.pick(&[Follow::Yes, Follow::No]);
        let how = self.pick(&RENAMES);
        // Wide enough for the one who is not root.
        let mode = Mode::from_raw(self.pick(&[0o777, 0o755, 0o1777, 0o2775]));
        let (name, value) = (self.pick(&[&b"user.a"[..], b"user.b"]), vec![1; self.below(3000) as usize]);
        let len = self.below(100_000);
        let kind = self.pick(&[NewKind::Fifo, NewKind::Socket, NewKind::CharDevice(5)]);
        let (base, other_base) = (&self.bases[base as usize], &self.bases[other_base as usize]);
        let (Ok(path), Ok(other)) = (VPath::new(&path), VPath::new(&other)) else {
            return ("nothing", Ok(()));
        };
        self.world.as_user(&self.who, self.policy, |caller| match choice {
            0..=4 => ("renameat2", caller.rename(base, path, other_base, other, how)),
            5 => ("chmod", caller.chmod(base, path, follow, mode)),
            6 => ("chown", caller.chown(base, path, follow, Some(1000), None)),
            7 => ("truncate", caller.truncate(base, path, len)),
            8 => ("access", caller.access(base, path, follow, May::WRITE)),
            9 => ("statfs", caller.statfs(base, path).map(drop)),
            10 => ("mknod", caller.mknod(base, path, kind, Mode::from_raw(0o644))),
            11 => ("getcwd", caller.chdir(base, path).and_then(|place| caller.getcwd(&place)).map(drop)),
            12 => ("setxattr", caller.set_xattr(base, path, follow, name, &value, SetXattr::Any)),
            13 => ("getxattr", caller.get_xattr(base, path, follow, name).map(drop)),
            14 => ("listxattr", caller.list_xattr(base, path, follow, &mut |_| {}).map(drop)),
            15 => ("removexattr", caller.remove_xattr(base, path, follow, name)),
            _ => ("chdir", caller.chdir(base, path).map(drop)),
        })
    }
}

/// All that is ever written is sevens; what is between is zero.
fn only_sevens(bytes: &[u8]) {
    assert!(bytes.iter().all(|&byte| byte == 0 || byte == 7), "content that nobody wrote");
}
