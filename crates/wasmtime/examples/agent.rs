//! What the host of an agent does: the agent's tools run on a view of the project, each attempt in a fork of what was there before; the
//! host looks at what an attempt changed, brings the good of it to the project, and drops the rest.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example agent
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::sync::Arc;

use vnode_core::{FilesystemRef, MountFlags, Namespace};
use vnode_memory::Memory;
use vnode_sandbox::{Applying, ChangeKind, Found, Lower, Mount, Sandbox, Store, as_root};
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, Program};

/// A tool that does with files what its arguments say.
const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/built/files.wasm");

/// What the agent tries, one after the other.
const ATTEMPTS: [(&str, &str); 3] = [
    ("deletes-the-tests", "unlink /project/tests/check : write /project/src/main return-1"),
    ("fixes-the-program", "write /project/src/main return-0 : create /project/src/notes tried-twice"),
    ("plants-a-link", "symlink /etc/passwd /project/src/data : write /project/src/main return-0"),
];

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    let project = place.path().join("project");
    for (name, text) in [("src/main", "return-2"), ("tests/check", "thorough")] {
        let file = project.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&project))?;
        fs::write(file, text)?;
    }

    // A sandbox is a directory's view with the changes for itself. An agent gets 64 MiB for them.
    let store = Store::at(place.path().join("state"));
    let shows = Mount {
        guest: b"/project".to_vec(),
        lowers: vec![Lower::Directory(project.clone())],
        max_bytes: 64 << 20,
        ..Mount::default()
    };
    let mut task = store.create("task", vec![shows])?;
    let engine = Engine::new(&EngineOptions::default())?;
    let tool = engine.compile(&fs::read(TOOL)?)?;
    run_in(&task, &tool, "write /project/plan fix-it")?;

    for (name, steps) in ATTEMPTS {
        // It starts with what the task has, at no cost of copying.
        let mut attempt = task.fork_unnamed()?;
        run_in(&attempt, &tool, steps)?;
        writeln!(out, "{name}:")?;
        let is_good = look(&attempt, out)?;
        if is_good {
            // The plan isn't for the project.
            let paths = [b"/project/src".to_vec()];
            attempt.apply(&Applying { paths: Some(&paths), ..Applying::default() })?;
        }
        writeln!(out, "  {}", if is_good { "applied" } else { "dropped" })?;
        // What wasn't applied is gone with it.
    }
    writeln!(out, "the program is {}", fs::read_to_string(project.join("src/main"))?)?;
    writeln!(out, "the tests are {}", fs::read_to_string(project.join("tests/check"))?)?;
    writeln!(out, "there is a plan: {}", project.join("plan").exists())?;
    Ok(())
}

/// Runs the tool in a sandbox.
fn run_in(sandbox: &Sandbox, tool: &Program, steps: &str) -> Result<(), Box<dyn Error>> {
    let namespace = Namespace::new(FilesystemRef::new::<Memory>(Memory::new()));
    for mounted in sandbox.views()? {
        namespace.mount_at(&mounted.guest, &mounted.view.filesystem, MountFlags::empty())?;
    }
    let guest = Guest::in_namespace(Arc::new(namespace)).preopen("/", "/").arg("files");
    let guest = guest.args(steps.split_whitespace()).build(tool.module())?;
    match tool.run(guest)? {
        Outcome::Exited(0) => Ok(()),
        other => Err(format!("the tool ended with {other:?}").into()),
    }
}

/// Tells what an attempt changed; answers whether that is what it may.
fn look(attempt: &Sandbox, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    let mut is_good = true;
    for mounted in attempt.views()? {
        for change in mounted.changes()? {
            write!(out, "  {} {}", change.kind.letter(), change.path.escape_ascii())?;
            if change.kind == ChangeKind::Modified
                && let (Some(old), Some(new)) = (&change.old, &change.new)
            {
                write!(out, ": {} -> {}", text(old)?, text(new)?)?;
            }
            writeln!(out)?;
            let is_link = change.new.is_some_and(|new| new.kind() == vnode_core::FileType::Symlink);
            is_good &= !is_link && (change.path.starts_with(b"/src/") || change.path == b"/plan");
        }
    }
    Ok(is_good)
}

/// The beginning of a file: it may be as long as the agent liked.
fn text(file: &Found) -> vnode_core::Result<String> {
    let mut bytes = [0; 40];
    let read = as_root(|cx| file.read_at(cx, 0, &mut bytes))?;
    Ok(String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
