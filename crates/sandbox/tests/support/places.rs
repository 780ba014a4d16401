//! Sandboxes of a store, and a directory that they show.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vnode_sandbox::{Lower, Mount, Sandbox, Store, View};

use super::as_root;
use super::guest::Guest;

/// A store, and an empty directory to show.
pub(crate) struct Places(TempDir);

impl Places {
    pub(crate) fn new() -> Self {
        let places = Places(tempfile::tempdir().unwrap());
        fs::create_dir(places.host()).unwrap();
        places
    }

    pub(crate) fn host(&self) -> PathBuf {
        self.0.path().join("host")
    }

    /// A file of the directory's.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.host().join(name)).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        Store::at(self.0.path().join("state/vnode"))
    }

    pub(crate) fn mount(&self) -> Mount {
        Mount { guest: b"/".to_vec(), lowers: vec![Lower::Directory(self.host())], ..Mount::default() }
    }

    pub(crate) fn create(&self, name: &str) -> Sandbox {
        self.store().create(name, vec![self.mount()]).unwrap()
    }

    /// Names in a directory of the store.
    pub(crate) fn names(&self, of: &str) -> Vec<String> {
        let list = fs::read_dir(self.store().directory().join(of)).unwrap();
        let mut names: Vec<String> =
            list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// How many of a sandbox's uppers others may have, too.
    pub(crate) fn frozen(&self, name: &str) -> usize {
        let record = self.store().directory().join("sandboxes").join(name).join("sandbox.json");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        record["mounts"][0]["frozen"].as_array().map_or(0, Vec::len)
    }
}

/// What a guest does in a run.
pub(crate) fn run<T>(sandbox: &Sandbox, guest: impl FnOnce(&Guest<'_>) -> T) -> T {
    let views = sandbox.views().unwrap();
    guest(&Guest(&views[0].view.filesystem))
}

/// A run that writes a file.
pub(crate) fn write(sandbox: &Sandbox, path: &str, text: &str) {
    run(sandbox, |guest| guest.write(path, text)).unwrap();
}

/// What a file has; nothing if there is none.
pub(crate) fn read(sandbox: &Sandbox, path: &str) -> Option<String> {
    run(sandbox, |guest| guest.read(path)).ok().map(|text| String::from_utf8(text).unwrap())
}

/// The changes, each by its letter and its path.
pub(crate) fn told(sandbox: &Sandbox) -> Vec<String> {
    told_of(&sandbox.views().unwrap()[0].view)
}

/// The same of a view.
pub(crate) fn told_of(view: &View) -> Vec<String> {
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let line =
        |change: &vnode_sandbox::Change| format!("{} {}", change.kind.letter(), change.path.escape_ascii());
    changes.iter().map(line).collect()
}
