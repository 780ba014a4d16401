//! Running the command in tests.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "a part of tests, of which each uses some")]

pub(crate) mod hosts;
pub(crate) mod native;
pub(crate) mod sandboxes;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command, with a cache of compiled modules that the tests share.
pub(crate) fn vnode() -> Command {
    let none = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-sandboxes");
    vnode_in(Command::new(env!("CARGO_BIN_EXE_vnode")), &none)
}

/// A command that may be `vnode`, or run it, with sandboxes of its own.
pub(crate) fn vnode_in(mut command: Command, state: &Path) -> Command {
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")).stdin(Stdio::null());
    command.env("XDG_STATE_HOME", state);
    command
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `vnode` with these arguments.
pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    vnode().args(arguments).output().unwrap().into()
}

/// Runs `vnode` with input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A guest need not read all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

impl Ran {
    /// That it failed before the guest started: nothing on stdout, a sentence on stderr.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.starts_with("vnode: "), "{self:?}");
        assert!(self.stderr.contains(says), "{says}\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }

    /// That the guest ran to its end and wrote this.
    #[track_caller]
    pub(crate) fn prints(&self, stdout: &str) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stdout, stdout, "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
    }
}

/// A guest of the repository.
pub(crate) fn guest(name: &str) -> String {
    format!("{}/../../guests/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"))
}

/// A directory with a module in the text format, `m.wat`, whose text is put between imports that most want and `)`.
pub(crate) struct Module {
    pub(crate) directory: tempfile::TempDir,
}

const PRELUDE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $dir_name (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_create_directory"
        (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
    (memory (export "memory") 2)
    (func $print (param $fd i32) (param $at i32) (param $len i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"#;

impl Module {
    /// A module with this body behind the usual imports and `$print`.
    pub(crate) fn new(body: &str) -> Module {
        Module::text(&format!("{PRELUDE}{body})"))
    }

    /// A module with this text.
    pub(crate) fn text(text: &str) -> Module {
        let module = Module { directory: tempfile::tempdir().unwrap() };
        std::fs::write(module.path(), text).unwrap();
        module
    }

    pub(crate) fn path(&self) -> String {
        self.directory.path().join("m.wat").to_str().unwrap().to_owned()
    }

    /// Runs it with options and arguments.
    pub(crate) fn run(&self, options: &[&str], arguments: &[&str]) -> Ran {
        let path = self.path();
        run(["run"].iter().chain(options).chain([&path.as_str()]).chain(arguments))
    }
}

/// Prints its arguments, NUL bytes between them.
pub(crate) const PRINT_ARGS: &str = r#"(func (export "_start")
    (drop (call $args_sizes (i32.const 16) (i32.const 20)))
    (drop (call $args (i32.const 1000) (i32.const 60000)))
    (call $print (i32.const 1) (i32.const 60000) (i32.load (i32.const 20))))"#;

/// Prints its environment, NUL bytes between the variables.
pub(crate) const PRINT_ENV: &str = r#"(func (export "_start")
    (drop (call $env_sizes (i32.const 16) (i32.const 20)))
    (drop (call $env (i32.const 1000) (i32.const 60000)))
    (call $print (i32.const 1) (i32.const 60000) (i32.load (i32.const 20))))"#;

/// Prints the name of each preopen, a space behind it.
pub(crate) const PRINT_PREOPENS: &str = r#"(func (export "_start") (local $fd i32) (local $len i32)
    (local.set $fd (i32.const 3))
    (loop $next
        (if (i32.eqz (call $prestat (local.get $fd) (i32.const 16))) (then
            (local.set $len (i32.load (i32.const 20)))
            (drop (call $dir_name (local.get $fd) (i32.const 100) (local.get $len)))
            (i32.store8 (i32.add (i32.const 100) (local.get $len)) (i32.const 32))
            (call $print (i32.const 1) (i32.const 100) (i32.add (local.get $len) (i32.const 1)))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br $next)))))"#;

/// Exits with the error number of a call with the path "f" in the first preopen.
pub(crate) fn exits_with(call: &str) -> Module {
    Module::new(&format!(r#"(data (i32.const 100) "f/abs") (func (export "_start") (call $exit {call}))"#))
}

/// Creating the file "f".
pub(crate) const CREATE: &str = "(call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1)
    (i32.const 5) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8))";
