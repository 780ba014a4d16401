//! Sandboxes that are forked: what both have, and how often that may be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::as_root;
use tempfile::TempDir;
use vnode_core::fs::{Access, At, Filesystem as _, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{FilesystemRef, Mode, Name, Result};
use vnode_sandbox::{Applying, Lower, Mount, Sandbox, Store, StoreError};

/// A store, and a directory to show with `file`, `dir/below` and a file of two names.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let host = top.path().join("host");
        fs::create_dir_all(host.join("dir")).unwrap();
        for name in ["file", "dir/below", "one"] {
            fs::write(host.join(name), name).unwrap();
        }
        fs::hard_link(host.join("one"), host.join("two")).unwrap();
        Places(top)
    }

    fn host(&self) -> std::path::PathBuf {
        self.0.path().join("host")
    }

    fn store(&self) -> Store {
        Store::at(self.0.path().join("state"))
    }

    fn create(&self, name: &str) -> Sandbox {
        let lowers = vec![Lower::Directory(self.host())];
        let mount = Mount { guest: b"/".to_vec(), lowers, ..Mount::default() };
        self.store().create(name, vec![mount]).unwrap()
    }

    /// How many of a sandbox's uppers others may have, too.
    fn frozen(&self, name: &str) -> usize {
        let record = self.store().directory().join("sandboxes").join(name).join("sandbox.json");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        record["mounts"][0]["frozen"].as_array().map_or(0, Vec::len)
    }
}

fn at<T>(
    fs: &FilesystemRef,
    path: &str,
    call: impl FnOnce(&vnode_core::Cx<'_>, At<'_, dyn vnode_core::fs::Inode>) -> Result<T>,
) -> Result<T> {
    as_root(|cx| {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = dir.split('/').filter(|name| !name.is_empty()).try_fold(fs.root(), |dir, name| {
            fs.lookup(cx, At { dir: &dir, name: Name::new(name.as_bytes())? })
        })?;
        call(cx, At { dir: &dir, name: Name::new(name.as_bytes())? })
    })
}

fn write(sandbox: &Sandbox, path: &str, text: &str) {
    let views = sandbox.views().unwrap();
    let fs = &views[0].view.filesystem;
    at(fs, path, |cx, at| {
        let new = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o644), uid: 0, gid: 0 };
        let inode = fs.lookup(cx, at).or_else(|_| fs.create(cx, at, new))?;
        let file = fs.open(cx, &inode, Access::WRITE)?;
        file.set_len(cx, 0)?;
        file.write_at(cx, 0, &mut Source::from_slice(text.as_bytes()))
    })
    .unwrap();
}

/// What a file has; nothing if there is none.
fn read(sandbox: &Sandbox, path: &str) -> Option<String> {
    let views = sandbox.views().unwrap();
    let fs = &views[0].view.filesystem;
    let read = at(fs, path, |cx, at| {
        let mut bytes = [0; 100];
        let file = fs.open(cx, &fs.lookup(cx, at)?, Access::READ)?;
        let read = file.read_at(cx, 0, &mut Sink::from_slice(&mut bytes))?;
        Ok(String::from_utf8(bytes[..read].to_vec()).unwrap())
    });
    read.ok()
}

fn told(sandbox: &Sandbox) -> Vec<String> {
    let views = sandbox.views().unwrap();
    let line = |change: &vnode_sandbox::Change| {
        format!("{} {}", change.kind.letter(), String::from_utf8_lossy(&change.path))
    };
    as_root(|cx| views[0].view.changes(cx)).unwrap().iter().map(line).collect()
}

#[test]
fn a_fork_has_what_was_changed_and_goes_its_own_way() {
    let places = Places::new();
    let mut one = places.create("one");
    write(&one, "file", "changed");
    write(&one, "one", "of both names");
    {
        let views = one.views().unwrap();
        let fs = &views[0].view.filesystem;
        at(fs, "dir", |cx, from| at(fs, "moved", |_, to| fs.rename(cx, from, to, Rename::NoReplace)))
            .unwrap();
    }
    let two = one.fork("two").unwrap();
    for sandbox in [&one, &two] {
        assert_eq!(told(sandbox), ["M /file", "R /moved", "M /one"]);
        assert_eq!(read(sandbox, "two").as_deref(), Some("of both names"));
        assert_eq!(read(sandbox, "moved/below").as_deref(), Some("dir/below"));
    }
    write(&one, "file", "by one");
    write(&two, "moved/below", "by two");
    {
        let views = two.views().unwrap();
        let fs = &views[0].view.filesystem;
        at(fs, "file", |cx, at| fs.remove(cx, at, Remove::File)).unwrap();
    }
    assert_eq!(read(&one, "file").as_deref(), Some("by one"));
    assert_eq!(read(&one, "moved/below").as_deref(), Some("dir/below"));
    assert_eq!((read(&two, "file"), read(&two, "moved/below").as_deref()), (None, Some("by two")));
    // Both are applied, one after the other, where they don't meet.
    drop(one);
    places.store().delete("one").unwrap();
    let mut two = two;
    two.apply(&Applying::default()).unwrap();
    assert!(!places.host().join("file").exists());
    assert_eq!(fs::read_to_string(places.host().join("moved/below")).unwrap(), "by two");
    assert_eq!(fs::read_to_string(places.host().join("two")).unwrap(), "of both names");
    assert_eq!(told(&two), [""; 0]);
    assert_eq!(places.frozen("two"), 0);
}

#[test]
fn a_thousand_forks_share_one_layer() {
    let places = Places::new();
    let mut task = places.create("task");
    for n in 0..100 {
        write(&task, &format!("file{n}"), "changed");
    }
    let start = Instant::now();
    for n in 0..1000 {
        let fork = task.fork(&format!("fork{n}")).unwrap();
        // They are not all opened: a fork is a record.
        if n % 100 == 0 {
            assert_eq!(read(&fork, "file7").as_deref(), Some("changed"));
        }
    }
    // A bound against copying, not a measure.
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
    assert_eq!((places.frozen("task"), places.frozen("fork999")), (1, 1));
    write(&places.store().open("fork500").unwrap(), "file7", "by one of them");
    assert_eq!(read(&task, "file7").as_deref(), Some("changed"));
    assert_eq!(places.store().names().unwrap().len(), 1001);
}

#[test]
fn chains_of_forks_are_bounded() {
    let places = Places::new();
    let mut last = places.create("fork0");
    for n in 1..40 {
        write(&last, &format!("file{n}"), &format!("by {n}"));
        write(&last, "file", &format!("at last by {n}"));
        last = last.fork(&format!("fork{n}")).unwrap();
        assert!(places.frozen(&format!("fork{n}")) <= 17, "{}", places.frozen(&format!("fork{n}")));
    }
    assert_eq!(read(&last, "file").as_deref(), Some("at last by 39"));
    for n in 1..40 {
        assert_eq!(read(&last, &format!("file{n}")), Some(format!("by {n}")));
    }
    assert_eq!(told(&last).len(), 40);
    // Those of before have what they had.
    let tenth = places.store().open("fork10").unwrap();
    assert_eq!(read(&tenth, "file").as_deref(), Some("at last by 11"));
    assert_eq!(told(&tenth).len(), 12);
    drop(tenth);
    // What the host changed before they were put together is found still.
    fs::write(places.host().join("file"), "the host's").unwrap();
    let refused = last.apply(&Applying::default());
    assert!(matches!(&refused, Err(StoreError::Conflicts(all)) if all.len() == 1), "{refused:?}");
    last.apply(&Applying { force: true, ..Applying::default() }).unwrap();
    assert_eq!(fs::read_to_string(places.host().join("file")).unwrap(), "at last by 39");
}
