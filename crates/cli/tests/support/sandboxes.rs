//! Sandboxes in tests: runs and commands over a directory of the host.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "a part of tests, of which each uses some")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::hosts::Dir;
use crate::support::{Ran, guest, vnode_in};

/// A directory of the host, and a place for sandboxes.
pub(crate) struct Places {
    pub(crate) host: Dir,
    pub(crate) state: Dir,
}

impl Places {
    pub(crate) fn new() -> Places {
        let host = Dir::new();
        fs::create_dir_all(host.path().join("d/sub")).unwrap();
        for name in ["d/f", "d/sub/deep", "old", "h"] {
            fs::write(host.path().join(name), name).unwrap();
        }
        fs::hard_link(host.path().join("h"), host.path().join("i")).unwrap();
        symlink("nowhere", host.path().join("dangling")).unwrap();
        Places { host, state: Dir::new() }
    }

    pub(crate) fn vnode(&self) -> Command {
        let mut command = vnode_in(Command::new(env!("CARGO_BIN_EXE_vnode")), self.state.path());
        command.current_dir(self.host.path());
        command
    }

    /// `vnode run` of the guest that does what `steps` say.
    pub(crate) fn command(&self, options: &[&str], steps: &str) -> Command {
        let mut command = self.vnode();
        command.arg("run").args(options).arg(guest("files")).args(steps.split_whitespace());
        command
    }

    pub(crate) fn run(&self, options: &[&str], steps: &str) -> Ran {
        self.command(options, steps).output().unwrap().into()
    }

    /// Runs the guest in the sandbox `s` over the directory at `/data`; each step must be done.
    #[track_caller]
    pub(crate) fn change(&self, steps: &str) {
        let ran = self.run(&["--sandbox", "s", "--overlay", ".::/data"], steps);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.lines().all(|line| line.ends_with(": ok")), "{ran:?}");
    }

    /// `vnode sandbox` with these words.
    pub(crate) fn sandbox(&self, words: &str) -> Ran {
        self.vnode().arg("sandbox").args(words.split_whitespace()).output().unwrap().into()
    }

    /// The same, which must succeed and say nothing on stderr.
    #[track_caller]
    pub(crate) fn tells(&self, words: &str) -> String {
        let ran = self.sandbox(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        ran.stdout
    }
}

/// Changes of every kind.
pub(crate) const CHANGES: &str = "write /data/there changed : append /data/h + : rename /data/d /data/e : unlink /data/old \
    : rename /data/dangling /data/moved : create /data/new n : symlink e/f /data/link : mkdir /data/dir \
    : create /data/dir/f text : unlink /data/e/f";
