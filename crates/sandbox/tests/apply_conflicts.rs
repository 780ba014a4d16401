//! The directory changed since it was first touched, or changes while changes are applied to it: nothing is overwritten that
//! nobody knew of, and nothing is written outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::as_root;
use support::guest::Guest;
use support::host::{list, put};
use tempfile::TempDir;
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{
    Applied, ApplyError, ApplyOptions, ConflictKind, Owner, Pending, Progress, View, Warning, abort, pending,
    recover,
};

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for dir in ["d", "d/sub", "e"] {
        fs::create_dir(at(dir)).unwrap();
    }
    for file in ["a", "b", "d/f", "d/sub/g", "e/h"] {
        put(at(file), file);
    }
    place
}

type Result<T> = std::result::Result<T, ApplyError>;

fn apply_with(view: &View, options: &ApplyOptions<'_>) -> Result<Applied> {
    as_root(|cx| {
        let changes = view.changes(cx).unwrap();
        view.apply(cx, &changes, options)
    })
}

/// Changes on both sides; the conflicts, and what force makes of it.
fn clash(
    guests: impl FnOnce(&Guest<'_>),
    hosts: impl FnOnce(&Path),
) -> (Vec<(String, ConflictKind)>, TempDir) {
    let place = place();
    let upper = tempfile::tempdir().unwrap();
    let open = || View::of(place.path()).changes_in(upper.path()).open().unwrap();
    guests(&Guest(&open().filesystem));
    hosts(place.path());
    let view = open();
    let before = list(place.path());
    // What there is on the host counts when the changes are told, too.
    let conflicts = match apply_with(&view, &ApplyOptions::default()) {
        Err(ApplyError::Conflicts(conflicts)) => {
            assert_eq!(list(place.path()), before);
            let told =
                conflicts.iter().map(|one| (String::from_utf8_lossy(&one.path).into_owned(), one.kind));
            let told = told.collect();
            let force = ApplyOptions { force: true, ..ApplyOptions::default() };
            apply_with(&view, &force).unwrap_or_else(|error| panic!("{told:?}: {error}"));
            told
        }
        done => done.map(|_| Vec::new()).unwrap(),
    };
    assert!(!place.path().join(".vnode-apply").exists());
    (conflicts, place)
}

fn text(place: &TempDir, name: &str) -> Option<String> {
    fs::read_to_string(place.path().join(name)).ok()
}

#[test]
fn each_kind_of_conflict_is_told_and_overwritten_by_force() {
    use ConflictKind::{Appeared, Changed, Deleted, NotEmpty};
    let write = |guest: &Guest<'_>| guest.write("a", "guest").unwrap();
    let one = |path: &str, kind| vec![(path.to_owned(), kind)];

    let (told, place) = clash(write, |at| put(at.join("a"), "host"));
    assert_eq!((told, text(&place, "a").as_deref()), (one("/a", Changed), Some("guest")));
    let (told, place) = clash(write, |at| {
        fs::set_permissions(at.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    });
    assert_eq!((told, text(&place, "a").as_deref()), (one("/a", Changed), Some("guest")));
    let (told, place) = clash(write, |at| fs::remove_file(at.join("a")).unwrap());
    // To whoever compares, it is new then.
    assert_eq!((told, text(&place, "a").as_deref()), (one("/a", Deleted), Some("guest")));
    for gone in ["/a", "/d"] {
        let (told, _) = clash(
            |guest| guest.rename(gone, "moved", Rename::Replace).unwrap(),
            |at| fs::rename(at.join(&gone[1..]), at.join("elsewhere")).unwrap(),
        );
        assert_eq!(told, one(gone, Deleted));
    }
    let (told, place) =
        clash(|guest| guest.remove_all("d").unwrap(), |at| fs::remove_dir_all(at.join("d")).unwrap());
    assert_eq!((told, place.path().join("d").exists()), (vec![], false));
    let (told, place) = clash(write, |at| {
        fs::remove_file(at.join("a")).unwrap();
        fs::create_dir(at.join("a")).unwrap();
        put(at.join("a/unknown"), "host");
    });
    assert!(told.contains(&("/a".to_owned(), Changed)), "{told:?}");
    assert_eq!(text(&place, "a").as_deref(), Some("guest"));

    let (told, place) = clash(|guest| guest.write("new", "guest").unwrap(), |at| put(at.join("new"), "host"));
    assert!(matches!(&told[..], [(path, _)] if path == "/new"), "{told:?}");
    assert_eq!(text(&place, "new").as_deref(), Some("guest"));

    let (told, place) =
        clash(|guest| guest.remove("a", Remove::File).unwrap(), |at| put(at.join("a"), "host"));
    assert_eq!((told, text(&place, "a")), (one("/a", Changed), None));
    let (told, place) = clash(|guest| guest.remove_all("d").unwrap(), |at| put(at.join("d/sub/new"), "host"));
    assert!(
        matches!(&told[..], [(path, NotEmpty | ConflictKind::Unrecorded)] if path == "/d/sub/new"),
        "{told:?}"
    );
    assert!(!place.path().join("d").exists());

    let rename = |guest: &Guest<'_>| guest.rename("a", "moved", Rename::Replace).unwrap();
    let (told, place) = clash(rename, |at| put(at.join("a"), "host"));
    assert_eq!(told, one("/a", Changed));
    assert_eq!((text(&place, "a"), text(&place, "moved").as_deref()), (None, Some("a")));
    let (told, place) = clash(rename, |at| put(at.join("moved"), "host"));
    assert!(!told.is_empty(), "{told:?}");
    assert_eq!((text(&place, "a"), text(&place, "moved").as_deref()), (None, Some("a")));
    let (told, place) = clash(
        |guest| guest.rename("d", "x", Rename::Replace).unwrap(),
        |at| {
            fs::create_dir(at.join("x")).unwrap();
            put(at.join("x/host"), "host");
        },
    );
    assert!(told.iter().any(|(_, kind)| matches!(kind, Appeared | ConflictKind::Unrecorded)), "{told:?}");
    assert_eq!((text(&place, "x/f").as_deref(), text(&place, "x/host")), (Some("d/f"), None));

    let (told, place) =
        clash(|guest| guest.write("d/new", "guest").unwrap(), |at| fs::remove_dir_all(at.join("d")).unwrap());
    assert_eq!(told, one("/d", Deleted));
    assert_eq!(text(&place, "d/new").as_deref(), Some("guest"));
}

#[test]
fn what_came_and_went_before_is_no_conflict() {
    let (place, uppers) = (place(), tempfile::tempdir().unwrap());
    let upper = |number: usize| uppers.path().join(number.to_string());
    let steps: [&dyn Fn(&Guest<'_>); 3] = [
        &|guest| guest.remove("a", Remove::File).unwrap(),
        &|guest| guest.make("a", NewKind::Directory).unwrap(),
        &|guest| guest.rename("a", "moved", Rename::Replace).unwrap(),
    ];
    let open = |layers: usize| {
        let frozen = (0..layers).rev().fold(View::of(place.path()), |view, layer| view.frozen(upper(layer)));
        frozen.changes_in(upper(layers)).open().unwrap()
    };
    for (number, step) in steps.iter().enumerate() {
        step(&Guest(&open(number).filesystem));
    }
    apply_with(&open(2), &ApplyOptions::default()).unwrap();
    assert!(place.path().join("moved").is_dir() && !place.path().join("a").exists());
}

#[test]
fn another_version_s_journal_is_told_as_that() {
    let place = place();
    let staging = place.path().join(".vnode-apply");
    fs::create_dir(&staging).unwrap();
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).unwrap();
    for (journal, why) in [("{\"version\":1,\"other\":[]}", "another version of vnode"), ("{}", "version")] {
        put(staging.join("journal"), journal);
        let refused = as_root(|cx| recover(cx, place.path(), &ApplyOptions::default())).unwrap_err();
        assert!(matches!(&refused, ApplyError::Journal { why: told } if told.contains(why)), "{refused}");
        assert!(as_root(|cx| abort(cx, place.path(), &ApplyOptions::default())).is_err());
    }
}

#[test]
fn what_is_the_same_on_both_sides_is_no_conflict() {
    let (told, place) = clash(
        |guest| {
            guest.write("a", "both").unwrap();
            guest.write("new", "both").unwrap();
            guest.remove("b", Remove::File).unwrap();
            guest.make("dir", NewKind::Directory).unwrap();
            guest.write("dir/mine", "guest").unwrap();
            guest.write("d/f", "guest").unwrap();
        },
        |at| {
            put(at.join("a"), "both");
            put(at.join("new"), "both");
            fs::remove_file(at.join("b")).unwrap();
            fs::create_dir(at.join("dir")).unwrap();
            fs::set_permissions(at.join("dir"), fs::Permissions::from_mode(0o755)).unwrap();
            put(at.join("dir/theirs"), "host");
            put(at.join("e/unrelated"), "host");
        },
    );
    assert_eq!(told, []);
    for (name, content) in [("a", "both"), ("new", "both"), ("dir/mine", "guest"), ("d/f", "guest")] {
        assert_eq!(text(&place, name).as_deref(), Some(content), "{name}");
    }
    assert_eq!(text(&place, "dir/theirs").as_deref(), Some("host"));
    assert_eq!(text(&place, "e/unrelated").as_deref(), Some("host"));
}

#[test]
fn what_changes_while_it_is_prepared_is_seen() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("a", "guest").unwrap();
    guest.write("b", "guest").unwrap();
    let host = |_: Progress| put(place.path().join("b"), "host, just now");
    let options = ApplyOptions { progress: Some(&host), ..ApplyOptions::default() };
    let Err(ApplyError::Conflicts(conflicts)) = apply_with(&view, &options) else { panic!("no conflict") };
    assert!(matches!(&conflicts[..], [one] if one.path == b"/b" && one.kind == ConflictKind::ChangedJustNow));
    assert_eq!(
        (text(&place, "a").as_deref(), text(&place, "b").as_deref()),
        (Some("a"), Some("host, just now"))
    );
    assert!(!place.path().join(".vnode-apply").exists());
}

#[test]
fn what_comes_into_the_way_while_it_is_done_is_kept() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.remove_all("d").unwrap();
    guest.write("new", "guest").unwrap();
    let slot = |_: Progress| {
        let out = place.path().join(".vnode-apply/out");
        if fs::read_dir(&out).is_ok_and(|mut names| names.next().is_some())
            && !place.path().join("new").exists()
        {
            let slot = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
            put(slot.join("unknown"), "host");
            put(place.path().join("new"), "host");
        }
    };
    let applied =
        apply_with(&view, &ApplyOptions { progress: Some(&slot), ..ApplyOptions::default() }).unwrap();
    let [Warning::Kept { path: new, place: aside }, Warning::Left { path }] = &applied.warnings[..] else {
        panic!("{applied:?}")
    };
    assert!(new == b"/new" && aside.starts_with(path), "{applied:?}");
    let left = place.path().join(String::from_utf8_lossy(path).trim_start_matches('/'));
    let kept: Vec<_> = list(&left).into_values().filter(|what| what.contains("0+host")).collect();
    assert_eq!((kept.len(), text(&place, "new").as_deref()), (2, Some("guest")), "{kept:?}");
    assert!(!place.path().join("d").exists() && !place.path().join(".vnode-apply").exists());
    assert_eq!(pending(place.path()).unwrap(), None);
}

/// After a crash there may be days until the apply is completed, by whoever it is.
#[test]
fn what_is_changed_while_an_apply_is_interrupted_is_kept() {
    for (mark, changed) in [("journal", &["/a", "/b"][..]), ("moved", &["/e/h"])] {
        let place = place();
        let view = View::of(place.path()).open().unwrap();
        let guest = Guest(&view.filesystem);
        guest.write("a", "guest").unwrap();
        guest.write("e/h", "guest").unwrap();
        guest.remove("b", Remove::File).unwrap();
        guest.remove_all("d").unwrap();
        stopped(&view, &|| place.path().join(".vnode-apply").join(mark).exists());
        for file in changed {
            put(place.path().join(&file[1..]), "a day's work");
        }
        let applied = as_root(|cx| recover(cx, place.path(), &ApplyOptions::default())).unwrap().unwrap();
        let mut kept: Vec<&str> = Vec::new();
        for warning in &applied.warnings {
            let Warning::Kept { path, place: aside } = warning else { continue };
            let aside = std::str::from_utf8(&aside[1..]).unwrap();
            assert_eq!(text(&place, aside).as_deref(), Some("a day's work"));
            kept.push(std::str::from_utf8(path).unwrap());
        }
        assert_eq!(kept, changed, "{mark}");
        let now = ["a", "e/h", "b", "d/f"].map(|name| text(&place, name));
        assert_eq!(now, [Some("guest".into()), Some("guest".into()), None, None]);
        assert_eq!(pending(place.path()).unwrap(), None);
    }
}

#[test]
fn one_applies_at_a_time_and_other_files_of_the_name_stay() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).write("a", "guest").unwrap();
    let seen = Cell::new(0);
    let look = |_: Progress| {
        assert!(matches!(pending(place.path()), Err(ApplyError::Busy { .. })));
        assert!(matches!(apply_with(&view, &ApplyOptions::default()), Err(ApplyError::Busy { .. })));
        seen.set(seen.get() + 1);
    };
    apply_with(&view, &ApplyOptions { progress: Some(&look), ..ApplyOptions::default() }).unwrap();
    assert!(seen.get() > 0);

    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).write("b", "guest").unwrap();
    fs::create_dir(place.path().join(".vnode-apply")).unwrap();
    put(place.path().join(".vnode-apply/mine"), "mine");
    assert!(matches!(apply_with(&view, &ApplyOptions::default()), Err(ApplyError::Reserved { .. })));
    assert_eq!(text(&place, ".vnode-apply/mine").as_deref(), Some("mine"));
    fs::remove_dir_all(place.path().join(".vnode-apply")).unwrap();
    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).make(".vnode-apply", NewKind::Directory).unwrap();
    assert!(matches!(apply_with(&view, &ApplyOptions::default()), Err(ApplyError::Reserved { .. })));
}

#[test]
fn the_owner_is_told_until_that_succeeded() {
    let (place, owners) = (place(), tempfile::tempdir().unwrap());
    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).write("a", "guest").unwrap();
    let owner = |id: &str| Owner { directory: owners.path().to_owned(), id: id.to_owned(), generation: 3 };
    let fails = |applied: &Applied| {
        assert_eq!(applied.owner, Some(owner("one")));
        Err(ApplyError::NotOneDirectory)
    };
    let options =
        ApplyOptions { owner: Some(owner("one")), settled: Some(&fails), ..ApplyOptions::default() };
    assert!(matches!(apply_with(&view, &options), Err(ApplyError::Owner { .. })));
    assert_eq!(text(&place, "a").as_deref(), Some("guest"));
    assert_eq!(
        pending(place.path()).unwrap(),
        Some(Pending { owner: Some(owner("one")), committed: true, placed: true })
    );
    // Another one leaves it alone, as long as the owner may come back.
    let other = View::of(place.path()).open().unwrap();
    Guest(&other.filesystem).write("b", "other").unwrap();
    let others = ApplyOptions { owner: Some(owner("two")), ..ApplyOptions::default() };
    assert!(matches!(apply_with(&other, &others), Err(ApplyError::Interrupted { .. })));
    let told = Cell::new(0);
    let counts = |applied: &Applied| {
        assert!(applied.resumed && applied.operations.len() == 1);
        told.set(told.get() + 1);
        Ok(())
    };
    let again = ApplyOptions { owner: Some(owner("one")), settled: Some(&counts), ..ApplyOptions::default() };
    let applied = as_root(|cx| recover(cx, place.path(), &again)).unwrap().unwrap();
    assert!(applied.resumed && told.get() == 1);
    assert_eq!(pending(place.path()).unwrap(), None);
    apply_with(&other, &others).unwrap();

    // Nobody will come back.
    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).write("a", "again").unwrap();
    assert!(apply_with(&view, &options).is_err());
    drop(owners);
    let other = View::of(place.path()).open().unwrap();
    Guest(&other.filesystem).write("b", "and again").unwrap();
    apply_with(&other, &others).unwrap();
    assert_eq!(
        (text(&place, "a").as_deref(), text(&place, "b").as_deref()),
        (Some("again"), Some("and again"))
    );
}

/// Applies, and stops as if the process ended there.
fn stopped(view: &View, when: &dyn Fn() -> bool) {
    let stop = |_: Progress| assert!(!when(), "stopped");
    let stop = ApplyOptions { progress: Some(&stop), ..ApplyOptions::default() };
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| apply_with(view, &stop)));
    assert!(stopped.is_err());
}

#[test]
fn an_apply_is_aborted_until_all_was_taken_out() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.rename("d", "x", Rename::Replace).unwrap();
    guest.rename("x/sub", "e/sub", Rename::Replace).unwrap();
    guest.remove("b", Remove::File).unwrap();
    guest.write("a", "guest").unwrap();
    let times =
        || ["", "d", "e"].map(|name| fs::metadata(place.path().join(name)).unwrap().modified().unwrap());
    let before = list(place.path());
    let out = place.path().join(".vnode-apply/out");
    let taken = || fs::read_dir(&out).map_or(0, Iterator::count);
    let abort_now = || as_root(|cx| abort(cx, place.path(), &ApplyOptions::default()));
    let abort_view = || as_root(|cx| view.abort(cx, &ApplyOptions::default()));
    assert!(!abort_now().unwrap() && !abort_view().unwrap());
    // What was moved and moved back is no conflict for the next.
    for wanted in [0, 1, 2, 3] {
        let old_times = times();
        stopped(&view, &|| taken() == wanted);
        assert_eq!(pending(place.path()).unwrap().map(|pending| pending.committed), Some(wanted > 0));
        assert!(abort_view().unwrap());
        assert_eq!(list(place.path()), before, "{wanted} taken");
        assert!(wanted == 0 || times() == old_times, "{wanted} taken");
    }
    stopped(&view, &|| place.path().join(".vnode-apply/moved").exists());
    for aborted in [abort_now(), abort_view()] {
        assert!(matches!(aborted, Err(ApplyError::TooLate { .. })));
    }
    as_root(|cx| recover(cx, place.path(), &ApplyOptions::default())).unwrap().unwrap();
    assert_eq!(
        (text(&place, "a").as_deref(), text(&place, "e/sub/g").as_deref()),
        (Some("guest"), Some("d/sub/g"))
    );
}

#[test]
fn what_came_with_the_directory_is_not_completed() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    Guest(&view.filesystem).remove("b", Remove::File).unwrap();
    Guest(&view.filesystem).write("a", "guest").unwrap();
    stopped(&view, &|| place.path().join(".vnode-apply/moved").exists());
    let refused = || {
        let done = as_root(|cx| recover(cx, place.path(), &ApplyOptions::default()));
        assert!(matches!(done, Err(ApplyError::Untrusted { .. })), "{done:?}");
        assert!(matches!(apply_with(&view, &ApplyOptions::default()), Err(ApplyError::Untrusted { .. })));
    };
    let staging = place.path().join(".vnode-apply");
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o770)).unwrap();
    refused();
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(staging.join("journal"), Some(1), None).unwrap();
        refused();
        std::os::unix::fs::chown(staging.join("journal"), Some(0), None).unwrap();
    }
    // Copied.
    fs::rename(&staging, place.path().join("aside")).unwrap();
    fs::create_dir(&staging).unwrap();
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(place.path().join("aside")).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), staging.join(entry.file_name())).unwrap();
    }
    let before = list(place.path());
    refused();
    assert_eq!(list(place.path()), before);
}

#[test]
fn links_lead_nowhere() {
    let (place, outside) = (place(), tempfile::tempdir().unwrap());
    put(outside.path().join("f"), "outside");
    let before = list(outside.path());
    // The guest's own: a directory becomes a link, and what was below it is gone.
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("d/f", "guest").unwrap();
    guest.remove_all("d").unwrap();
    let target = outside.path().as_os_str().as_encoded_bytes();
    guest.make("d", NewKind::Symlink(target)).unwrap();
    guest.make("b2", NewKind::Symlink(target)).unwrap();
    apply_with(&view, &ApplyOptions::default()).unwrap();
    assert_eq!(fs::read_link(place.path().join("d")).unwrap(), outside.path());
    assert_eq!(list(outside.path()), before);
    // The host's, where the guest changed something below a directory.
    for force in [false, true] {
        let view = View::of(place.path()).open().unwrap();
        Guest(&view.filesystem).write("e/f", "guest").unwrap();
        Guest(&view.filesystem).write("e/h", "guest").unwrap();
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        fs::rename(place.path().join("e"), place.path().join("aside")).unwrap();
        symlink(outside.path(), place.path().join("e")).unwrap();
        let options = ApplyOptions { force, ..ApplyOptions::default() };
        let done = as_root(|cx| view.apply(cx, &changes, &options));
        assert_eq!(list(outside.path()), before, "{done:?}");
        if force {
            continue;
        }
        assert!(matches!(done, Err(ApplyError::Conflicts(_))), "{done:?}");
        fs::remove_file(place.path().join("e")).unwrap();
        fs::rename(place.path().join("aside"), place.path().join("e")).unwrap();
    }
}

#[test]
fn links_that_are_swapped_meanwhile_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    for file in ["f", "new", "sub"] {
        put(outside.path().join(file), "outside");
    }
    let before = list(outside.path());
    let until = Instant::now() + Duration::from_secs(2);
    let mut rounds = 0;
    while Instant::now() < until {
        let place = place();
        symlink(outside.path(), place.path().join("link")).unwrap();
        let view = View::of(place.path()).open().unwrap();
        let guest = Guest(&view.filesystem);
        guest.write("d/f", "guest").unwrap();
        guest.write("d/new", "guest").unwrap();
        guest.chmod("d/sub/g", 0o777).unwrap();
        guest.remove_all("e").unwrap();
        guest.rename("d/sub", "d/moved", Rename::Replace).unwrap();
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (one, other) = (place.path().join("d"), place.path().join("link"));
                    let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
                }
            });
            let force = ApplyOptions { force: true, ..ApplyOptions::default() };
            let _ = as_root(|cx| view.apply(cx, &changes, &force));
            let _ = as_root(|cx| recover(cx, place.path(), &ApplyOptions::default()));
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(list(outside.path()), before);
        rounds += 1;
    }
    assert!(rounds > 5, "{rounds} rounds");
}
