//! `/dev`, beside the kernel's own: every call is made on both and must come to the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::ControlFlow;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, SeekFrom};
use vnode_adapt::ReadOnly;
use vnode_core::fs::NewKind;
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Clock, Credentials, Cx, Errno, FileType, FilesystemRef, Follow, MountFlags, Namespace,
    OpenFlags, Policy, Timespec, VPath,
};
use vnode_kernel::devices::Devices;
use vnode_kernel::stream::{Bytes, Capture, Interest, Stream};
use vnode_kernel::{FdFlags, OpenRequest, Poll, Process, ProcessBuilder, Random, Rights, Whence};
use vnode_memory::Memory;

const ROOT: u32 = 3;
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
const BIG: u64 = i64::MAX as u64;

fn process(change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Process {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())));
    namespace.mount_at(b"/dev", &FilesystemRef::new(Devices::new()), MountFlags::empty()).unwrap();
    let root = namespace.root().clone();
    change(Process::builder(namespace).policy(Policy::Posix).preopen("/", root)).build().unwrap()
}

/// What a call came to, so that the kernel's can be compared.
type Outcome = Result<u64, Errno>;

fn host<T: TryInto<u64>>(result: rustix::io::Result<T>) -> Outcome {
    result
        .map(|value| value.try_into().unwrap_or(u64::MAX))
        .map_err(|error| Errno::from_host(error.raw_os_error()))
}

fn done(result: rustix::io::Result<()>) -> Outcome {
    host(result.map(|()| 0u64))
}

#[derive(Clone, Copy)]
struct How {
    name: &'static str,
    host: OFlags,
    flags: OpenFlags,
    rights: Rights,
    status: FdFlags,
}

const READ: Rights = Rights::FD_READ;
const WRITE: Rights = Rights::FD_WRITE;
const BOTH: Rights = READ.union(WRITE);

fn hows() -> Vec<How> {
    let none = OpenFlags::empty();
    let how = |name, host, flags, rights, status| How { name, host, flags, rights, status };
    let plain = FdFlags::empty();
    vec![
        how("ro", OFlags::RDONLY, none, READ, plain),
        how("wo", OFlags::WRONLY, none, WRITE, plain),
        how("rw", OFlags::RDWR, none, BOTH, plain),
        how("append", OFlags::RDWR | OFlags::APPEND, none, BOTH, FdFlags::APPEND),
        how("sync", OFlags::RDWR | OFlags::SYNC, none, BOTH, FdFlags::SYNC),
        how("nonblock", OFlags::RDWR | OFlags::NONBLOCK, none, BOTH, FdFlags::NONBLOCK),
        how("truncate", OFlags::RDWR | OFlags::TRUNC, OpenFlags::TRUNCATE, BOTH, plain),
        how("truncate ro", OFlags::RDONLY | OFlags::TRUNC, OpenFlags::TRUNCATE, READ, plain),
        how("directory", OFlags::RDONLY | OFlags::DIRECTORY, OpenFlags::DIRECTORY, READ, plain),
        how("nofollow", OFlags::RDWR | OFlags::NOFOLLOW, OpenFlags::NOFOLLOW, BOTH, plain),
        how("create", OFlags::RDWR | OFlags::CREATE, OpenFlags::CREATE, BOTH, plain),
        how(
            "exclusive",
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            BOTH,
            plain,
        ),
    ]
}

fn open(process: &Process, path: &str, how: &How) -> Result<u32, Errno> {
    let How { flags, rights, status, .. } = *how;
    process.open(ROOT, path.as_bytes(), &OpenRequest { flags, rights, status, close_on_exec: false })
}

fn whences() -> Vec<(i64, Whence)> {
    let whences = [Whence::Set, Whence::Current, Whence::End, Whence::Data, Whence::Hole];
    let offsets = [0, 1, 5, -1, i64::MAX];
    whences.iter().flat_map(|&whence| offsets.map(|offset| (offset, whence))).collect()
}

fn seek_from(offset: i64, whence: Whence) -> Option<SeekFrom> {
    Some(match whence {
        Whence::Set => SeekFrom::Start(offset.try_into().ok()?),
        Whence::Current => SeekFrom::Current(offset),
        Whence::End => SeekFrom::End(offset),
        Whence::Data => SeekFrom::Data(offset.try_into().ok()?),
        Whence::Hole => SeekFrom::Hole(offset.try_into().ok()?),
    })
}

/// Every call on one open device, here and there. The buffers are not compared for the random devices.
fn compare(device: &str, how: &How) {
    let what = format!("{device} opened {}", how.name);
    let process = process(|builder| builder);
    let native = rustix::fs::open(format!("/dev/{device}"), how.host, Mode::empty());
    let fd = match (open(&process, &format!("dev/{device}"), how), native) {
        (Err(ours), native) => return assert_eq!(Err(ours), host(native.map(|_| 0u64)), "{what}"),
        (Ok(fd), native) => (fd, native.unwrap_or_else(|errno| panic!("{what}: the kernel says {errno}"))),
    };
    let (fd, native) = fd;
    let random = device.ends_with("random");
    for len in [0, 1, 10, 200_000] {
        let (mut ours, mut theirs) = (vec![7; len], vec![7; len]);
        let count = process.read(fd, &mut Sink::from_slice(&mut ours)).map(|count| count as u64);
        assert_eq!(count, host(rustix::io::read(&native, &mut theirs)), "{what}: read {len}");
        assert!(random || ours == theirs, "{what}: read {len}");
        if random && count == Ok(200_000) {
            assert!(ours.chunks(64).all(|chunk| chunk.iter().any(|&byte| byte != 7)), "{what}: bytes left");
        }
        for offset in [0, 5, BIG - 10, BIG] {
            let count = process.pread(fd, offset, &mut Sink::from_slice(&mut ours)).map(|count| count as u64);
            let native = host(rustix::io::pread(&native, &mut theirs, offset));
            assert_eq!(count, native, "{what}: pread {len} at {offset}");
        }
        let content = vec![1; len];
        // The kernel's `writev` of no bytes reaches no device, its `write` does (`vfs_writev`).
        let slices = [std::io::IoSlice::new(&content)];
        let count = process.write(fd, &mut Source::from_slice(&content)).map(|count| count as u64);
        assert_eq!(count, host(rustix::io::writev(&native, &slices)), "{what}: write {len}");
        for offset in [0, 5, BIG - 10, BIG] {
            let count =
                process.pwrite(fd, offset, &mut Source::from_slice(&content)).map(|count| count as u64);
            let native = host(rustix::io::pwritev(&native, &slices, offset));
            assert_eq!(count, native, "{what}: pwrite {len} at {offset}");
        }
        assert_eq!(process.tell(fd), host(rustix::fs::tell(&native)), "{what}: tell");
    }
    for (offset, whence) in whences() {
        let Some(from) = seek_from(offset, whence) else { continue };
        let native = host(rustix::fs::seek(&native, from));
        assert_eq!(process.seek(fd, offset, whence), native, "{what}: seek {offset} {whence:?}");
    }
    let unit = |result: Result<(), Errno>| result.map(|()| 0);
    for size in [0, 5] {
        assert_eq!(unit(process.set_size(fd, size)), done(rustix::fs::ftruncate(&native, size)), "{what}");
    }
    assert_eq!(unit(process.sync(fd)), done(rustix::fs::fsync(&native)), "{what}: fsync");
    assert_eq!(unit(process.datasync(fd)), done(rustix::fs::fdatasync(&native)), "{what}: fdatasync");
    let native_advice = rustix::fs::fadvise(&native, 0, None, Advice::Normal);
    assert_eq!(unit(process.advise(fd, 0)), done(native_advice), "{what}: fadvise");
    for (offset, len) in [(0, 10), (5, 0), (BIG, 1), (BIG, BIG)] {
        let native = rustix::fs::fallocate(&native, FallocateFlags::empty(), offset, len);
        assert_eq!(unit(process.allocate(fd, offset, len)), done(native), "{what}: fallocate {offset} {len}");
    }
    let listed = process.readdir(fd, 0, &mut |_| ControlFlow::Continue(()));
    assert_eq!(listed, Err(Errno::NOTDIR), "{what}");
    let below = process.stat_at(fd, b"x", Follow::Yes).map(drop);
    assert_eq!(unit(below), done(rustix::fs::openat(&native, "x", OFlags::RDONLY, Mode::empty()).map(drop)));
    let stat = rustix::fs::fstat(&native).unwrap();
    let attr = process.stat(fd).unwrap();
    same_attributes(&what, &attr, &stat);
    assert_eq!(process.stat_at(ROOT, format!("dev/{device}").as_bytes(), Follow::Yes), Ok(attr), "{what}");
}

fn same_attributes(what: &str, attr: &Attr, stat: &rustix::fs::Stat) {
    let ours = (attr.st_mode(), attr.nlink, attr.size, u64::from(attr.rdev), attr.blksize, attr.blocks);
    let theirs =
        (stat.st_mode, stat.st_nlink as u32, stat.st_size as u64, stat.st_rdev, stat.st_blksize as u32, 0);
    assert_eq!(ours, theirs, "{what}: fstat");
    assert_eq!((attr.uid, attr.gid), (stat.st_uid, stat.st_gid), "{what}: owner");
}

#[test]
fn devices_do_what_the_kernels_do() {
    for device in DEVICES {
        hows().iter().for_each(|how| compare(device, how));
    }
}

#[test]
fn devices_are_always_ready() {
    let process = process(|builder| builder);
    for device in DEVICES {
        let fd = open(&process, &format!("dev/{device}"), &hows()[2]).unwrap();
        for interest in [Interest::Read, Interest::Write] {
            let events = process.poll(&[Poll::Fd { fd, interest }]).unwrap();
            assert!(events.len() == 1 && events[0].ready.is_ok(), "{device}");
        }
    }
}

#[test]
fn random_bytes_are_those_of_the_process() {
    struct Sevens;
    impl Random for Sevens {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Errno> {
            bytes.fill(7);
            Ok(())
        }
    }
    let process = process(|builder| builder.random(Arc::new(Sevens)));
    for device in ["dev/random", "dev/urandom"] {
        let fd = open(&process, device, &hows()[0]).unwrap();
        let mut bytes = vec![0; 100_000];
        assert_eq!(process.read(fd, &mut Sink::from_slice(&mut bytes)), Ok(100_000));
        assert!(bytes.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn a_read_of_gigabytes_ends_with_the_guest() {
    /// Kills its process when it is first asked.
    struct Killing(std::sync::OnceLock<Arc<vnode_kernel::Interruption>>);
    impl Random for Killing {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Errno> {
            bytes.fill(7);
            self.0.get().unwrap().kill();
            Ok(())
        }
    }
    let random = Arc::new(Killing(std::sync::OnceLock::new()));
    let process = process(|builder| builder.random(random.clone()));
    random.0.set(Arc::clone(process.interruption())).ok().unwrap();
    let [zero, random] = ["dev/zero", "dev/random"].map(|path| open(&process, path, &hows()[0]).unwrap());
    let mut bytes = vec![1; 1 << 20];
    assert_eq!(process.read(zero, &mut Sink::from_slice(&mut bytes)), Ok(1 << 20));
    assert_eq!(process.read(random, &mut Sink::from_slice(&mut bytes)), Err(Errno::INTR));
    assert!(bytes[1 << 16..].iter().all(|&byte| byte == 0), "no second piece is begun");
    assert_eq!(process.read(zero, &mut Sink::from_slice(&mut bytes)), Err(Errno::INTR));
}

/// A terminal that somebody types on.
struct Terminal {
    input: Bytes,
    output: Arc<Capture>,
}

impl Stream for Terminal {
    fn kind(&self) -> FileType {
        FileType::CharDevice
    }
    fn access(&self) -> vnode_core::fs::Access {
        vnode_core::fs::Access::all()
    }
    fn read(&self, wait: vnode_kernel::Wait<'_>, into: &mut Sink<'_>) -> Result<usize, Errno> {
        self.input.read(wait, into)
    }
    fn write(&self, wait: vnode_kernel::Wait<'_>, from: &mut Source<'_>) -> Result<usize, Errno> {
        self.output.write(wait, from)
    }
    fn readiness(&self, interest: Interest) -> Option<vnode_kernel::stream::Readiness> {
        match interest {
            Interest::Read => self.input.readiness(interest),
            Interest::Write => self.output.readiness(interest),
        }
    }
    fn watch(&self, interest: Interest) -> vnode_kernel::Watch<'_> {
        self.input.watch(interest)
    }
}

#[test]
fn the_terminal_is_the_processes_own() {
    let none = process(|builder| builder);
    let all = hows();
    for how in &all {
        let expected = match how.name {
            "directory" => Errno::NOTDIR,
            "exclusive" => Errno::EXIST,
            _ => Errno::NXIO,
        };
        assert_eq!(open(&none, "dev/tty", how), Err(expected), "{}", how.name);
    }
    assert_eq!(none.fds().len(), 4);

    let output = Arc::new(Capture::new(100));
    let terminal = Terminal { input: Bytes::new(*b"typed"), output: Arc::clone(&output) };
    let process = process(|builder| builder.terminal(Arc::new(terminal)));
    let fd = open(&process, "dev/tty", &all[2]).unwrap();
    let mut bytes = [0; 10];
    assert_eq!(process.read(fd, &mut Sink::from_slice(&mut bytes)), Ok(5));
    assert_eq!(process.write(fd, &mut Source::from_slice(b"shown")), Ok(5));
    assert_eq!(output.contents(), b"shown");
    assert_eq!(process.seek(fd, 0, Whence::Current), Err(Errno::SPIPE));
    assert_eq!(process.pread(fd, 0, &mut Sink::from_slice(&mut bytes)), Err(Errno::SPIPE));
    assert_eq!(process.set_size(fd, 0), Err(Errno::INVAL));
    let attr = process.stat(fd).unwrap();
    assert_eq!((attr.kind, attr.rdev), (FileType::CharDevice, 5 << 8));
    assert_eq!(Ok(attr), process.stat_at(ROOT, b"dev/tty", Follow::No));
    // What C libraries know terminals by: a character device that can't be sought.
    let (_, entry) = process.fd_state(fd).unwrap();
    assert!(!entry.base().intersects(Rights::FD_SEEK | Rights::FD_TELL));
    let null = open(&process, "dev/null", &all[2]).unwrap();
    assert!(process.fd_state(null).unwrap().1.base().contains(Rights::FD_SEEK | Rights::FD_TELL));
    let read_only = open(&process, "dev/tty", &all[0]).unwrap();
    assert_eq!(process.write(read_only, &mut Source::from_slice(b"x")), Err(Errno::BADF));
    assert_eq!(process.poll(&[Poll::Fd { fd, interest: Interest::Read }]).map(|events| events.len()), Ok(1));
}

#[test]
fn the_directory_is_listed_and_never_changed() {
    let process = process(|builder| builder);
    let how = hows()[0];
    let dir = open(&process, "dev", &how).unwrap();
    let mut all = Vec::new();
    let mut cookie = 0;
    loop {
        // One entry at a time, so that every cookie is gone on from.
        let before = all.len();
        process
            .readdir(dir, cookie, &mut |entry| {
                all.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.kind, entry.ino));
                cookie = entry.next;
                ControlFlow::Break(())
            })
            .unwrap();
        if all.len() == before {
            break;
        }
    }
    let names: Vec<&str> = all.iter().map(|entry| entry.0.as_str()).collect();
    let expected = "[\".\", \"..\", \"null\", \"zero\", \"full\", \"random\", \"urandom\", \"tty\", \"fd\", \
                    \"stdin\", \"stdout\", \"stderr\"]";
    assert_eq!(format!("{names:?}"), expected);
    for (name, kind, ino) in &all[2..] {
        let attr = process.stat_at(ROOT, format!("dev/{name}").as_bytes(), Follow::No).unwrap();
        assert_eq!((attr.kind, attr.ino), (*kind, *ino), "{name}");
    }
    for link in ["stdin", "stdout", "stderr", "fd"] {
        let native = std::fs::read_link(format!("/dev/{link}")).unwrap();
        let ours = process.readlink_at(ROOT, format!("dev/{link}").as_bytes()).unwrap();
        assert_eq!(&*ours, native.to_str().unwrap().as_bytes());
    }
    assert_eq!(process.mkdir_at(ROOT, b"dev/x"), Err(Errno::ROFS));
    assert_eq!(process.unlink_at(ROOT, b"dev/null"), Err(Errno::ROFS));
    assert_eq!(process.rename_at(ROOT, b"dev/null", ROOT, b"dev/x"), Err(Errno::ROFS));
    assert_eq!(process.symlink_at(b"x", ROOT, b"dev/x"), Err(Errno::ROFS));
    let create = hows().into_iter().find(|how| how.name == "create").unwrap();
    assert_eq!(open(&process, "dev/x", &create), Err(Errno::ROFS));
    assert_eq!(open(&process, "dev/null/x", &how), Err(Errno::NOTDIR));
}

#[test]
fn device_nodes_of_other_filesystems_are_not_opened() {
    struct Epoch;
    impl Clock for Epoch {
        fn now(&self) -> Timespec {
            Timespec::EPOCH
        }
    }
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())));
    // The same through a decorator is the same device.
    let devices = FilesystemRef::new(ReadOnly::new(Devices::new()));
    namespace.mount_at(b"/dev", &devices, MountFlags::empty()).unwrap();
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let root = namespace.root().clone();
    let caller = Caller { ns: &namespace, cx: &cx, root: &root, policy: Policy::Posix };
    let mode = vnode_core::Mode::from_raw(0o666);
    caller.mknod(&root, VPath::new(b"null").unwrap(), NewKind::CharDevice(1 << 8 | 3), mode).unwrap();
    let process = Process::builder(Arc::clone(&namespace)).preopen("/", root.clone()).build().unwrap();
    assert_eq!(open(&process, "null", &hows()[0]), Err(Errno::NXIO));
    assert!(open(&process, "dev/null", &hows()[0]).is_ok());
}
