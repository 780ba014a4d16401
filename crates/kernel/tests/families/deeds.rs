//! What a child does before its program runs, and what an execution changes: all of it, or nothing.

use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, OpenFlags};
use vnode_kernel::stream::NewStream;
use vnode_kernel::{
    Children, Execute, Exit, FdFlags, OpenRequest, Process, Rights, Search, Spawn, SpawnAction,
};

use crate::family::{Family, Script, execute};

const ROOT: u32 = 3;

fn open(process: &Process, path: &str, close_on_exec: bool) -> u32 {
    let (flags, rights) = (OpenFlags::CREATE, Rights::FD_READ | Rights::FD_WRITE);
    let request = OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec };
    process.open(ROOT, path.as_bytes(), &request).unwrap()
}

fn is_open(process: &Process, fd: u32) -> bool {
    process.fd_state(fd).is_ok()
}

#[test]
fn a_spawn_that_fails_leaves_nothing() {
    let family = Family::new(8);
    let first = family.first();
    family.program("/wait", "wait");
    family.program("/garbage", "nothing");
    let fd = open(first, "file", false);
    let before = first.fds().len();
    let close = || vec![Ok(SpawnAction::Close(fd))];
    assert_eq!(family.spawn_with(first, "/none", close()), Err(Errno::NOENT));
    assert_eq!(family.spawn_with(first, "/garbage", close()), Err(Errno::NOEXEC));
    assert_eq!(family.spawn_with(first, "/file", close()), Err(Errno::ACCES), "it has no x");
    assert_eq!(family.spawn_with(first, "/", close()), Err(Errno::ACCES));
    let actions = vec![Ok(SpawnAction::Close(fd)), Err(Errno::INVAL)];
    assert_eq!(family.spawn_with(first, "/wait", actions), Err(Errno::INVAL));
    let past = vec![Ok(SpawnAction::Dup2 { from: fd, to: 1 << 20 })];
    assert_eq!(family.spawn_with(first, "/wait", past), Err(Errno::BADF));
    assert_eq!((first.fds().len(), is_open(first, fd)), (before, true));
    assert_eq!(first.wait_child(Children::Any, false), Err(Errno::CHILD));
    assert_eq!(family.table().pids(), [first.pid()]);
}

#[test]
fn a_child_shares_open_files_but_not_the_table() {
    let family = Family::new(8);
    let first = family.first();
    family.program("/wait", "wait");
    let (kept, closed) = (open(first, "kept", false), open(first, "closed", true));
    first.write(kept, &mut Source::from_slice(b"first")).unwrap();
    let actions = vec![
        Ok(SpawnAction::Dup2 { from: closed, to: 20 }),
        Ok(SpawnAction::Null(0)),
        Ok(SpawnAction::Close(1)),
        Ok(SpawnAction::Close(ROOT)),
    ];
    let child = family.process(family.spawn_with(first, "/wait", actions).unwrap());
    assert!(is_open(&child, kept) && is_open(&child, 20) && !is_open(&child, closed));
    assert!(!is_open(&child, 1) && is_open(first, 1), "the parent's are its own");
    assert!(is_open(&child, ROOT), "every program of a POSIX process finds its root");
    assert_eq!(child.tell(kept), Ok(5));
    child.write(kept, &mut Source::from_slice(b"child")).unwrap();
    assert_eq!(first.tell(kept), Ok(10));
    assert_eq!(child.read(0, &mut Sink::from_slice(&mut [0; 8])), Ok(0), "null is at its end");
    child.mkdir_at(ROOT, b"made").unwrap();
    first.chdir(b"/made").unwrap();
    assert_eq!((first.getcwd(), child.getcwd()), (Ok(b"/made".into()), Ok(b"/".into())));
}

#[test]
fn the_end_of_a_pipe_is_seen_when_the_last_writer_has_ended() {
    let family = Family::new(8);
    let first = family.first();
    let (reading, writing) = first.pipe(NewStream::default()).unwrap();
    let child = family.spawn(first, Script::Wait).unwrap();
    first.close(writing).unwrap();
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| first.read(reading, &mut Sink::from_slice(&mut [0; 8])));
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(!reads.is_finished());
        family.process(child).end(Exit::Status(0));
        assert_eq!(reads.join().unwrap(), Ok(0));
    });
}

#[test]
fn an_execution_changes_all_or_nothing() {
    let family = Family::new(8);
    let first = family.first();
    family.program("/wait", "wait");
    family.program("/garbage", "nothing");
    let (kept, closed) = (open(first, "kept", false), open(first, "closed", true));
    for (path, errno) in [("/none", Errno::NOENT), ("/garbage", Errno::NOEXEC), ("/kept", Errno::ACCES)] {
        assert_eq!(first.execute(&execute(path)), Err(errno), "{path}");
        assert!(is_open(first, closed) && first.take_program().is_none());
        assert_eq!(first.args().iter().next(), Some(&b"first"[..]));
    }
    let args = vec![b"new".to_vec(), vec![], b"last".to_vec()];
    let new = Execute { args: args.clone(), env: Some(vec![b"B=2".to_vec()]), ..execute("/wait") };
    first.execute(&new).unwrap();
    assert!(first.take_program().is_some() && first.take_program().is_none());
    assert!(is_open(first, kept) && !is_open(first, closed));
    assert!(first.args().iter().eq(args.iter()));
    assert!(first.env().iter().eq([b"B=2"]));
    first.execute(&execute("/wait")).unwrap();
    assert!(first.env().iter().eq([b"B=2"]), "it stays if none is given");
}

#[test]
fn arguments_are_bounded_as_linux_bounds_them() {
    let family = Family::new(8);
    family.program("/wait", "wait");
    let with = |args: Vec<Vec<u8>>| Execute { args, ..execute("/wait") };
    let runs = |args| family.first().execute(&with(args));
    assert_eq!(runs(vec![vec![b'x'; (128 << 10) - 1]]), Ok(()));
    assert_eq!(runs(vec![vec![b'x'; 128 << 10]]), Err(Errno::TOOBIG));
    assert_eq!(runs(vec![vec![b'x'; 100 << 10]; 30]), Err(Errno::TOOBIG));
    assert_eq!(runs(vec![b"a\0b".to_vec()]), Err(Errno::INVAL));
}

#[test]
fn names_are_searched_for_in_order() {
    let family = Family::new(8);
    let first = family.first();
    for directory in [&b"one"[..], b"two", b"three"] {
        first.mkdir_at(ROOT, directory).unwrap();
    }
    family.program("/two/tool", "wait");
    family.program("/three/tool", "exit 3");
    first.close(open(first, "one/tool", false)).unwrap();
    let search = |path: &str, name: &str| Execute {
        search: Search::Path(Some(path.into())),
        path: name.into(),
        ..execute("tool")
    };
    let found = |path: &str, name| {
        let ran = first.execute(&search(path, name));
        ran.map(|()| {
            let program: Box<dyn std::any::Any> = first.take_program().unwrap();
            program.downcast::<crate::family::Text>().unwrap().0
        })
    };
    assert_eq!(
        found("/one:/two:/three", "tool").as_deref(),
        Ok("wait"),
        "what can't be executed is passed over"
    );
    assert_eq!(found("/none:/three:/two", "tool").as_deref(), Ok("exit 3"));
    assert_eq!(found("/one:/none", "tool"), Err(Errno::ACCES));
    assert_eq!(found("/none", "tool"), Err(Errno::NOENT));
    assert_eq!(found("/two", "/three/tool").as_deref(), Ok("exit 3"), "a path is no name");
    assert_eq!(found("/two", ""), Err(Errno::NOENT));
    first.chdir(b"/three").unwrap();
    assert_eq!(found(":/two", "tool").as_deref(), Ok("exit 3"), "nothing stands for here");
}

#[test]
fn a_text_that_was_found_by_its_name_is_the_shell_s() {
    let family = Family::new(8);
    let first = family.first();
    first.mkdir_at(ROOT, b"bin").unwrap();
    family.program("/bin/list", "echo it\n");
    let by_name = Execute { search: Search::Path(None), path: b"list".to_vec(), ..execute("list") };
    assert_eq!(first.execute(&by_name), Err(Errno::NOEXEC), "there is no shell");
    family.program("/bin/sh", "wait");
    first.execute(&by_name).unwrap();
    assert!(first.args().iter().eq([&b"/bin/sh"[..], b"/bin/list", b"argument"]));
    assert_eq!(first.execute(&execute("/bin/list")), Err(Errno::NOEXEC), "not by its path");
    let spawn = Spawn { execute: by_name, ignored: None };
    assert_eq!(first.spawn(&spawn, []), Err(Errno::NOEXEC), "nor for a child");
}
