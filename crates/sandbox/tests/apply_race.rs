//! Links lead outside, and are swapped with directories while an apply runs: nothing outside is ever touched.
//!
//! `VNODE_APPLY_RACE=60 cargo test -p vnode-sandbox --test apply_race` goes on for as many seconds each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use support::as_root;
use support::exact::{Exact, exact};
use support::guest::Guest;
use support::host::{list, put};
use support::random::Random;
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{Applied, ApplyError, ApplyOptions, Progress, View, recover};

/// A place for a test: what is changed, and what is outside.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        let place = Place { dir: dir.unwrap() };
        let outside = place.outside();
        for dir in ["", "sub", "in", "out", ".vnode-apply"] {
            fs::create_dir_all(outside.join(dir)).unwrap();
        }
        for file in ["passwd", "f", "g", "sub/f", "sub/h", "1", "2", "in/1", "out/1", "moved"] {
            put(outside.join(file), &format!("outside {file}"));
        }
        fs::set_permissions(outside.join("f"), fs::Permissions::from_mode(0o640)).unwrap();
        place
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// A new directory to change.
    fn target(&self) -> PathBuf {
        let target = self.dir.path().join("target");
        // Somebody may still be swapping what is in it.
        while target.exists() {
            let _ = fs::remove_dir_all(&target);
        }
        fs::create_dir(&target).unwrap();
        for dir in ["a", "a/sub", "d", "d/e", "gone"] {
            fs::create_dir(target.join(dir)).unwrap();
        }
        for file in ["a/passwd", "a/f", "a/g", "a/sub/f", "d/f", "d/e/f", "gone/f", "gone/h", "top"] {
            put(target.join(file), &format!("old {file}"));
        }
        // What names are swapped with.
        symlink(self.outside(), target.join("swap")).unwrap();
        target
    }
}

/// Changes in and below directories that are swapped.
fn change_all(guest: &Guest<'_>) -> vnode_core::Result<()> {
    guest.write("a/passwd", "new passwd")?;
    guest.chmod("a/f", 0o600)?;
    guest.set_xattr("a/g", b"user.told", b"so")?;
    guest.remove("a/sub/f", Remove::File)?;
    guest.write("a/sub/h", "new h")?;
    guest.make("a/sub/new", NewKind::Directory)?;
    guest.write("a/sub/new/f", "new f")?;
    guest.rename("d/e", "a/e", Rename::Replace)?;
    guest.write("a/e/f", "other f")?;
    guest.link("a/g", "d/g")?;
    guest.chmod("d", 0o700)?;
    guest.remove_all("gone")?;
    guest.make("gone", NewKind::Symlink(b"../outside"))?;
    guest.write("top", "new top")
}

type Outcome = Result<Applied, ApplyError>;

fn opened(target: &Path) -> View {
    let view = View::of(target).open().unwrap();
    change_all(&Guest(&view.filesystem)).unwrap();
    view
}

fn apply(view: &View, options: &ApplyOptions<'_>) -> Outcome {
    as_root(|cx| view.apply(cx, &view.changes(cx).unwrap(), options))
}

/// Swaps a name with `swap`, and follows no link itself.
fn exchange(target: &Path, name: &str) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let swap = || -> rustix::io::Result<()> {
        let root = openat(CWD, target, flags, Mode::empty())?;
        let (above, name) = name.rsplit_once('/').unwrap_or((".", name));
        let above = openat(&root, above, flags, Mode::empty())?;
        renameat_with(&above, name, &root, "swap", RenameFlags::EXCHANGE)
    };
    swap().is_ok()
}

fn assert_untouched(outside: &Path, before: &Exact, context: &str) {
    let now = exact(outside);
    let only = |one: &Exact, other: &Exact| -> Vec<String> {
        let other = one.iter().filter(|(path, what)| other.get(*path) != Some(*what));
        other.map(|(path, what)| format!("{} {what}", path.display())).collect()
    };
    assert!(now == *before, "{context}: {:#?} is now {:#?}", only(before, &now), only(&now, before));
}

#[test]
fn links_are_swapped_at_each_step() {
    let place = Place::new();
    let outside = exact(&place.outside());
    let steps = Cell::new(0);
    let count = |_: Progress| steps.set(steps.get() + 1);
    let view = opened(&place.target());
    apply(&view, &ApplyOptions { progress: Some(&count), ..ApplyOptions::default() }).unwrap();
    let steps = steps.get();
    assert!(steps > 15, "{steps} steps");
    for name in
        ["a", "a/sub", "d", "d/e", "gone", "a/f", "a/g", "a/passwd", ".vnode-apply", ".vnode-apply/in"]
    {
        for (first, last) in (0..steps).flat_map(|first| [1, 3, steps].map(|more| (first, first + more))) {
            for force in [false, true] {
                let context = format!("{name} from step {first} to {last}, {force}");
                let target = place.target();
                let view = opened(&target);
                let (at, swapped) = (Cell::new(0), Cell::new(false));
                let swap = |_: Progress| {
                    if at.get() == first || at.get() == last {
                        swapped.set(exchange(&target, name) != swapped.get());
                    }
                    at.set(at.get() + 1);
                };
                let options = ApplyOptions { progress: Some(&swap), force, ..ApplyOptions::default() };
                let done = apply(&view, &options);
                assert_untouched(&place.outside(), &outside, &context);
                // While it is still so, and when it is right again.
                let options = ApplyOptions::default();
                let _ = as_root(|cx| recover(cx, &target, &options));
                assert_untouched(&place.outside(), &outside, &context);
                if swapped.get() {
                    exchange(&target, name);
                }
                let later = as_root(|cx| recover(cx, &target, &options));
                assert_untouched(&place.outside(), &outside, &context);
                let refused = matches!(later, Err(ApplyError::Reserved { .. } | ApplyError::Busy { .. }));
                assert!(later.is_ok() || refused, "{context}: {done:?}, {later:?}");
            }
        }
    }
}

/// How long names are swapped by another thread.
fn long() -> Duration {
    let seconds = std::env::var("VNODE_APPLY_RACE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// Swaps names all the time while `round` is called again and again.
fn while_swapping(place: &Place, names: &[&str], mut round: impl FnMut()) {
    let (ended, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let target = place.dir.path().join("target");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(1);
            while !ended.load(Ordering::Relaxed) {
                let name = random.of(names);
                if exchange(&target, name) {
                    swaps.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..random.below(2000) {
                        std::hint::spin_loop();
                    }
                    exchange(&target, name);
                }
                for _ in 0..random.below(4000) {
                    std::hint::spin_loop();
                }
            }
        });
        let begun = Instant::now();
        let mut rounds = 0;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while begun.elapsed() < long() {
                round();
                rounds += 1;
            }
        }));
        ended.store(true, Ordering::Relaxed);
        println!("{rounds} rounds, {} swaps", swaps.load(Ordering::Relaxed));
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        assert!(rounds > 10 && swaps.load(Ordering::Relaxed) > 10);
    });
}

/// Another thread swaps names, and the changes are applied and completed over and over.
#[test]
fn links_are_swapped_all_the_time() {
    let place = Place::new();
    let outside = exact(&place.outside());
    let done = Cell::new((0, 0, 0));
    while_swapping(&place, &["a", "a/sub", "d", "a/e", "gone", ".vnode-apply", ".vnode-apply/in"], || {
        let target = place.target();
        // What the guest meets is as it is just then.
        let view = View::of(&target).open().unwrap();
        let _ = change_all(&Guest(&view.filesystem));
        let Ok(changes) = as_root(|cx| view.changes(cx)) else { return };
        let options = ApplyOptions { force: true, ..ApplyOptions::default() };
        let first = as_root(|cx| view.apply(cx, &changes, &options));
        let second = as_root(|cx| recover(cx, &target, &options));
        assert_untouched(&place.outside(), &outside, "while names are swapped");
        let (whole, half, refused) = done.get();
        done.set(match (first, second) {
            (Ok(_), _) => (whole + 1, half, refused),
            (Err(ApplyError::Unfinished { .. }), _) => (whole, half + 1, refused),
            _ => (whole, half, refused + 1),
        });
    });
    println!("{:?}: applied, unfinished, refused", done.get());
}

/// Attributes of a file, and what is in it: all but what another name for it changes.
fn told(file: &Path) -> String {
    let meta = fs::metadata(file).unwrap();
    let mut names = [0; 1024];
    let xattrs = rustix::fs::listxattr(file, &mut names[..]).unwrap();
    let modified = meta.modified().unwrap();
    format!("{:o} {modified:?} {:?} {xattrs}", meta.permissions().mode(), fs::read(file).unwrap())
}

/// What is swapped with a file is another name of one that is outside.
#[test]
fn files_of_outside_come_to_names_that_are_changed() {
    let place = Place::new();
    let precious = place.outside().join("f");
    let before = told(&precious);
    let swap_at = |first: u64, name: &str| {
        let target = place.target();
        let view = opened(&target);
        fs::remove_file(target.join("swap")).unwrap();
        fs::hard_link(&precious, target.join("swap")).unwrap();
        let at = Cell::new(0);
        let swap = |_: Progress| {
            if at.replace(at.get() + 1) == first {
                exchange(&target, name);
            }
        };
        let done = apply(&view, &ApplyOptions { progress: Some(&swap), ..ApplyOptions::default() });
        assert_eq!(told(&precious), before, "{name} at step {first}: {done:?}");
        let _ = as_root(|cx| recover(cx, &target, &ApplyOptions::default()));
        assert_eq!(told(&precious), before, "{name} at step {first}: {done:?}");
        at.get() <= first
    };
    for name in ["a/f", "a/g", "d/g", "a/passwd", "top", "d", "gone"] {
        let last = (0..200).find(|&first| swap_at(first, name));
        assert!(last.is_some_and(|last| last > 15), "{last:?}");
    }
}

/// The same when what was interrupted is gone on with.
#[test]
fn files_of_outside_come_to_names_before_it_is_gone_on() {
    let place = Place::new();
    let precious = place.outside().join("f");
    let before = told(&precious);
    let interrupt_at = |first: u64, name: &str| {
        let target = place.target();
        let view = opened(&target);
        fs::remove_file(target.join("swap")).unwrap();
        fs::hard_link(&precious, target.join("swap")).unwrap();
        let at = Cell::new(0);
        let end = |_: Progress| {
            if at.replace(at.get() + 1) == first {
                std::panic::resume_unwind(Box::new(()));
            }
        };
        let options = ApplyOptions { progress: Some(&end), ..ApplyOptions::default() };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| apply(&view, &options)));
        exchange(&target, name);
        let later = as_root(|cx| recover(cx, &target, &ApplyOptions::default()));
        assert!(later.is_ok(), "{name} at step {first}: {later:?}");
        assert_eq!(told(&precious), before, "{name} at step {first}");
        ended.is_ok()
    };
    for name in ["a/f", "a/g", "d/g", "a/passwd", "top", "d", "gone"] {
        let last = (0..200).find(|&first| interrupt_at(first, name));
        assert!(last.is_some_and(|last| last > 15), "{last:?}");
    }
}

/// The path to the directory leads elsewhere when the changes are applied.
#[test]
fn the_directory_itself_is_another_one() {
    for emulated in [false, true] {
        let place = Place::new();
        let (target, outside) = (place.target(), place.outside());
        let view = View::of(&target).emulate_symlinks(emulated).open().unwrap();
        Guest(&view.filesystem).write("new", "nothing that was there is touched").unwrap();
        let before = exact(&outside);
        fs::rename(&target, place.dir.path().join("away")).unwrap();
        symlink(&outside, &target).unwrap();
        let refused = apply(&view, &ApplyOptions::default());
        assert_untouched(&outside, &before, "a link to it");
        assert!(refused.is_err(), "{refused:?}");
        fs::remove_file(&target).unwrap();
        fs::rename(&outside, &target).unwrap();
        let before = exact(&target);
        let refused = apply(&view, &ApplyOptions::default());
        assert_untouched(&target, &before, "it is it");
        assert!(refused.is_err(), "{refused:?}");
    }
}

/// `a -> /outside`, then `a/passwd`, one way and the other.
#[test]
fn links_of_guests_lead_nowhere_else() {
    let place = Place::new();
    let (outside, before) = (place.outside(), exact(&place.outside()));
    let link = outside.as_os_str().as_encoded_bytes().to_vec();

    // A directory becomes a link, and a link a directory.
    let target = place.target();
    let view = View::of(&target).open().unwrap();
    let guest = Guest(&view.filesystem);
    let change = || -> vnode_core::Result<()> {
        guest.remove_all("a")?;
        guest.make("a", NewKind::Symlink(&link))?;
        guest.remove("swap", Remove::File)?;
        guest.make("swap", NewKind::Directory)?;
        guest.write("swap/passwd", "inside passwd")?;
        guest.make("swap/f", NewKind::Symlink(&link))?;
        guest.make("d/up", NewKind::Symlink(b"../../outside"))
    };
    change().unwrap();
    assert!(guest.write("a/passwd", "through the link").is_err());
    apply(&view, &ApplyOptions::default()).unwrap();
    assert_untouched(&outside, &before, "types are changed");
    assert_eq!(fs::read_link(target.join("a")).unwrap(), outside);
    assert_eq!(fs::read_to_string(target.join("swap/passwd")).unwrap(), "inside passwd");

    // The directory that was changed is a link by now.
    for force in [false, true] {
        let target = place.target();
        let upper = tempfile::tempdir_in(place.dir.path()).unwrap();
        let opened = || View::of(&target).changes_in(upper.path().join("changes")).open().unwrap();
        change_all(&Guest(&opened().filesystem)).unwrap();
        fs::remove_dir_all(target.join("a")).unwrap();
        symlink(&outside, target.join("a")).unwrap();
        let view = opened();
        let done = apply(&view, &ApplyOptions { force, ..ApplyOptions::default() });
        assert_untouched(&outside, &before, "a link took its place");
        if !force {
            assert!(matches!(done, Err(ApplyError::Conflicts(_))), "{done:?}");
            assert_eq!(fs::read_link(target.join("a")).unwrap(), outside);
            continue;
        }
        done.unwrap();
        assert!(fs::symlink_metadata(target.join("a")).unwrap().is_dir());
        assert_eq!(fs::read_to_string(target.join("a/passwd")).unwrap(), "new passwd");
    }
}

#[test]
fn staging_that_is_a_link_or_a_file_is_refused() {
    let place = Place::new();
    let outside = place.outside();
    let before = exact(&outside);
    for theirs in ["outside/.vnode-apply", "outside", "none", ".vnode-apply"] {
        let target = place.target();
        symlink(Path::new("..").join(theirs), target.join(".vnode-apply")).unwrap();
        let (view, listed) = (opened(&target), list(&target));
        for force in [false, true] {
            let refused = apply(&view, &ApplyOptions { force, ..ApplyOptions::default() });
            assert!(matches!(refused, Err(ApplyError::Reserved { .. })), "{refused:?}");
        }
        let refused = as_root(|cx| recover(cx, &target, &ApplyOptions::default()));
        assert!(matches!(refused, Err(ApplyError::Reserved { .. })), "{refused:?}");
        assert_eq!(list(&target), listed);
    }
    assert_untouched(&outside, &before, "staging is a link");

    // A guest's.
    let target = place.target();
    let view = opened(&target);
    Guest(&view.filesystem).make(".vnode-apply", NewKind::Symlink(b"../outside")).unwrap();
    let listed = list(&target);
    let refused = apply(&view, &ApplyOptions { force: true, ..ApplyOptions::default() });
    assert!(matches!(refused, Err(ApplyError::Reserved { .. })), "{refused:?}");
    assert_eq!(list(&target), listed);
    assert_untouched(&outside, &before, "a guest made the link");
}
