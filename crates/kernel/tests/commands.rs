//! `/bin` of an embedder's programs.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use vnode_core::io::Sink;
use vnode_core::{Errno, FileType, FilesystemRef, Follow, MountFlags, Namespace, OpenFlags, Policy};
use vnode_kernel::commands::{CommandContent, Commands};
use vnode_kernel::{FdFlags, Files, OpenRequest, Process, Rights, Whence};
use vnode_memory::Memory;

fn bytes(text: &str) -> CommandContent {
    CommandContent::Bytes(Arc::from(text.as_bytes()))
}

fn host_file(path: &Path) -> CommandContent {
    CommandContent::HostFile(path.as_os_str().as_bytes().to_vec())
}

fn mounted(commands: Commands) -> Process {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    namespace.mount_at(b"/bin", &FilesystemRef::new(commands), MountFlags::empty()).unwrap();
    let root = namespace.root().clone();
    Process::builder(namespace).policy(Policy::Posix).preopen("/", root).build().unwrap()
}

fn open(process: &Process, path: &[u8], rights: Rights, flags: OpenFlags) -> Result<u32, Errno> {
    process.open(3, path, &OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec: false })
}

#[test]
fn names_are_names_and_stand_once() {
    for (name, errno) in
        [("", Errno::NOENT), (".", Errno::INVAL), ("..", Errno::INVAL), ("a/b", Errno::INVAL)]
    {
        let made = Commands::new([(name.as_bytes().to_vec(), bytes("x"))]);
        assert!(made.is_err_and(|told| told == errno || told == Errno::INVAL), "{name}");
    }
    let twice = ["b", "a", "b"].map(|name| (name.as_bytes().to_vec(), bytes(name)));
    assert_eq!(Commands::new(twice).err(), Some(Errno::EXIST));
}

#[test]
fn programs_are_listed_read_and_never_changed() {
    let directory = std::env::temp_dir().join(format!("vnode-commands-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("program");
    let content: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    let commands =
        [("ls", bytes("list")), ("cat", host_file(&file)), ("gone", host_file(Path::new("/no/such")))];
    let commands = commands.map(|(name, content)| (name.as_bytes().to_vec(), content));
    let process = mounted(Commands::new(commands).unwrap());

    let stat = process.stat_at(3, b"bin/cat", Follow::Yes).unwrap();
    let meta = std::fs::metadata(&file).unwrap();
    assert_eq!((stat.kind, stat.mode.raw(), stat.size), (FileType::Regular, 0o755, 200_000));
    assert_eq!((stat.mtime.sec, i64::from(stat.mtime.nsec)), (meta.mtime(), meta.mtime_nsec()));
    assert_eq!((stat.uid, stat.nlink), (0, 1));
    assert_eq!(process.stat_at(3, b"bin", Follow::Yes).unwrap().kind, FileType::Directory);
    assert_eq!(process.stat_at(3, b"bin/none", Follow::Yes).err(), Some(Errno::NOENT));
    assert_eq!(process.stat_at(3, b"bin/gone", Follow::Yes).err(), Some(Errno::IO));

    let fd = open(&process, b"bin/cat", Rights::FD_READ, OpenFlags::empty()).unwrap();
    // From now on the file that is open is read, whatever its name is of.
    std::fs::rename(&file, directory.join("other")).unwrap();
    std::fs::write(&file, "another program").unwrap();
    let mut read = vec![0; 300_000];
    assert_eq!(process.read(fd, &mut Sink::from_slice(&mut read)), Ok(content.len()));
    assert!(read[..content.len()] == content);
    assert_eq!(process.read(fd, &mut Sink::from_slice(&mut read)), Ok(0));
    assert_eq!(process.seek(fd, -1, Whence::End), Ok(199_999));
    let mut last = [0; 5];
    assert_eq!(process.pread(fd, 199_998, &mut Sink::from_slice(&mut last)), Ok(2));
    assert_eq!(last[..2], content[199_998..]);
    assert_eq!(process.stat(fd).unwrap().size, 200_000);
    let again = open(&process, b"bin/cat", Rights::FD_READ, OpenFlags::empty()).unwrap();
    assert_eq!(process.seek(again, 0, Whence::End), Ok(200_000));
    std::fs::remove_dir_all(&directory).unwrap();

    assert_eq!(open(&process, b"bin/gone", Rights::FD_READ, OpenFlags::empty()), Err(Errno::IO));
    assert_eq!(open(&process, b"bin/ls", Rights::FD_WRITE, OpenFlags::empty()), Err(Errno::ROFS));
    assert_eq!(open(&process, b"bin/ls", Rights::FD_READ, OpenFlags::TRUNCATE), Err(Errno::ROFS));
    assert_eq!(open(&process, b"bin/new", Rights::FD_WRITE, OpenFlags::CREATE), Err(Errno::ROFS));
    assert_eq!(process.unlink_at(3, b"bin/ls"), Err(Errno::ROFS));
    assert_eq!(open(&process, b"bin/ls/x", Rights::FD_READ, OpenFlags::empty()), Err(Errno::NOTDIR));
}

#[test]
fn the_listing_goes_on_where_it_was_left() {
    let names: Vec<String> = (0..100).map(|number| format!("program-{number:02}")).collect();
    let programs = names.iter().rev().map(|name| (name.as_bytes().to_vec(), bytes(name)));
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    let commands = FilesystemRef::new(Commands::new(programs).unwrap());
    namespace.mount_at(b"/bin", &commands, MountFlags::empty()).unwrap();
    let files = Files::of(&namespace);
    let listed = files.list("/bin").unwrap();
    assert!(listed.iter().map(Vec::as_slice).eq(names.iter().map(String::as_bytes)));
    assert_eq!(files.read("/bin/program-42", 100).unwrap(), b"program-42");
}
