//! What the names of an archive come to, through the walker: later members, links, directories made up, permissions.

use std::sync::Arc;

use vnode_archive::{Archive, ArchiveError, Node, PathProblem};
use vnode_core::fs::{Access, At, FIRST_COOKIE, Filesystem as _, Inode as _};
use vnode_core::{Credentials, Cx, Errno, FileType, Follow, Name, NameBuf, VPath};

use crate::tree::{Epoch, Mounted};

/// What a member of a test's archive is.
#[derive(Clone, Copy)]
pub(crate) enum Is<'a> {
    File(&'a [u8]),
    Directory,
    Symlink(&'a str),
    Link(&'a str),
    Fifo,
}

/// An archive of members, with the mode 0751, the owner 5:6 and the time 7.
pub(crate) fn packed(members: &[(&str, Is<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, is) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o751);
        header.set_uid(5);
        header.set_gid(6);
        header.set_mtime(7);
        let (kind, content, target): (_, &[u8], _) = match is {
            Is::File(content) => (tar::EntryType::Regular, content, None),
            Is::Directory => (tar::EntryType::Directory, b"", None),
            Is::Symlink(target) => (tar::EntryType::Symlink, b"", Some(target)),
            Is::Link(target) => (tar::EntryType::Link, b"", Some(target)),
            Is::Fifo => (tar::EntryType::Fifo, b"", None),
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if let Some(target) = target {
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        }
        // As it is: the crate refuses names that lead out.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(crate) fn opened(members: &[(&str, Is<'_>)]) -> Result<Archive, ArchiveError> {
    Archive::builder().bytes(packed(members))
}

fn mounted(members: &[(&str, Is<'_>)]) -> Mounted {
    Mounted::new(opened(members).unwrap())
}

#[test]
fn directories_that_no_member_tells_of_are_made() {
    let mounted = mounted(&[("./a//b/./c/file", Is::File(b"x")), ("a/b", Is::Directory)]);
    assert_eq!(mounted.paths(), [".", "./a", "./a/b", "./a/b/c", "./a/b/c/file"]);
    let made = mounted.attr("a").unwrap();
    assert_eq!((made.st_mode(), made.uid, made.gid, made.mtime.sec, made.nlink), (0o40755, 0, 0, 0, 3));
    // The second one comes late.
    let told = mounted.attr("a/b").unwrap();
    assert_eq!((told.st_mode(), told.uid, told.gid, told.mtime.sec, told.nlink), (0o40751, 5, 6, 7, 3));
    assert_eq!(mounted.attr("/").unwrap().nlink, 3);
    assert_eq!((told.atime, told.ctime), (told.mtime, told.mtime));
}

#[test]
fn a_later_member_takes_the_place_of_an_earlier_one() {
    let members = [
        ("file", Is::File(b"old")),
        ("other", Is::Link("file")),
        ("file", Is::File(b"new!")),
        ("was-dir", Is::Directory),
        ("was-dir", Is::Fifo),
        ("was-file", Is::File(b"")),
        ("was-file/", Is::Directory),
        ("was-file/in", Is::Symlink("x")),
    ];
    let mounted = mounted(&members);
    assert_eq!(mounted.paths(), [".", "./file", "./other", "./was-dir", "./was-file", "./was-file/in"]);
    assert_eq!(
        (mounted.read("file").unwrap(), mounted.read("other").unwrap()),
        (b"new!".to_vec(), b"old".to_vec())
    );
    assert_eq!((mounted.attr("file").unwrap().nlink, mounted.attr("other").unwrap().nlink), (1, 1));
    assert_eq!(mounted.attr("was-dir").unwrap().kind, FileType::Fifo);
    // The directory that was replaced is not counted any more.
    assert_eq!(mounted.attr("/").unwrap().nlink, 3);
    let usage = opened(&members).unwrap().usage();
    assert_eq!((usage.inodes, usage.bytes, usage.unpacked), (6, 7, 0));
}

#[test]
fn hard_links_are_one_inode() {
    let mounted = mounted(&[
        ("a", Is::File(b"content")),
        ("dir/b", Is::Link("a")),
        ("c", Is::Link("./dir/b")),
        ("c", Is::Link("a")),
        ("soft", Is::Symlink("/nowhere")),
        ("soft2", Is::Link("soft")),
    ]);
    let attrs = ["a", "dir/b", "c"].map(|path| mounted.attr(path).unwrap());
    assert!(
        attrs.iter().all(|attr| *attr == attrs[0] && attr.nlink == 3 && attr.size == 7 && attr.blocks == 8)
    );
    assert_eq!(mounted.attr("soft2").unwrap().nlink, 2);
    assert_eq!(mounted.attr("soft2").unwrap().st_mode(), 0o120777);
}

#[test]
fn members_tells_the_names_in_order() {
    let archive = opened(&[
        ("made-up/b", Is::File(b"bb")),
        ("a", Is::File(b"old")),
        ("z", Is::Link("made-up/b")),
        ("dir", Is::Directory),
        ("a", Is::Symlink("dir")),
    ]);
    let archive = archive.unwrap();
    let members: Vec<_> = archive
        .members()
        .map(|member| {
            let mut content = String::new();
            std::io::Read::read_to_string(&mut member.content(), &mut content).unwrap();
            let text = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
            (text(&member.path), member.first.as_deref().map(text), member.target().map(text), content)
        })
        .collect();
    let member = |path: &str, first: Option<&str>, target: Option<&str>, content: &str| {
        (path.to_owned(), first.map(str::to_owned), target.map(str::to_owned), content.to_owned())
    };
    let expected = [
        member("made-up/b", None, None, "bb"),
        member("a", None, Some("dir"), ""),
        member("z", Some("made-up/b"), None, "bb"),
        member("dir", None, None, ""),
    ];
    assert_eq!(members, expected);
}

#[test]
fn symbolic_links_are_followed_by_the_walker() {
    let mounted = mounted(&[
        ("dir/file", Is::File(b"there")),
        ("abs", Is::Symlink("/dir/")),
        ("dir/up", Is::Symlink("../abs/file")),
        ("loop", Is::Symlink("loop")),
        ("dir/self", Is::Symlink(".")),
    ]);
    for path in ["abs/file", "/dir/up", "abs/self/self/up", "dir/../dir/self/../abs/file"] {
        assert_eq!(mounted.read(path).unwrap(), b"there", "{path}");
    }
    assert_eq!(mounted.read("loop").unwrap_err(), Errno::LOOP);
    assert_eq!(mounted.read("dir/file/").unwrap_err(), Errno::NOTDIR);
    assert_eq!(mounted.read("dir/file/x").unwrap_err(), Errno::NOTDIR);
    assert_eq!(mounted.read("dir/none").unwrap_err(), Errno::NOENT);
}

#[test]
fn permissions_are_the_archives() {
    let members = [("dir", Is::Directory), ("dir/file", Is::File(b"x"))];
    let attempt = |uid, gid| {
        let mounted = Mounted::by(opened(&members).unwrap(), Credentials::user(uid, gid, &[]));
        (mounted.attr("dir/file").map(|attr| attr.size), mounted.read("dir/file"))
    };
    // 0751: the owner reads, the group reads and searches, others search.
    assert_eq!(attempt(5, 6), (Ok(1), Ok(b"x".to_vec())));
    assert_eq!(attempt(7, 6), (Ok(1), Ok(b"x".to_vec())));
    assert_eq!(attempt(7, 8), (Ok(1), Err(Errno::ACCES)));
}

#[test]
fn nothing_is_changed() {
    let mounted = mounted(&[("dir", Is::Directory), ("file", Is::File(b"x"))]);
    mounted.with(|caller| {
        let path = |text: &'static str| VPath::new(text.as_bytes()).unwrap();
        let mode = vnode_core::Mode::from_raw(0o700);
        assert_eq!(caller.mkdir(caller.root, path("dir/new"), mode).err(), Some(Errno::ROFS));
        assert_eq!(caller.unlink(caller.root, path("file")).err(), Some(Errno::ROFS));
        let place = caller.resolve(caller.root, path("file"), Follow::No).unwrap();
        let file = caller.open(
            caller.root,
            path("file"),
            &vnode_core::OpenHow { access: Access::WRITE, flags: vnode_core::OpenFlags::empty(), mode },
        );
        assert_eq!(file.err(), Some(Errno::ROFS));
        assert!(place.attr(caller.cx).is_ok());
    });
    let file = mounted.open("file").unwrap();
    mounted.with(|caller| {
        let mut bytes = vnode_core::io::Source::from_slice(b"y");
        assert_eq!(file.write_at(caller.cx, 0, &mut bytes), Err(Errno::ROFS));
        assert_eq!(file.append(caller.cx, &mut bytes), Err(Errno::ROFS));
        assert_eq!(file.append(caller.cx, &mut vnode_core::io::Source::from_slice(b"")), Ok((0, 1)));
        assert_eq!(file.set_len(caller.cx, 0), Err(Errno::ROFS));
    });
    assert_eq!(mounted.read("file").unwrap(), b"x");
}

/// The filesystem without the walker before it: ways up, names, cookies.
#[test]
fn a_listing_goes_on_behind_any_entry() {
    let archive = opened(&[("d/c", Is::Fifo), ("d/a", Is::Fifo), ("d/b/x", Is::Fifo)]).unwrap();
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let root = archive.root();
    let find = |dir: &Arc<Node>, name: &'static [u8]| {
        archive.lookup(&cx, At { dir, name: Name::new(name).unwrap() })
    };
    let d = find(&root, b"d").unwrap();
    let list = |cookie, most| {
        let mut entries = Vec::new();
        let mut listing = archive.open_dir(&cx, &d).unwrap();
        let listed = listing.list(&cx, cookie, &mut |entry| {
            entries.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.ino, entry.next));
            if entries.len() == most {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
        listed.unwrap();
        entries
    };
    let all = list(0, 9);
    let names: Vec<_> = all.iter().map(|(name, ..)| &name[..]).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(all.iter().all(|(_, _, next)| *next > FIRST_COOKIE));
    for (at, (_, _, next)) in all.iter().enumerate() {
        assert_eq!(list(*next, 9), all[at + 1..]);
    }
    assert_eq!(list(2, 1), all[..1]);
    assert_eq!(list(u64::MAX, 9), []);
    let b = find(&d, b"b").unwrap();
    assert_eq!(archive.parent(&cx, &b).unwrap().id(), d.id());
    assert_eq!(archive.parent(&cx, &root).unwrap().id(), root.id());
    let mut name = NameBuf::new();
    archive.name_of(&cx, &b, &mut name).unwrap();
    assert_eq!(name.as_bytes(), b"b");
    assert_eq!(find(&d, b"none").err(), Some(Errno::NOENT));
    let a = find(&d, b"a").unwrap();
    assert_eq!(find(&a, b"x").err(), Some(Errno::NOTDIR));
    assert_eq!(archive.open_dir(&cx, &a).err(), Some(Errno::NOTDIR));
    assert_eq!(archive.open(&cx, &a, Access::READ).err(), Some(Errno::NXIO));
}

#[test]
fn what_cant_be_is_named() {
    let problem = |members: &[(&str, Is<'_>)]| match opened(members).unwrap_err() {
        ArchiveError::Path { path, problem } => (String::from_utf8(path).unwrap(), problem),
        other => panic!("{other}"),
    };
    let file = Is::File(b"x");
    let at = |path: &str, problem| (path.to_owned(), problem);
    assert_eq!(problem(&[("a/../b", file)]), at("a/../b", PathProblem::DotDot));
    assert_eq!(problem(&[("/etc/passwd", file)]), at("/etc/passwd", PathProblem::Absolute));
    assert_eq!(problem(&[("", file)]), at("", PathProblem::Empty));
    assert_eq!(problem(&[("./", Is::Fifo)]), at("./", PathProblem::Root));
    assert_eq!(problem(&[("a", file), ("a/b", file)]), at("a/b", PathProblem::NotDirectory));
    assert_eq!(problem(&[("a", Is::Symlink("/")), ("a/b", file)]), at("a/b", PathProblem::NotDirectory));
    assert_eq!(problem(&[("a", Is::Link("b"))]), at("a", PathProblem::NoTarget));
    assert_eq!(problem(&[("a", Is::Link("a"))]), at("a", PathProblem::NoTarget));
    assert_eq!(problem(&[("f", file), ("a", Is::Link("f/x"))]), at("a", PathProblem::NoTarget));
    let text = |members: &[(&str, Is<'_>)]| opened(members).unwrap_err().to_string();
    assert_eq!(
        text(&[("a", Is::Link("/etc/passwd"))]),
        "a: the target of the hard link, /etc/passwd, is absolute"
    );
    assert_eq!(text(&[("a", Is::Link("x/.."))]), "a: the target of the hard link, x/.., has a `..`");
    let directory = [("d", Is::Directory), ("a", Is::Link("d"))];
    assert_eq!(text(&directory), "a: can't link to a directory: operation not permitted (EPERM)");
    let full = [("d/x", file), ("d", file)];
    assert_eq!(text(&full), "d: can't take its place: directory not empty (ENOTEMPTY)");
    assert_eq!(text(&[("a", Is::Symlink(""))]), "a: the link has no target");
    // Its own name again is nothing new.
    let again = mounted(&[("a", file), ("a", Is::Link("a"))]);
    assert_eq!(again.attr("a").unwrap().nlink, 1);
}
