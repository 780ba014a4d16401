//! Links that lead out, made by the host and by the guest: in the guest's tree they lead where a process with that
//! root would come to, and outside nothing is read or changed.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use vnode_core::fs::{Rename, SetXattr};
use vnode_core::{Errno, Follow, Mode, Result, SetTime, Timespec};

use crate::guest::Guest;
use crate::scene::{Picture, SECRET, Scene};

const INSIDE: &[u8] = b"inside";

/// Where a link in `links/` leads, to end up outside if the host followed it; and whether the guest comes to the
/// directory of that path in its own tree.
fn ways_out(outside: &Path, descriptor: i32) -> Vec<(String, bool)> {
    let absolute = outside.to_str().unwrap();
    let mut ways = Vec::new();
    for slash in ["", "/", "//", "/.", "/./"] {
        for way in ["../../outside", "../links/../../outside", ".././../outside", "./../..//outside"] {
            ways.push((format!("{way}{slash}"), true));
        }
        let up = "../".repeat(20);
        for way in [absolute, &format!("//{absolute}"), &format!("{up}{absolute}"), &format!("/..{absolute}")]
        {
            ways.push((format!("{way}{slash}"), true));
        }
        for magic in ["/proc/self/root", "/proc/thread-self/root", "/proc/1/root", "/proc/self/task/../root"]
        {
            ways.push((format!("{magic}{absolute}{slash}"), false));
        }
        ways.push((format!("/proc/self/fd/{descriptor}{slash}"), false));
        ways.push((format!("/dev/fd/{descriptor}{slash}"), false));
        ways.push((format!("/proc/self/cwd{slash}"), false));
    }
    ways
}

/// Directories in the guest's own tree where the ways out lead in it.
fn mirror(scene: &Scene) {
    let absolute = scene.outside.strip_prefix("/").unwrap().to_str().unwrap();
    for copy in ["outside", absolute] {
        scene.mkdir(&format!("{copy}/sub"));
        scene.write(&format!("{copy}/secret"), INSIDE);
    }
}

#[derive(Clone, Copy, Debug)]
enum Maker {
    Host,
    Guest,
}

/// Has each way out tried, by links of the host's and the guest's, with and without directories inside where they lead.
fn each_way_out(behind: &str, attempt: impl Fn(&Guest, &str, Result<()>)) {
    for (maker, mirrored) in
        [(Maker::Host, false), (Maker::Host, true), (Maker::Guest, false), (Maker::Guest, true)]
    {
        let scene = Scene::new();
        scene.mkdir("links");
        let held = File::open(&scene.outside).unwrap();
        if mirrored {
            mirror(&scene);
        }
        let before = Picture::of(&scene.outside);
        for guest in Guest::both(&scene.served) {
            for (way, inside) in ways_out(&scene.outside, held.as_raw_fd()) {
                let way = if behind.is_empty() { way } else { format!("{way}/{behind}") };
                match maker {
                    Maker::Host => symlink(&way, scene.at("links/out")).unwrap(),
                    Maker::Guest => guest.symlink(&way, "links/out").unwrap(),
                }
                let expected = if inside && mirrored { Ok(()) } else { Err(Errno::NOENT) };
                attempt(&guest, &way, expected);
                guest.unlink("links/out").unwrap();
            }
        }
        assert_eq!(Picture::of(&scene.outside), before, "{maker:?}, {mirrored}");
    }
}

#[test]
fn links_that_lead_out_lead_to_the_guests_own_tree() {
    each_way_out("", |guest, way, expected| {
        assert_eq!(guest.stat("links/out").map(drop), expected, "{way}");
        assert_eq!(guest.stat("links/out/sub").map(drop), expected, "{way}");
        assert_eq!(guest.list("links/out").map(drop), expected, "{way}");
        let read = guest.read("links/out/secret");
        assert_ne!(read.as_deref(), Ok(SECRET), "{way}");
        assert_eq!(read, expected.map(|()| INSIDE.to_vec()), "{way}");
        assert_eq!(guest.read("links/out/sub/../secret"), read, "{way}");
        // A directory by what follows, and never the link itself.
        for slash in ["/", "/.", "//"] {
            assert_eq!(guest.stat(format!("links/out{slash}")).map(drop), expected, "{way}");
            assert_eq!(guest.lstat(format!("links/out{slash}")).map(drop), expected, "{way}");
        }
        let text = guest.on("links/out", |caller, base, path| caller.readlink(base, path)).unwrap();
        assert_eq!(&text[..], way.as_bytes());
        assert!(guest.lstat("links/out").unwrap().kind.is_symlink());
    });
}

#[test]
fn nothing_is_changed_through_links_that_lead_out() {
    each_way_out("", |guest, way, expected| {
        let check = |what: &str, came: Result<()>| assert_eq!(came, expected, "{what}: {way}");
        check("mkdir", guest.mkdir("links/out/made"));
        check("rename", guest.rename("links/out/made", "links/out/moved", Rename::Replace));
        check("create", guest.put("links/out/file", b"new"));
        check("link", guest.link("links/out/file", Follow::No, "links/out/hard"));
        check("link in", guest.link("links/out/secret", Follow::No, "mine"));
        check("move in", guest.rename("links/out/file", "links/file", Rename::NoReplace));
        if expected.is_err() {
            guest.put("links/file", b"new").unwrap();
        }
        check("move out", guest.rename("links/file", "links/out/file", Rename::NoReplace));
        check("exchange", guest.rename("links/out/file", "links/out/hard", Rename::Exchange));
        check("symlink", guest.symlink("secret", "links/out/soft"));
        check("truncate", guest.truncate("links/out/soft", 3));
        check("write", guest.put("links/out/secret", INSIDE));
        check("chmod", guest.chmod("links/out/secret", 0o600));
        check("rmdir", guest.rmdir("links/out/moved"));
        for name in ["file", "hard", "soft"] {
            check("unlink", guest.unlink(format!("links/out/{name}")));
        }
        let _ = (guest.unlink("mine"), guest.unlink("links/file"));
    });
}

#[test]
fn what_is_created_through_a_dangling_link_is_created_inside() {
    each_way_out("new", |guest, way, expected| {
        assert_eq!(guest.put("links/out", b"new"), expected, "{way}");
        // The link's own name is taken, whatever it leads to.
        assert_eq!(guest.mkdir("links/out"), Err(Errno::EXIST));
        assert_eq!(guest.symlink("x", "links/out"), Err(Errno::EXIST));
        if expected.is_ok() {
            assert_eq!(guest.read("links/out").unwrap(), b"new");
            let real = guest.resolve("links/out").unwrap();
            assert!(guest.attr(&real).unwrap().nlink == 1, "{way}");
            let absolute = way.trim_start_matches(['.', '/']);
            let made = absolute.find("dev/shm").or_else(|| absolute.find("tmp/")).map(|at| &absolute[at..]);
            guest.unlink(made.unwrap_or("outside/new")).unwrap();
            assert_eq!(guest.stat("links/out"), Err(Errno::NOENT), "{way}");
        }
    });
}

#[test]
fn a_file_outside_is_not_truncated_through_a_link() {
    each_way_out("secret", |guest, way, expected| {
        assert_eq!(guest.truncate("links/out", 1), expected, "{way}");
        let long = format!("{way}/");
        // A slash after a file, in the link's own text.
        guest.symlink(&long, "links/slash").unwrap();
        let refused = if expected.is_ok() { Errno::NOTDIR } else { Errno::NOENT };
        assert_eq!(guest.read("links/slash"), Err(refused), "{long}");
        assert_eq!(guest.truncate("links/slash", 0), Err(refused), "{long}");
        guest.unlink("links/slash").unwrap();
        if expected.is_ok() {
            guest.put("links/out", INSIDE).unwrap();
        }
    });
}

#[test]
fn chains_of_links_with_slashes_stay_inside() {
    let scene = Scene::new();
    let absolute = scene.outside.to_str().unwrap().to_owned();
    let before = Picture::of(&scene.outside);
    // cap-std #419: the slash makes the last link one that is followed, by whoever looks at the path only.
    for (name, target) in [
        ("out", absolute.as_str()),
        ("slash", "out/"),
        ("dot", "out/."),
        ("again", "slash/"),
        ("up", "../outside/"),
        ("over", "up/../../outside/"),
    ] {
        symlink(target, scene.at(name)).unwrap();
    }
    for guest in Guest::both(&scene.served) {
        for link in ["out", "slash", "dot", "again", "up", "over"] {
            for end in ["", "/", "/.", "/secret", "/sub/", "/../secret", "//sub/../secret"] {
                let path = format!("{link}{end}");
                assert_eq!(guest.stat(&path).map(drop), Err(Errno::NOENT), "{path}");
                assert_eq!(guest.list(&path).map(drop), Err(Errno::NOENT), "{path}");
                let made = guest.mkdir(format!("{path}/made"));
                assert_eq!(made, Err(Errno::NOENT), "{path}");
                let moved = guest.rename(format!("{link}/"), "moved", Rename::Replace);
                assert_eq!(moved, Err(Errno::NOTDIR), "{link}");
            }
        }
    }
    assert_eq!(Picture::of(&scene.outside), before);
}

#[test]
fn hard_links_of_links_are_links_still() {
    let scene = Scene::new();
    symlink(scene.outside.join("secret"), scene.at("out")).unwrap();
    let before = Picture::of(&scene.outside);
    for guest in Guest::both(&scene.served) {
        guest.link("out", Follow::No, "hard").unwrap();
        assert!(guest.lstat("hard").unwrap().kind.is_symlink());
        assert_eq!(guest.read("hard"), Err(Errno::NOENT));
        assert_eq!(guest.link("out", Follow::Yes, "through"), Err(Errno::NOENT));
        assert_eq!(guest.link("hard", Follow::Yes, "through"), Err(Errno::NOENT));
        assert_eq!(guest.rename("out", "hard", Rename::Exchange), Ok(()));
        guest.unlink("hard").unwrap();
    }
    assert_eq!(Picture::of(&scene.outside), before);
}

/// A guest's changes of a link, none of which is one of what it leads to.
pub(crate) fn change_a_link_itself(guest: &Guest, link: &str) {
    let then = Some(SetTime::To(Timespec { sec: 7, nsec: 0 }));
    guest
        .on(link, |caller, base, path| {
            let _ = caller.chmod(base, path, Follow::No, Mode::from_raw(0o777));
            caller.chown(base, path, Follow::No, None, None)?;
            caller.set_times(base, path, Follow::No, then, then)?;
            for name in [&b"user.x"[..], b"trusted.x"] {
                let _ = caller.set_xattr(base, path, Follow::No, name, b"v", SetXattr::Any);
                let _ = caller.get_xattr(base, path, Follow::No, name);
                let _ = caller.remove_xattr(base, path, Follow::No, b"user.mark");
            }
            let held = caller.resolve(base, path, Follow::No)?;
            let _ = caller.chmod_place(&held, Mode::from_raw(0o777));
            let _ = caller.set_xattr_place(&held, b"user.x", b"v", SetXattr::Any);
            assert_eq!(caller.truncate(base, path, 0), Err(Errno::NOENT));
            caller.sync_place(&held, false)
        })
        .unwrap();
    assert_eq!(guest.lstat(link).unwrap().mtime.sec, 7);
}

#[test]
fn what_is_done_to_a_link_is_not_done_to_what_it_leads_to() {
    let scene = Scene::new();
    let secret = scene.outside.join("secret");
    symlink(&secret, scene.at("out")).unwrap();
    rustix::fs::setxattr(&secret, "user.mark", b"kept", rustix::fs::XattrFlags::CREATE).unwrap();
    let before = Picture::of(&scene.outside);
    for guest in Guest::both(&scene.served) {
        change_a_link_itself(&guest, "out");
        let mut names = [0; 256];
        let len = rustix::fs::listxattr(&secret, &mut names[..]).unwrap();
        assert_eq!(&names[..len], b"user.mark\0");
    }
    assert_eq!(Picture::of(&scene.outside), before);
}

#[test]
fn what_one_guest_makes_the_next_and_the_host_see() {
    let scene = Scene::new();
    let [one, next] = Guest::both(&scene.served);
    one.symlink("/anywhere/at all", "link").unwrap();
    one.put("file", b"text").unwrap();
    assert_eq!(std::fs::read_link(scene.at("link")).unwrap(), Path::new("/anywhere/at all"));
    assert_eq!(next.read("file").unwrap(), b"text");
    std::fs::write(scene.at("file"), b"changed").unwrap();
    assert_eq!((one.read("file").unwrap(), next.stat("file").unwrap().size), (b"changed".to_vec(), 7));
    std::fs::remove_file(scene.at("file")).unwrap();
    assert_eq!((one.stat("file"), next.stat("file")), (Err(Errno::NOENT), Err(Errno::NOENT)));
}
