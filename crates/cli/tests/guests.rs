//! The guests of `guests/src`, run by the vnode command on its memory filesystem, and on an empty directory of the host.
//!
//! A guest with a native twin is also built by the host's C compiler from the same source and run on the kernel,
//! confined to an empty directory on tmpfs; all must print the same bytes and end with the same code. That needs
//! root, for `chroot`, and a compiler; elsewhere the comparison is skipped and said so, and the guest has to
//! run all the same. A guest over the raw ABI has no twin: it checks itself.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::native::{EmptyRoot, compile, is_root, repository};

/// A guest by its name. `cargo xtask tidy` looks for these.
macro_rules! guest {
    ($name:literal) => {
        Guest { name: $name, arguments: &["/work"], environment: &[], input: "", spawns: false, blanks: 0 }
    };
}

/// One that spawns itself as `/bin/NAME`.
macro_rules! family {
    ($name:literal) => {
        Guest { spawns: true, ..guest!($name) }
    };
}

/// A guest and how it is started.
struct Guest {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    input: &'static str,
    /// Whether it finds itself at `/bin`.
    spawns: bool,
    /// How many empty files it finds there that may be executed, `blank0` and so on.
    blanks: u32,
}

/// What a run gave.
#[derive(PartialEq)]
struct Outcome {
    stdout: Vec<u8>,
    code: Option<i32>,
}

impl Guest {
    /// On a memory filesystem.
    fn on_vnode(&self) -> Output {
        match self.spawns {
            true => {
                let root = EmptyRoot::new(self.name, "copied");
                self.fill(&root, &self.module());
                self.on_vnode_with(&["--copy", &format!("{}::/", root.0.display())])
            }
            false => self.on_vnode_with(&[]),
        }
    }

    /// Puts at `/bin` what it finds there.
    fn fill(&self, root: &EmptyRoot, program: &Path) {
        root.give(self.name, &fs::read(program).unwrap());
        (0..self.blanks).for_each(|index| root.give(&format!("blank{index}"), &[]));
    }

    fn module(&self) -> PathBuf {
        repository().join(format!("guests/built/{}.wasm", self.name))
    }

    /// On an empty directory of the host.
    fn on_host(&self) -> Output {
        let root = EmptyRoot::new(self.name, "host");
        if self.spawns {
            self.fill(&root, &self.module());
        }
        self.on_vnode_with(&["--dir", &format!("{}::/", root.0.display())])
    }

    fn on_vnode_with(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vnode"));
        command.args(["run", "--timeout", "100s", "--max-processes", "1000"]).args(options);
        for (name, value) in self.environment {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(self.module()).args(self.arguments);
        feed(&mut command, self.input)
    }

    /// The twin's outcome on the kernel, or why there is none.
    fn on_kernel(&self) -> Result<Outcome, String> {
        let program = compile(self.name, self.spawns)?;
        let source = fs::read_to_string(repository().join(format!("guests/src/{}.c", self.name))).unwrap();
        if source.contains("#include \"guest.h\"") && !is_root() {
            return Err("only root can confine a native program by chroot".to_owned());
        }
        let root = EmptyRoot::new(self.name, "kernel");
        if self.spawns {
            self.fill(&root, &program);
        }
        let mut command = Command::new(&program);
        command.env_clear().env("GUEST_ROOT", &root.0).envs(self.environment.iter().copied());
        let output = feed(command.args(self.arguments), self.input);
        let _ = fs::remove_file(program);
        assert!(output.status.code().is_some(), "{}: the native twin ended by {}", self.name, output.status);
        Ok(Outcome { stdout: output.stdout, code: output.status.code() })
    }
}

fn feed(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that doesn't read its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Lines that differ, the first few of them.
fn differences(vnode: &[u8], kernel: &[u8]) -> String {
    let (vnode, kernel) = (String::from_utf8_lossy(vnode), String::from_utf8_lossy(kernel));
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (vnode.lines().collect(), kernel.lines().collect());
    let mut text = String::new();
    for index in 0..ours.len().max(theirs.len()) {
        let (our, their) = (ours.get(index), theirs.get(index));
        if our != their {
            let (our, their) = (our.unwrap_or(&"(nothing)"), their.unwrap_or(&"(nothing)"));
            text += &format!("line {}\n  vnode:  {our}\n  kernel: {their}\n", index + 1);
        }
        if text.len() > 3000 {
            break;
        }
    }
    text
}

/// Runs the guest on vnode's memory, on a host directory and on the kernel; all must say the same.
fn twin(guest: &Guest) {
    let kernel = guest.on_kernel();
    if let Err(why) = &kernel {
        // Past the test runner, which shows what a test prints only if it fails.
        let _ = writeln!(std::io::stderr(), "skipped: {} is not compared with the kernel: {why}", guest.name);
        assert!(!is_root() || why.starts_with("no C compiler"), "root has the means: {why}");
    }
    for (on, output) in [("memory", guest.on_vnode()), ("a host directory", guest.on_host())] {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let vnode = Outcome { stdout: output.stdout, code: output.status.code() };
        let Ok(kernel) = &kernel else {
            assert!(!vnode.stdout.is_empty() && vnode.code.is_some(), "{} on {on}: {stderr}", guest.name);
            continue;
        };
        assert!(
            vnode == *kernel,
            "{} on {on}: vnode ended with {:?}, the kernel with {:?}\n{}{stderr}",
            guest.name,
            vnode.code,
            kernel.code,
            differences(&vnode.stdout, &kernel.stdout)
        );
    }
}

/// Runs a guest that checks itself, on memory and on a host directory.
fn self_check(guest: &Guest) {
    for (on, output) in [("memory", guest.on_vnode()), ("a host directory", guest.on_host())] {
        let name = guest.name;
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} on {on}: {}\n{}\n{stderr}", output.status, wrong.join("\n"));
        assert!(said.lines().any(|line| line.starts_with("all as expected: ")), "{name} on {on}: {said}");
    }
}

/// One test for each guest with a native twin that needs nothing but its scratch directory.
macro_rules! twins {
    ($($test:ident: $guest:expr,)*) => { $( #[test] fn $test() { twin(&$guest); } )* };
}

/// One test for each guest that checks itself.
macro_rules! self_checks {
    ($($test:ident: $guest:expr,)*) => { $( #[test] fn $test() { self_check(&$guest); } )* };
}

twins! {
    bench: guest!("bench"),
    children: family!("children"),
    clocks: guest!("clocks"),
    copies: guest!("copies"),
    directories: guest!("directories"),
    events: guest!("events"),
    exec: Guest { blanks: 8, ..family!("exec") },
    fdtable: guest!("fdtable"),
    hardlinks: guest!("hardlinks"),
    here: guest!("here"),
    iovec: guest!("iovec"),
    jumps: guest!("jumps"),
    killing: family!("killing"),
    layers: guest!("layers"),
    links: guest!("links"),
    openflags: guest!("openflags"),
    orphan: guest!("orphan"),
    paths: guest!("paths"),
    pipes: guest!("pipes"),
    pipelines: family!("pipelines"),
    polling: guest!("polling"),
    readdir: guest!("readdir"),
    rename: guest!("rename"),
    signals: guest!("signals"),
    sockpairs: guest!("sockpairs"),
    spawn: family!("spawn"),
    sparse: guest!("sparse"),
    times: guest!("times"),
    truncate: guest!("truncate"),
}

self_checks! {
    calls: guest!("calls"),
    dirents: guest!("dirents"),
    exhaustion: guest!("exhaustion"),
    pointers: guest!("pointers"),
    rights: guest!("rights"),
    unstable: guest!("unstable"),
}

#[test]
fn rates_of_processes() {
    twin(&Guest { arguments: &["/work", "/bin/rates"], ..family!("rates") });
}

#[test]
fn a_shell_runs_its_commands() {
    let input = include_str!("support/commands.sh");
    twin(&Guest { arguments: &[], input, ..family!("shell") });
}

/// The demonstration: no options, no arguments, and it finds everything as on Linux.
#[test]
fn tour() {
    let tour = Guest { arguments: &[], ..guest!("tour") };
    twin(&tour);
    let output = tour.on_vnode();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.trim_end().ends_with("checks as on Linux."), "{said}");
    assert!(output.stderr.is_empty());
}

#[test]
fn stdio_with_arguments_environment_and_input() {
    twin(&Guest {
        arguments: &["/work", "one", "two words", "", "-x", "--env"],
        environment: &[("GREETING", "hello there"), ("EMPTY", ""), ("EQUALS", "a=b")],
        input: "first\nsecond\n\nlast without an end",
        ..guest!("stdio")
    });
    twin(&Guest { arguments: &["/work"], ..guest!("stdio") });
}

#[test]
fn files_by_the_paths_that_people_write() {
    twin(&Guest {
        arguments: &[
            "mkdir",
            "/a",
            ":",
            "mkdir",
            "/a/b/",
            ":",
            "write",
            "/a/f",
            "one",
            ":",
            "append",
            "/a/f",
            "two",
            ":",
            "cat",
            "/a/f",
            ":",
            "create",
            "/a/f",
            "x",
            ":",
            "overwrite",
            "/a/none",
            "x",
            ":",
            "symlink",
            "../f",
            "/a/b/link",
            ":",
            "cat",
            "/a/b/link",
            ":",
            "readlink",
            "/a/b/link",
            ":",
            "link",
            "/a/f",
            "/hard",
            ":",
            "touch",
            "/hard",
            "1000000000",
            ":",
            "stat",
            "/a/b/link",
            ":",
            "rename",
            "/a/b",
            "/c",
            ":",
            "cat",
            "/c/link",
            ":",
            "truncate",
            "/hard",
            ":",
            "stat",
            "/hard",
            ":",
            "ftruncate",
            "/hard",
            ":",
            "rmdir",
            "/a",
            ":",
            "unlink",
            "/a",
            ":",
            "unlink",
            "/a/f",
            ":",
            "rmdir",
            "/a/",
            ":",
            "list",
            "/c",
            ":",
            "list",
            "/a",
            ":",
            "hold",
            "/c/h",
            "20",
            ":",
            "list",
            "/c",
            ":",
            "wait",
            ":",
            "lstat",
            "/c",
        ],
        input: "go on\n",
        ..guest!("files")
    });
}

#[test]
fn exit_codes_are_the_guests_own() {
    for arguments in [&["0"], &["1"], &["7"], &["127"], &["255"], &["256"], &["300"]] {
        twin(&Guest { arguments, ..guest!("exitcode") });
    }
    twin(&Guest { arguments: &["3", "at once"], ..guest!("exitcode") });
}

#[test]
fn a_trap_ends_with_134_and_says_why() {
    let ways: [(&str, &'static [&'static str]); 5] = [
        ("unreachable", &["unreachable"]),
        ("bounds", &["bounds"]),
        ("divide", &["divide"]),
        ("call", &["call"]),
        ("abort", &["abort"]),
    ];
    for (how, arguments) in ways {
        let output = Guest { arguments, ..guest!("trap") }.on_vnode();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(134), "{how}: {stderr}");
        assert_eq!(output.stdout, b"before\n", "{how}");
        assert!(stderr.contains("vnode: "), "{how}: {stderr}");
    }
}

#[test]
fn jumps_to_nowhere_end_with_134_and_say_why() {
    for arguments in [&["zero"], &["invented"], &["gone"]] {
        let output = Guest { arguments, ..guest!("strayjumps") }.on_vnode();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(134), "{arguments:?}: {stderr}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(stderr.contains("the guest jumped to a place on its stack that is not there"), "{stderr}");
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    twin(&Guest { arguments: &["10000"], ..guest!("recursion") });
    let output = Guest { arguments: &[], ..guest!("recursion") }.on_vnode();
    assert_eq!(output.status.code(), Some(134), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"4000000000 deep\n");
}
