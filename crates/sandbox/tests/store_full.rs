//! The filesystem where sandboxes are kept is full, by what a guest wrote: room can be made by what makes it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::guest::Guest;
use support::host::put;
use support::places::{run, told};
use vnode_core::Errno;
use vnode_sandbox::{ApplyError, Applying, Lower, Mount, Sandbox, Store, StoreError};

/// Where the process of its own is told to mount something.
const PLACE: &str = "VNODE_STORE_FULL";

/// A filesystem for sandboxes, and a directory to show.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn new(place: &'a Path) -> Self {
        for dir in ["state", "host"] {
            fs::create_dir(place.join(dir)).unwrap();
        }
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(place.join("state"))
            .status();
        assert!(mount.unwrap().success());
        for name in ["a", "b"] {
            put(place.join("host").join(name), name);
        }
        Small(place)
    }

    /// A sandbox that took all the room there was.
    fn filled(&self) -> Sandbox {
        let lowers = vec![Lower::Directory(self.0.join("host"))];
        let mount = Mount { guest: b"/".to_vec(), lowers, ..Mount::default() };
        let mut sandbox = self.store().create("one", vec![mount]).unwrap();
        run(&sandbox, |guest| {
            guest.write("a", "guest").unwrap();
            guest.write("more", vec![1; 100_000]).unwrap();
            fill(guest);
        });
        sandbox.note_use().unwrap();
        sandbox
    }

    fn store(&self) -> Store {
        Store::at(self.0.join("state"))
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(self.0.join("state"));
        assert!(mount.status().unwrap().success());
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join("host").join(name)).unwrap()
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.join("state")).status();
        for dir in ["state", "host"] {
            let _ = fs::remove_dir_all(self.0.join(dir));
        }
    }
}

/// Writes until there is no room for a byte.
fn fill(guest: &Guest<'_>) {
    for size in [16_384, 1] {
        for number in 0.. {
            match guest.write(format!("full-{size}-{number}"), vec![1; size]) {
                Ok(()) => {}
                Err(Errno::NOSPC) => break,
                Err(errno) => panic!("{errno}"),
            }
        }
    }
}

fn free(small: &Small<'_>) -> u64 {
    rustix::fs::statvfs(small.0.join("state")).unwrap().f_bfree
}

fn try_all(place: &Path) {
    {
        let small = Small::new(place);
        let mut sandbox = small.filled();
        assert_eq!(free(&small), 0);
        sandbox.discard().unwrap();
        assert_eq!(told(&sandbox), [""; 0]);
        assert!(free(&small) > 90);
    }
    {
        let small = Small::new(place);
        let mut sandbox = small.filled();
        sandbox.apply(&Applying::default()).unwrap();
        assert_eq!(told(&sandbox), [""; 0]);
        assert!(free(&small) > 90);
        assert_eq!((small.text("a"), small.text("more").len()), ("guest".to_owned(), 100_000));
    }
    let small = Small::new(place);
    let mut sandbox = small.filled();
    // What is left would be copied, for which there is not enough room.
    small.grow("576k");
    sandbox.apply(&Applying { paths: Some(&[b"/a".to_vec()]), ..Applying::default() }).unwrap();
    assert_eq!(small.text("a"), "guest");
    for _ in 0..2 {
        assert!(matches!(sandbox.views(), Err(StoreError::Full { .. })));
        assert!(matches!(sandbox.fork("two"), Err(StoreError::Full { .. })));
        assert!(matches!(sandbox.apply(&Applying::default()), Err(StoreError::Full { .. })));
        drop(sandbox);
        sandbox = small.store().open("one").unwrap();
    }
    // With room it is finished by whoever opens it.
    small.grow("4m");
    drop(sandbox);
    sandbox = small.store().open("one").unwrap();
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!(small.text("more").len(), 100_000);
    drop((sandbox, small));

    // There is not even room to note that a part was applied.
    let small = Small::new(place);
    let mut sandbox = small.filled();
    let done = sandbox.apply(&Applying { paths: Some(&[b"/a".to_vec()]), ..Applying::default() });
    assert!(matches!(done, Err(StoreError::Apply { error: ApplyError::Owner { .. }, .. })), "{done:?}");
    assert_eq!(small.text("a"), "guest");
    assert!(matches!(sandbox.views(), Err(StoreError::Interrupted { .. })));
    sandbox.discard().unwrap();
    let _ = sandbox.apply(&Applying::default()).unwrap();
    assert_eq!((told(&sandbox), free(&small) > 90), (Vec::new(), true));
    assert!(!place.join("host/.vnode-apply").exists());
    assert_eq!(small.text("a"), "guest");
}

#[test]
fn room_can_be_made_where_there_is_none() {
    if let Some(place) = std::env::var_os(PLACE) {
        return try_all(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    support::mounted::alone("room_can_be_made_where_there_is_none", PLACE, place.path());
}
