//! `/proc`, beside the kernel's own: what can be made on both is, and must come to the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beside;

use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use beside::{BOTH, Beside, ROOT, Way, errno};
use rustix::fs::{Mode, OFlags};
use vnode_core::io::{Sink, Source};
use vnode_core::{Credentials, Errno, FileType, FilesystemRef, Follow, MountFlags, OpenFlags, Policy};
use vnode_kernel::ProcessTable;
use vnode_kernel::procfs::Procfs;
use vnode_kernel::stream::{Bytes, Interest, NewStream};
use vnode_kernel::{FdFlags, OpenRequest, Poll, Process, Rights, Whence};

fn text(process: &Process, path: &str) -> Result<String, Errno> {
    process.readlink_at(ROOT, path.as_bytes()).map(|text| String::from_utf8(text.to_vec()).unwrap())
}

fn open(process: &Process, path: &str, flags: OpenFlags, rights: Rights) -> Result<u32, Errno> {
    let request = OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec: false };
    process.open(ROOT, path.as_bytes(), &request)
}

fn read(process: &Process, fd: u32) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 10_000];
    let count = process.read(fd, &mut Sink::from_slice(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn names(process: &Process, path: &str) -> Vec<(String, FileType, u64)> {
    let dir = open(process, path, OpenFlags::DIRECTORY, Rights::FD_READ).unwrap();
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
    process.close(dir).unwrap();
    all.retain(|entry| entry.0 != "." && entry.0 != "..");
    all
}

fn plain(names: &[(String, FileType, u64)]) -> Vec<&str> {
    names.iter().map(|entry| entry.0.as_str()).collect()
}

#[test]
fn the_directories_have_what_there_is() {
    let tree = beside::tree();
    let process = tree.process(7, |builder| builder);
    let other = tree.process(1000, |builder| builder);
    assert_eq!(plain(&names(&process, "proc")), ["self", "7", "1000"]);
    assert_eq!(text(&process, "proc/self").unwrap(), "7");
    assert_eq!(text(&other, "proc/self").unwrap(), "1000");
    let in_process = ["fd", "environ", "status", "cmdline", "cwd", "root", "exe"];
    assert_eq!(plain(&names(&process, "proc/self/")), in_process);
    for name in in_process {
        assert!(std::fs::symlink_metadata(format!("/proc/self/{name}")).is_ok(), "{name}");
    }
    // The directory itself is open while it is listed.
    assert_eq!(plain(&names(&process, "proc/self/fd")), ["0", "1", "2", "3", "4"]);
    process.fds().duplicate(0, 100, false).unwrap();
    assert_eq!(plain(&names(&process, "proc/7/fd")), ["0", "1", "2", "3", "4", "100"]);
    for (dir, entries) in [("proc", names(&process, "proc")), ("proc/7", names(&process, "proc/7"))] {
        for (name, kind, ino) in entries {
            let attr = process.stat_at(ROOT, format!("{dir}/{name}").as_bytes(), Follow::No).unwrap();
            assert_eq!((attr.kind, attr.ino), (kind, ino), "{dir}/{name}");
        }
    }
    drop(other);
    assert_eq!(plain(&names(&process, "proc")), ["self", "7"]);
    assert_eq!(process.stat_at(ROOT, b"proc/1000", Follow::Yes), Err(Errno::NOENT));
    for name in ["07", "0", "+7", "7x", "99999999999999999999"] {
        assert_eq!(process.stat_at(ROOT, format!("proc/{name}").as_bytes(), Follow::Yes), Err(Errno::NOENT));
    }
    assert_eq!(tree.processes.add(&process), Err(Errno::EXIST));
}

/// Attributes, what opens, what is refused: every entry of `/proc/self` in every way, here and there.
#[test]
fn entries_are_the_kernels() {
    let tree = beside::tree();
    let process = tree.process(7, |builder| builder.credentials(Credentials::root()));
    let is_root = rustix::process::geteuid().is_root();
    for name in ["", "/fd", "/environ", "/status", "/cmdline", "/cwd", "/root", "/exe"] {
        let native = rustix::fs::lstat(format!("/proc/self{name}")).unwrap();
        let ours = process.stat_at(ROOT, format!("proc/self{name}").as_bytes(), Follow::No).unwrap();
        let size = if name == "/fd" { 4 } else { native.st_size as u64 };
        let native = (native.st_mode, size, native.st_blocks as u64, native.st_blksize as u32);
        assert_eq!((ours.st_mode(), ours.size, ours.blocks, ours.blksize), native, "{name}");
    }
    for name in ["environ", "status", "cmdline", "fd", "", "self", "none"] {
        let (ours, native) = (format!("proc/self/{name}"), format!("/proc/self/{name}"));
        for Way { name: way, host, flags, rights } in beside::ways() {
            if !is_root && host.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC) {
                continue;
            }
            let theirs = rustix::fs::open(native.as_str(), host, Mode::from_raw_mode(0o600));
            let got = open(&process, &ours, flags, rights);
            assert_eq!(got.err(), theirs.err().map(errno), "{name} {way}");
        }
        let got = process.mkdir_at(ROOT, ours.as_bytes());
        assert_eq!(got.err(), rustix::fs::mkdir(native.as_str(), Mode::empty()).err().map(errno), "{name}");
        let got = process.symlink_at(b"x", ROOT, ours.as_bytes());
        assert_eq!(got.err(), rustix::fs::symlink("x", native.as_str()).err().map(errno), "{name}");
        if is_root {
            let got = process.unlink_at(ROOT, ours.as_bytes());
            // The kernel's `unlink` of a path that ends in a slash looks at what is there first, as ours does.
            assert_eq!(got.err(), rustix::fs::unlink(native.as_str()).err().map(errno), "unlink {name}");
            let got = process.unlink_at(ROOT, b"proc/7").err();
            assert_eq!(got, rustix::fs::unlink("/proc/1").err().map(errno));
            let got = process.rmdir_at(ROOT, ours.as_bytes());
            assert_eq!(got.err(), rustix::fs::rmdir(native.as_str()).err().map(errno), "rmdir {name}");
            for to in ["status", "none2"] {
                let got =
                    process.rename_at(ROOT, ours.as_bytes(), ROOT, format!("proc/self/{to}").as_bytes());
                let theirs = rustix::fs::rename(native.as_str(), format!("/proc/self/{to}"));
                // A slash behind a link is told by Linux after the new name, which its `/proc` can't look up.
                if name != to && !name.is_empty() {
                    assert_eq!(got.err(), theirs.err().map(errno), "rename {name} {to}");
                }
            }
        }
    }
}

#[test]
fn files_tell_of_the_process() {
    let tree = beside::tree();
    let process = tree.process(7, |builder| {
        builder.args(["/bin/a name\nthat is long", "", "two"]).env("A", "1").env("B", "x=y")
    });
    let file = |name: &str| open(&process, &format!("proc/self/{name}"), OpenFlags::empty(), Rights::FD_READ);
    assert_eq!(read(&process, file("cmdline").unwrap()).unwrap(), b"/bin/a name\nthat is long\0\0two\0");
    assert_eq!(read(&process, file("environ").unwrap()).unwrap(), b"A=1\0B=x=y\0");
    let status = String::from_utf8(read(&process, file("status").unwrap()).unwrap()).unwrap();
    let native = std::fs::read_to_string("/proc/self/status").unwrap();
    // Each line is one of Linux's, in its order.
    let keys =
        |text: &str| text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
    let (ours, mut theirs) = (keys(&status), keys(&native).into_iter());
    assert!(ours.iter().all(|key| theirs.any(|other| other == *key)), "{status}");
    for line in ["Name:\ta name\\nthat is ", "Umask:\t0022", "State:\tR (running)", "Pid:\t7", "PPid:\t0"] {
        assert!(status.lines().any(|other| other == line), "{line} in {status}");
    }
    for line in ["Uid:\t0\t0\t0\t0", "FDSize:\t64", "Groups:\t", "CapEff:\t000000000a20001b", "Threads:\t1"] {
        assert!(status.lines().any(|other| other == line), "{line} in {status}");
    }
    if rustix::process::geteuid().is_root() {
        for name in ["environ", "cmdline", "status"] {
            // Written by root: opened, and then nothing comes of it.
            let ours = open(&process, &format!("proc/self/{name}"), OpenFlags::empty(), BOTH).unwrap();
            let theirs =
                std::fs::File::options().read(true).write(true).open(format!("/proc/self/{name}")).unwrap();
            let native = rustix::io::write(&theirs, b"x").err().map(errno);
            assert_eq!(process.write(ours, &mut Source::from_slice(b"x")).err(), native, "{name}");
            assert_eq!(process.set_size(ours, 5).err(), rustix::fs::ftruncate(&theirs, 5).err().map(errno));
            assert_eq!(process.sync(ours).err(), rustix::fs::fsync(&theirs).err().map(errno), "{name}");
            for (offset, whence, from) in [
                (3, Whence::Set, rustix::fs::SeekFrom::Start(3)),
                (2, Whence::Current, rustix::fs::SeekFrom::Current(2)),
                (-9, Whence::Current, rustix::fs::SeekFrom::Current(-9)),
                (0, Whence::Data, rustix::fs::SeekFrom::Data(0)),
                (0, Whence::Hole, rustix::fs::SeekFrom::Hole(0)),
            ] {
                let native = rustix::fs::seek(&theirs, from).map_err(errno);
                assert_eq!(process.seek(ours, offset, whence), native, "{name} {whence:?}");
            }
        }
    }
    let environ = file("environ").unwrap();
    assert_eq!(process.tell(environ), Ok(0));
    let mut part = [0; 4];
    assert_eq!(process.pread(environ, 2, &mut Sink::from_slice(&mut part)), Ok(4));
    assert_eq!(&part, b"1\0B=");
}

#[test]
fn links_of_files_read_as_the_kernels() {
    let beside = Beside::new();
    let fd = beside.open("a", OFlags::RDWR | OFlags::CREATE, OpenFlags::CREATE, BOTH);
    beside.same_link(&fd, "made");
    beside.rename("a", "b");
    beside.same_link(&fd, "renamed in its directory");
    beside.mkdir("d");
    beside.rename("b", "d/b");
    let through = beside.open("d/b", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.same_link(&through, "below a directory");
    beside.symlink("d/b", "link");
    let linked = beside.open("link", OFlags::WRONLY, OpenFlags::empty(), Rights::FD_WRITE);
    beside.same_link(&linked, "opened through a link");
    let dir = beside.open("d", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.same_link(&dir, "a directory");
    let dotted = beside.open("d/../d/./b", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.same_link(&dotted, "opened through dots");
    beside.unlink("d/b");
    for fd in [&through, &linked] {
        beside.same_size_and_mode(fd);
    }
    beside.same_link(&through, "removed");
    beside.write("other", b"x");
    let other = beside.open("other", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.write("new", b"y");
    beside.rename("new", "other");
    beside.same_link(&other, "replaced");
    beside.write("many", b"x");
    let many = beside.open("many", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.link("many", "e2");
    beside.rename("e2", "elsewhere");
    beside.same_link(&many, "another name was renamed");
    beside.rename("d", "e");
    beside.same_link(&dir, "a directory that was renamed");
    beside.mkdir("e/inner");
    let inner = beside.open("e/inner", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.rmdir("e/inner");
    beside.same_link(&inner, "a directory that was removed");
    let null = beside.open_at("/dev/null", OFlags::RDWR, OpenFlags::empty(), BOTH);
    beside.same_absolute_link(&null, "a device");
}

#[test]
fn what_is_open_is_opened_again_as_by_the_kernel() {
    let beside = Beside::new();
    beside.write("f", b"content");
    beside.mkdir("d");
    let file = beside.open("f", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    beside.same_bytes(&file, 3);
    for removed in [false, true] {
        if removed {
            beside.unlink("f");
        }
        for way in beside::ways() {
            let again = beside.open_again(&file, &way);
            if let Some(again) = again {
                // From the start: it is another open file.
                beside.same_bytes(&again, 10);
            }
        }
    }
    let dir = beside.open("d", OFlags::RDONLY, OpenFlags::empty(), Rights::FD_READ);
    for way in beside::ways() {
        beside.open_again(&dir, &way);
    }
    beside.write("d/x", b"below");
    for tail in ["/x", "/", "/.", "/..", "/../d/x", "/none", "/x/", "/x/y"] {
        beside.same_stat(&dir, tail);
        beside.same_stat(&file, tail);
    }
    let null = beside.open_at("/dev/null", OFlags::RDWR, OpenFlags::empty(), BOTH);
    for way in beside::ways() {
        beside.open_again(&null, &way);
    }
    beside.same_stat(&null, "");
}

#[test]
fn streams_are_opened_again() {
    let tree = beside::tree();
    let process = tree.process(7, |builder| builder.stdin(Arc::new(Bytes::new(*b"typed"))));
    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
    let link = |fd: u32| format!("proc/self/fd/{fd}");
    let number = |fd: u32| process.stat(fd).unwrap().ino;
    let (theirs, other) = rustix::pipe::pipe().unwrap();
    assert_eq!(rustix::fs::fstat(&theirs).unwrap().st_ino, rustix::fs::fstat(&other).unwrap().st_ino);
    assert_eq!(number(reader), number(writer));
    let (second, _) = process.pipe(NewStream::default()).unwrap();
    assert_ne!(number(reader), number(second));
    let native = rustix::fs::lstat(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
    let attr = process.stat_at(ROOT, link(reader).as_bytes(), Follow::No).unwrap();
    assert_eq!((attr.st_mode(), attr.size), (native.st_mode, native.st_size as u64));
    assert_eq!(text(&process, &link(reader)).unwrap(), format!("pipe:[{}]", number(reader)));
    // Followed it is the same inode as that of the descriptor.
    let followed = process.stat_at(ROOT, link(reader).as_bytes(), Follow::Yes).unwrap();
    assert_eq!(followed, process.stat(reader).unwrap());
    let native = rustix::fs::fstat(&theirs).unwrap();
    assert_eq!(
        (followed.st_mode(), followed.size, followed.nlink),
        (native.st_mode, 0, native.st_nlink as u32)
    );

    let again = open(&process, &link(writer), OpenFlags::empty(), Rights::FD_WRITE).unwrap();
    assert_eq!(process.write(again, &mut Source::from_slice(b"through")), Ok(7));
    process.close(again).unwrap();
    process.close(writer).unwrap();
    let again = open(&process, &link(reader), OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(text(&process, &link(again)), text(&process, &link(reader)));
    assert_eq!(read(&process, again).unwrap(), b"through");
    assert_eq!(read(&process, reader).unwrap(), b"", "the last writer has gone");
    assert_eq!(open(&process, &link(reader), OpenFlags::empty(), Rights::FD_WRITE), Err(Errno::ACCES));
    assert_eq!(open(&process, &link(reader), OpenFlags::DIRECTORY, Rights::FD_READ), Err(Errno::NOTDIR));
    assert_eq!(open(&process, &link(reader), OpenFlags::NOFOLLOW, Rights::FD_READ), Err(Errno::LOOP));
    for tail in ["/", "/x", "/.."] {
        let path = format!("{}{tail}", link(reader));
        assert_eq!(process.stat_at(ROOT, path.as_bytes(), Follow::Yes), Err(Errno::NOTDIR), "{tail}");
    }
    let (socket, other) = process.socket_pair(NewStream::default()).unwrap();
    assert_ne!(number(socket), number(other));
    assert_eq!(text(&process, &link(socket)).unwrap(), format!("socket:[{}]", number(socket)));
    assert_eq!(open(&process, &link(socket), OpenFlags::empty(), BOTH), Err(Errno::NXIO));

    let input = open(&process, "dev/stdin", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, input).unwrap(), b"typed");
    let poll = Poll::Fd { fd: input, interest: Interest::Read };
    assert_eq!(process.poll(&[poll]).unwrap().len(), 1);
    process.close(0).unwrap();
    assert_eq!(open(&process, "dev/stdin", OpenFlags::empty(), Rights::FD_READ), Err(Errno::NOENT));
}

#[test]
fn jumps_count_as_links_do() {
    let tree = beside::tree();
    let process = tree.process(7, |builder| builder);
    let root = rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for times in [1, 19, 20, 21, 60] {
        let ours = format!("{}proc", format!("proc/self/fd/{ROOT}/").repeat(times));
        let theirs = format!("/{}proc", format!("proc/self/fd/{}/", root.as_raw_fd()).repeat(times));
        let got = process.stat_at(ROOT, ours.as_bytes(), Follow::Yes).map(|attr| attr.kind.is_dir());
        let native = rustix::fs::stat(theirs).map(|_| true).map_err(errno);
        assert_eq!(got, native, "{times}");
    }
}

/// What is otherwise than Linux, and said to be: a name in another directory isn't looked for.
#[test]
fn a_file_that_went_elsewhere_reads_as_removed_and_is_opened_all_the_same() {
    let tree = beside::tree();
    tree.files.make_directory("/d").unwrap();
    tree.files.write("/f", b"content").unwrap();
    let process = tree.process(7, |builder| builder);
    let fd = open(&process, "f", OpenFlags::empty(), Rights::FD_READ).unwrap();
    process.rename_at(ROOT, b"f", ROOT, b"d/f").unwrap();
    let link = format!("proc/self/fd/{fd}");
    assert_eq!(text(&process, &link).unwrap(), "/f (deleted)");
    // Another file of its old name is not taken for it.
    tree.files.write("/f", b"another").unwrap();
    assert_eq!(text(&process, &link).unwrap(), "/f (deleted)");
    let again = open(&process, &link, OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, again).unwrap(), b"content");
}

#[test]
fn the_working_directory_the_root_and_the_program() {
    let tree = beside::tree();
    tree.files.make_directory("/d").unwrap();
    tree.files.make_directory("/bin").unwrap();
    tree.files.write("/bin/tool", b"program").unwrap();
    let process = tree.process(7, |builder| builder);
    assert_eq!(text(&process, "proc/self/exe"), Err(Errno::NOENT));
    assert_eq!(text(&process, "proc/self/root").unwrap(), "/");
    assert_eq!(text(&process, "proc/self/cwd").unwrap(), "/");
    process.chdir(b"/d").unwrap();
    assert_eq!(text(&process, "proc/self/cwd").unwrap(), "/d");
    tree.files.write("/d/x", b"in d").unwrap();
    let fd = open(&process, "proc/self/cwd/x", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, fd).unwrap(), b"in d");
    assert_eq!(process.stat_at(ROOT, b"proc/self/cwd/../bin/tool", Follow::Yes).map(|attr| attr.size), Ok(7));
    assert_eq!(process.stat_at(ROOT, b"proc/self/root/d/x", Follow::Yes).map(|attr| attr.size), Ok(4));
    let made = open(&process, "proc/self/cwd/made", OpenFlags::CREATE, BOTH).unwrap();
    assert_eq!(text(&process, &format!("proc/self/fd/{made}")).unwrap(), "/d/made");
    assert_eq!(tree.files.list("/d").unwrap().len(), 2);

    let tool = tree.resolve("/bin/tool");
    process.set_executable(tool, b"/bin/tool");
    assert_eq!(text(&process, "proc/self/exe").unwrap(), "/bin/tool");
    assert_eq!(process.stat_at(ROOT, b"proc/self/exe", Follow::Yes).map(|attr| attr.size), Ok(7));
    process.unlink_at(ROOT, b"bin/tool").unwrap();
    assert_eq!(text(&process, "proc/self/exe").unwrap(), "/bin/tool (deleted)");
    let fd = open(&process, "proc/self/exe", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, fd).unwrap(), b"program");

    process.unlink_at(ROOT, b"d/x").unwrap();
    process.unlink_at(ROOT, b"d/made").unwrap();
    process.rmdir_at(ROOT, b"d").unwrap();
    // It leads there still, as the kernel's does.
    assert_eq!(process.stat_at(ROOT, b"proc/self/cwd", Follow::Yes).map(|attr| attr.nlink), Ok(0));
    assert_eq!(open(&process, "proc/self/cwd/x", OpenFlags::CREATE, BOTH), Err(Errno::NOENT));
}

#[test]
fn policies_bound_where_links_lead() {
    let tree = beside::tree();
    tree.files.write("/f", b"x").unwrap();
    let beneath =
        tree.process(7, |builder| builder.policy(Policy::Beneath).stdin(Arc::new(Bytes::new(*b"typed"))));
    let fd = open(&beneath, "f", OpenFlags::empty(), Rights::FD_READ).unwrap();
    for link in [format!("fd/{fd}"), "fd/3".into(), "cwd".into(), "root".into()] {
        let path = format!("proc/self/{link}");
        assert_eq!(
            open(&beneath, &path, OpenFlags::empty(), Rights::FD_READ),
            Err(Errno::NOTCAPABLE),
            "{link}"
        );
        assert_eq!(beneath.stat_at(ROOT, path.as_bytes(), Follow::Yes), Err(Errno::NOTCAPABLE), "{link}");
        assert!(text(&beneath, &path).unwrap().starts_with('/'));
    }
    let below = open(&beneath, "proc/self/root/f", OpenFlags::empty(), Rights::FD_READ);
    assert_eq!(below, Err(Errno::NOTCAPABLE));
    // What has no content of a filesystem is no more than the descriptor.
    let input = open(&beneath, "dev/stdin", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&beneath, input).unwrap(), b"typed");
    assert!(open(&beneath, "proc/self/status", OpenFlags::empty(), Rights::FD_READ).is_ok());

    let strict = tree.process(8, |builder| builder.policy(Policy::Strict));
    for link in ["fd/0", "fd/3", "cwd", "root"] {
        let path = format!("proc/self/{link}");
        assert_eq!(open(&strict, &path, OpenFlags::empty(), Rights::FD_READ), Err(Errno::PERM), "{link}");
        assert_eq!(text(&strict, &path), Err(Errno::PERM), "{link}");
        assert!(strict.stat_at(ROOT, path.as_bytes(), Follow::No).is_ok(), "{link}");
    }
}

#[test]
fn no_link_gives_more_than_the_descriptor_has() {
    let tree = beside::tree();
    tree.files.make_directory("/in").unwrap();
    tree.files.make_directory("/out").unwrap();
    tree.files.write("/out/f", b"secret").unwrap();
    let (inside, outside) = (tree.resolve("/in"), tree.resolve("/out"));
    tree.mount_proc("/in/proc");
    let only_read = Rights::INHERITABLE - Rights::FD_WRITE;
    let process = tree.process(7, |builder| {
        builder
            .root(inside.clone())
            .preopen("/", inside)
            .preopen_with("/out", outside.clone(), Rights::DIRECTORY, only_read)
            .preopen("/all", outside)
    });
    let (in_fd, out, all) = (4, 5, 6);
    let open = |dir: u32, path: &str, rights| {
        let (flags, status) = (OpenFlags::empty(), FdFlags::empty());
        process.open(dir, path.as_bytes(), &OpenRequest { flags, rights, status, close_on_exec: false })
    };
    let fd = open(out, "f", Rights::FD_READ).unwrap();
    assert_eq!(open(in_fd, &format!("proc/self/fd/{fd}"), BOTH), Err(Errno::ACCES));
    assert_eq!(open(in_fd, &format!("proc/self/fd/{out}/f"), BOTH), Err(Errno::ACCES));
    // A descriptor with all rights is all that its place is.
    assert!(open(in_fd, &format!("proc/self/fd/{all}/f"), BOTH).is_ok());
    process.fds().shrink(0, Rights::FD_WRITE, Rights::empty()).unwrap();
    assert_eq!(open(in_fd, "proc/self/fd/0", Rights::FD_READ), Err(Errno::ACCES));
    assert!(open(in_fd, "proc/self/fd/0", Rights::FD_WRITE).is_ok());
    // What is outside of the root has no path there.
    assert_eq!(process.readlink_at(in_fd, format!("proc/self/fd/{all}").as_bytes()), Err(Errno::NOENT));
}

#[test]
fn other_processes_are_looked_into_as_ptrace_allows() {
    let tree = beside::tree();
    tree.files.make_directory("/d").unwrap();
    tree.files.write("/f", b"x").unwrap();
    let user = |uid| Credentials::user(uid, uid, &[]);
    let one = tree.process(1, |builder| builder.credentials(user(1000)).cwd(tree.resolve("/d")));
    let same = tree.process(2, |builder| builder.credentials(user(1000)));
    let other = tree.process(3, |builder| builder.credentials(user(1001)));
    let root = tree.process(4, |builder| builder);
    let caged = tree.process(5, |builder| builder.root(tree.resolve("/d")));
    let fd = open(&one, "f", OpenFlags::empty(), Rights::FD_READ).unwrap();
    let link = format!("proc/1/fd/{fd}");
    let (reading, _) = one.pipe(NewStream::default()).unwrap();
    let pipe = format!("proc/1/fd/{reading}");
    for process in [&one, &same, &root] {
        assert!(open(process, &pipe, OpenFlags::empty(), Rights::FD_READ).is_ok());
        assert_eq!(text(process, "proc/1/cwd").unwrap(), "/d");
        assert_eq!(text(process, &link).unwrap(), "/f");
        assert!(open(process, &link, OpenFlags::empty(), Rights::FD_READ).is_ok());
        assert!(open(process, "proc/1/environ", OpenFlags::empty(), Rights::FD_READ).is_ok());
    }
    assert_eq!(text(&other, "proc/1/cwd"), Err(Errno::ACCES));
    assert_eq!(text(&other, &link), Err(Errno::ACCES));
    for path in ["proc/1/cwd", "proc/1/fd", "proc/1/environ", "proc/1/root/f", link.as_str()] {
        assert_eq!(open(&other, path, OpenFlags::empty(), Rights::FD_READ), Err(Errno::ACCES), "{path}");
    }
    for path in ["proc/1/cmdline", "proc/1/status"] {
        assert!(open(&other, path, OpenFlags::empty(), Rights::FD_READ).is_ok(), "{path}");
    }
    // Root in a root directory of its own sees who there is, and no way out. (Its preopen is outside.)
    for path in ["proc/1/root", "proc/1/cwd", link.as_str(), pipe.as_str()] {
        assert_eq!(open(&caged, path, OpenFlags::empty(), Rights::FD_READ), Err(Errno::ACCES), "{path}");
    }
    // One that was given another's number is not that one.
    let outside = tree.namespace.root().clone();
    let builder = Process::builder(Arc::clone(&tree.namespace)).pid(1).policy(Policy::Posix);
    let double = builder.root(tree.resolve("/d")).preopen("/", outside).build().unwrap();
    assert_eq!(text(&double, "proc/self").unwrap(), "1");
    for path in ["proc/self/root", link.as_str(), pipe.as_str()] {
        assert_eq!(open(&double, path, OpenFlags::empty(), Rights::FD_READ), Err(Errno::ACCES), "{path}");
    }
    one.end(vnode_kernel::Exit::Status(0));
    assert!(names(&root, "proc/1/fd").is_empty());
    assert_eq!(text(&root, "proc/1/cwd"), Err(Errno::NOENT));
    let status = open(&root, "proc/1/status", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert!(String::from_utf8(read(&root, status).unwrap()).unwrap().contains("State:\tZ (zombie)\n"));
}

#[test]
fn a_tree_without_its_processes_has_no_self() {
    let tree = beside::tree();
    let lonely = Arc::new(ProcessTable::new());
    let namespace = Arc::clone(&tree.namespace);
    let procfs = FilesystemRef::new(Procfs::new(lonely));
    namespace.mount_at(b"/empty", &procfs, MountFlags::empty()).unwrap();
    let process = tree.process(7, |builder| builder);
    assert_eq!(text(&process, "empty/self"), Err(Errno::NOENT));
    assert!(names(&process, "empty").is_empty());
}
