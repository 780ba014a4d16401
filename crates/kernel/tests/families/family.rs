//! The family: a first process on a memory filesystem, and programs that do what their file's text says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::{Errno, FilesystemRef, Mode, Namespace, Policy, Result};
use vnode_kernel::{
    Execute, Exit, Files, Loader, Process, ProcessTable, Program, ProgramFile, Search, Spawn, SpawnAction,
};
use vnode_memory::Memory;

/// What a program does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    Exit(u32),
    /// Until it is killed.
    Wait,
    /// There is no thread for it.
    NoThread,
}

impl Script {
    fn text(self) -> String {
        match self {
            Script::Exit(status) => format!("exit {status}"),
            Script::Wait => "wait".to_owned(),
            Script::NoThread => "no thread".to_owned(),
        }
    }
}

/// Programs are texts; what starts with anything else than `exit`, `wait` or `no thread` is none.
struct Texts;

impl Loader for Texts {
    fn load(&self, file: &ProgramFile<'_>) -> Result<Box<dyn Program>> {
        let text = String::from_utf8(file.read()?).map_err(|_| Errno::NOEXEC)?;
        let known = ["exit ", "wait", "no thread"].iter().any(|start| text.starts_with(start));
        if known { Ok(Box::new(Text(text))) } else { Err(Errno::NOEXEC) }
    }
}

pub(crate) struct Text(pub(crate) String);

impl Program for Text {
    fn start(self: Box<Self>, process: &Arc<Process>) -> Result<()> {
        if self.0 == "no thread" {
            return Err(Errno::AGAIN);
        }
        let process = Arc::clone(process);
        std::thread::spawn(move || {
            let exit = match self.0.strip_prefix("exit ") {
                Some(status) => Exit::Status(status.parse().unwrap()),
                None => {
                    let _ = process.sleep(Duration::from_secs(60));
                    Exit::Status(99)
                }
            };
            process.end(exit);
        });
        Ok(())
    }
}

pub(crate) struct Family {
    table: Arc<ProcessTable>,
    first: Arc<Process>,
    files: Files,
}

impl Family {
    pub(crate) fn new(limit: usize) -> Family {
        let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())));
        let table = Arc::new(ProcessTable::with_limit(limit));
        let root = namespace.root().clone();
        let builder = Process::builder(Arc::clone(&namespace)).policy(Policy::Posix);
        let builder = builder.preopen("/", root).processes(Arc::clone(&table)).arg("first").env("A", "1");
        let first = Arc::new(builder.build().unwrap());
        table.add(&first).unwrap();
        first.set_loader(Arc::new(Texts));
        Family { table, first, files: Files::of(&namespace) }
    }

    pub(crate) fn table(&self) -> &Arc<ProcessTable> {
        &self.table
    }

    pub(crate) fn first(&self) -> &Arc<Process> {
        &self.first
    }

    pub(crate) fn process(&self, pid: u32) -> Arc<Process> {
        self.table.process(pid).unwrap()
    }

    /// Puts an executable file there.
    pub(crate) fn program(&self, path: &str, text: &str) {
        self.files.write(path, text).unwrap();
        self.files.chmod(path, Mode::from_raw(0o755)).unwrap();
    }

    pub(crate) fn spawn(&self, parent: &Process, script: Script) -> Result<u32> {
        let text = script.text();
        let path = format!("/{}", text.replace(' ', "-"));
        self.program(&path, &text);
        self.spawn_with(parent, &path, Vec::new())
    }

    pub(crate) fn spawn_with(
        &self,
        parent: &Process,
        path: &str,
        actions: Vec<Result<SpawnAction>>,
    ) -> Result<u32> {
        parent.spawn(&Spawn { execute: execute(path), ignored: None }, actions)
    }

    /// Waits until a process has ended and was not waited for.
    pub(crate) fn is_zombie(&self, pid: u32) {
        let start = Instant::now();
        while self.table.process(pid).is_some_and(|process| process.exit().is_none())
            || self.table.pids().contains(&pid)
        {
            assert!(start.elapsed() < Duration::from_secs(10), "{pid} goes on");
            std::thread::yield_now();
        }
        self.table.parent(pid).unwrap();
    }
}

pub(crate) fn execute(path: &str) -> Execute {
    let args = vec![path.into(), b"argument".to_vec()];
    Execute { path: path.into(), args, env: None, search: Search::No }
}
