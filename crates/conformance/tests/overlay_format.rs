//! The format of an overlay's upper: what vnode writes the kernel's overlayfs shows the same, and the other way round.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use vnode_conformance::call::{self, Env};
use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::layers::{self, Layers, Process};
use vnode_conformance::random::Random;
use vnode_conformance::tree::Tree;
use vnode_conformance::value::describe;
use vnode_conformance::vnode::Vnode;
use vnode_core::{Errno, FileType, FilesystemRef};
use vnode_overlay::Marks;

/// More names of what it has.
const LINKS: &str = "
link f1 a/hard
link f1 moved/deeper/hard
link a/sub/deep full/hard
";

/// What is done in the overlay.
const CHANGES: &str = "
file f1 changed
unlink f2
rename f3 g3
unlink a/x
file a/new new
rename a/y a/z
chmod big 640
unlink full/1
unlink full/2
rmdir full
mkdir full
file full/3 3
rename link link2
unlink opaque/hidden
rmdir opaque
mkdir opaque 700
file opaque/shown s
symlink nowhere s2
link g3 g4
mknod fifo fifo
rename g4 f1
file none/x x
unlink none/x
rmdir none
truncate big 10
utimens a/new 1 2
setxattr a/new user.mine v
";

/// What only works with redirections.
const MOVES: &str = "
rename moved away
file away/deeper/more more
rename away/deeper deeper
rename deeper/still deeper/moved
mkdir moved
file moved/other o
rename a b
rename b/sub sub
rename sub/deep b/deep
mkdir a
rename b/new a/new
rename full b exchange
";

fn new_layers() -> Layers {
    let layers = Layers::new(Path::new("/dev/shm")).expect("directories");
    layers::carry_out(&host(layers.lower()), layers::LOWER).expect("a lower");
    layers
}

fn host(path: &Path) -> FilesystemRef {
    layers::host(path).expect("a directory of the host")
}

fn overlay(layers: &Layers, marks: Marks) -> FilesystemRef {
    layers.overlay(marks).expect("an overlay")
}

fn subject(fs: FilesystemRef) -> Vnode {
    layers::process(fs).expect("a subject")
}

fn carry_out(fs: &FilesystemRef, script: &str) {
    let (mut subject, mut env) = (subject(fs.clone()), Env::default());
    let (may_fail, script) = match script.strip_prefix(MAY_FAIL) {
        Some(script) => (true, script),
        None => (false, script),
    };
    for line in script.lines().filter(|line| !line.is_empty()) {
        let outcome = call::run_text(&mut subject, &mut env, line).expect("a line");
        assert!(may_fail || outcome.is_ok(), "{line}: {}", describe(&outcome));
    }
}

/// How a script starts whose lines may fail.
const MAY_FAIL: &str = "# may fail\n";

/// Calls at random, some of which fail.
fn random_script(random: &mut Random) -> String {
    MAY_FAIL.to_owned() + &layers::random_script(random)
}

/// How long random calls are tried, each way; seconds in the environment.
const SECONDS: &str = "VNODE_OVERLAY_SECONDS";

/// A script, and what is to be found with it.
type Check<'a> = (String, Box<dyn FnOnce() + 'a>);

/// Makes checks of random scripts as long as there is time; a script that fails is printed.
fn for_some_time(make: impl for<'a> Fn(&'a Mounts, &mut Random) -> Check<'a> + Sync) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let start = Instant::now();
    let tried = Mounts::on_thread(|mounts| {
        let mut tried = 0u64;
        while start.elapsed() < Duration::from_secs(seconds) {
            let (script, check) = make(mounts, &mut Random::new(tried));
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
                println!("{script}");
                std::panic::resume_unwind(panic);
            }
            tried += 1;
        }
        tried
    });
    match tried {
        Some(tried) => println!("{tried} scripts"),
        None => println!("skipped: nothing can be mounted here"),
    }
}

fn check_random(writer: Writer, linked: bool, options: &str) {
    for_some_time(|mounts, random| {
        let mut script = random_script(random);
        if linked {
            script = script.replace("chmod", "link new").replace(" 751", "");
            script = script.replace("moved/in", "a/hard").replace("a/new", "moved/deeper/hard");
        }
        let check = {
            let (script, options) = (script.clone(), options.to_owned());
            move || try_on_lower(mounts, writer, linked, Marks::Trusted, &options, &[&script])
        };
        (script, Box::new(check))
    });
}

/// Has vnode and the kernel make the same calls on overlays of their own, and compares what each answers.
fn beside(mounts: &Mounts, script: &str) {
    let (ours, theirs) = (new_layers(), new_layers());
    let point = theirs.point();
    mounts.overlay(&point, &theirs.options("redirect_dir=on,index=on")).expect("an overlay of the kernel's");
    let (here, there) = (overlay(&ours, Marks::Trusted), host(&point));
    let (mut vnode, mut kernel) = (subject(here.clone()), subject(there.clone()));
    let (mut env, mut kernel_env) = (Env::default(), Env::default());
    for line in script.lines().skip(1) {
        let got = describe(&call::run_text(&mut vnode, &mut env, line).expect("a line"));
        let right = describe(&call::run_text(&mut kernel, &mut kernel_env, line).expect("a line"));
        assert_eq!(got, right, "{line}");
    }
    same(&tree(&here), &tree(&there));
    drop((vnode, kernel, there));
    mounts.unmount(&point).expect("it is mounted");
}

#[test]
fn vnode_answers_as_the_kernel_s_overlays_do() {
    let looks = ["cat a/x", "ls a", "readlink link", "truncate big 5", "setxattr f1 user.x y", "ls moved"];
    for_some_time(|mounts, random| {
        let mut script = random_script(random);
        for look in looks {
            let end = script.match_indices('\n').map(|(at, _)| at + 1).nth(1 + random.below(28));
            script.insert_str(end.unwrap_or(script.len()), &format!("{look}\n"));
        }
        (script.clone(), Box::new(move || beside(mounts, &script)))
    });
}

#[test]
fn the_kernel_shows_what_vnode_wrote_at_random() {
    check_random(Writer::Vnode, false, "redirect_dir=on");
}

#[test]
fn vnode_shows_what_the_kernel_wrote_at_random() {
    check_random(Writer::Kernel, false, "redirect_dir=on");
}

#[test]
fn vnode_shows_hard_links_that_the_kernel_wrote_at_random() {
    check_random(Writer::Kernel, true, "redirect_dir=on,index=on");
}

fn tree(fs: &FilesystemRef) -> Tree {
    layers::tree(fs).expect("a tree")
}

fn same(vnode: &Tree, kernel: &Tree) {
    // In the kernel's overlays a directory has one link.
    let [here, there] = [vnode, kernel].map(|tree| tree.clone().without_links(FileType::is_dir));
    let lines = here.differences(&there);
    assert!(lines.is_empty(), "vnode <> the kernel:\n{}", lines.join("\n"));
    assert!(vnode.len() > 10, "too little was compared");
}

/// Who changes the tree; the other one then shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Vnode,
    Kernel,
}

fn check(writer: Writer, marks: Marks, options: &str, scripts: &[&str]) {
    let tried = Mounts::on_thread(|mounts| try_on(mounts, writer, marks, options, scripts));
    if tried.is_none() {
        println!("skipped: nothing can be mounted here");
    }
}

fn try_on(mounts: &Mounts, writer: Writer, marks: Marks, options: &str, scripts: &[&str]) {
    try_on_lower(mounts, writer, false, marks, options, scripts);
}

fn try_on_lower(
    mounts: &Mounts,
    writer: Writer,
    linked: bool,
    marks: Marks,
    options: &str,
    scripts: &[&str],
) {
    let layers = new_layers();
    if linked {
        carry_out(&host(layers.lower()), LINKS);
    }
    let below = tree(&host(layers.lower()));
    let by_vnode = || {
        let fs = overlay(&layers, marks);
        if writer == Writer::Vnode {
            scripts.iter().for_each(|script| carry_out(&fs, script));
        }
        tree(&fs)
    };
    let by_kernel = || {
        let point = layers.point();
        mounts.overlay(&point, &layers.options(options)).expect("an overlay of the kernel's");
        let fs = host(&point);
        if writer == Writer::Kernel {
            scripts.iter().for_each(|script| carry_out(&fs, script));
        }
        let tree = tree(&fs);
        drop(fs);
        mounts.unmount(&point).expect("it is mounted");
        tree
    };
    match writer {
        Writer::Vnode => {
            let vnode = by_vnode();
            same(&vnode, &by_kernel());
            same(&by_vnode_again(&layers, marks), &vnode);
        }
        Writer::Kernel => {
            let kernel = by_kernel();
            same(&by_vnode(), &kernel);
        }
    }
    assert!(below.differences(&tree(&host(layers.lower()))).is_empty(), "the lower was changed");
}

/// What another overlay of vnode's shows.
fn by_vnode_again(layers: &Layers, marks: Marks) -> Tree {
    tree(&overlay(layers, marks))
}

/// Mount options of the kernel's that change what it keeps, and what it makes of what it finds.
const KEEPING: [&str; 5] = [
    "redirect_dir=on,index=off",
    "redirect_dir=on,index=on",
    "redirect_dir=on,index=on,nfs_export=on,uuid=on",
    "redirect_dir=on,xino=on",
    "redirect_dir=on,index=on,xino=off,uuid=null",
];

#[test]
fn the_kernel_shows_what_vnode_wrote() {
    for options in KEEPING.into_iter().chain(["redirect_dir=on,metacopy=on"]) {
        println!("{options}");
        check(Writer::Vnode, Marks::Trusted, options, &[CHANGES, MOVES]);
    }
}

#[test]
fn vnode_shows_what_the_kernel_wrote() {
    for options in KEEPING {
        println!("{options}");
        check(Writer::Kernel, Marks::Trusted, options, &[CHANGES, MOVES]);
    }
}

#[test]
fn the_kernel_shows_what_vnode_wrote_for_users() {
    check(Writer::Vnode, Marks::User, "userxattr", &[CHANGES]);
}

#[test]
fn vnode_shows_what_the_kernel_wrote_for_users() {
    check(Writer::Kernel, Marks::User, "userxattr", &[CHANGES]);
}

#[test]
fn the_kernel_shows_hard_links_that_vnode_wrote_at_random() {
    check_random(Writer::Vnode, true, "redirect_dir=on,index=on");
}

#[test]
fn hard_links_are_one_inode_whoever_copied_them_up() {
    let tried = Mounts::on_thread(|mounts| {
        let layers = new_layers();
        carry_out(&host(layers.lower()), LINKS);
        let point = layers.point();
        let by_kernel = |lines: &[(&str, &str)]| {
            mounts.overlay(&point, &layers.options("redirect_dir=on,index=on")).expect("an overlay");
            let fs = host(&point);
            Process::on(&fs).all_do(lines);
            let tree = tree(&fs);
            drop(fs);
            mounts.unmount(&point).expect("it is mounted");
            tree
        };
        let by_vnode = |lines: &[(&str, &str)]| {
            let fs = overlay(&layers, Marks::Trusted);
            Process::on(&fs).all_do(lines);
            tree(&fs)
        };
        let kernel = by_kernel(&[("file a/hard changed", "ok"), ("chmod full/hard 600", "ok")]);
        same(&by_vnode(&[]), &kernel);
        let vnode = by_vnode(&[
            ("cat f1", "\"changed\""),
            ("same f1 moved/deeper/hard", "1"),
            ("file moved/deeper/hard again", "ok"),
            ("unlink f1", "ok"),
            ("rename full/hard full/moved", "ok"),
            ("stat a/hard", "{type=file mode=644 nlink=2 uid=0 gid=0 size=5}"),
        ]);
        same(&vnode, &by_kernel(&[("same a/hard moved/deeper/hard", "1"), ("cat a/hard", "\"again\"")]));
        by_vnode(&[
            ("unlink a/hard", "ok"),
            ("unlink moved/deeper/hard", "ok"),
            ("unlink a/sub/deep", "ok"),
            ("stat full/moved", "{type=file mode=600 nlink=1 uid=0 gid=0 size=5}"),
            ("unlink full/moved", "ok"),
        ]);
        let left = std::fs::read_dir(layers.path("top/work/index")).expect("an index");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
        assert!(
            left.iter().all(|path| std::fs::symlink_metadata(path).is_ok_and(|of| !of.is_file())),
            "{left:?}"
        );
    });
    if tried.is_none() {
        println!("skipped: nothing can be mounted here");
    }
}

#[test]
fn what_the_kernel_says_may_be_lost_is_refused() {
    let tried = Mounts::on_thread(|mounts| {
        let layers = new_layers();
        mounts.overlay(&layers.point(), &layers.options("volatile")).expect("an overlay");
        mounts.unmount(&layers.point()).expect("it is mounted");
        assert_eq!(layers.overlay(Marks::Trusted).map(drop), Err(Errno::INVAL));
        std::fs::remove_dir_all(layers.path("top/work/work/incompat")).expect("it is there");
        assert!(layers.overlay(Marks::Trusted).is_ok());
    });
    if tried.is_none() {
        println!("skipped: nothing can be mounted here");
    }
}

#[test]
fn what_the_kernel_copied_without_content_is_refused() {
    let tried = Mounts::on_thread(|mounts| {
        let layers = new_layers();
        let point = layers.point();
        mounts.overlay(&point, &layers.options("metacopy=on,redirect_dir=on")).expect("an overlay");
        carry_out(&host(&point), "chmod f1 600\nfile f2 changed");
        mounts.unmount(&point).expect("it is mounted");
        let (mut vnode, mut env) = (subject(overlay(&layers, Marks::Trusted)), Env::default());
        let mut does = |line: &str| describe(&call::run_text(&mut vnode, &mut env, line).expect("a line"));
        assert_eq!((does("cat f1"), does("cat f2")), ("EIO".to_owned(), "\"changed\"".to_owned()));
        // As a lower it is the same.
        let lowers = vec![layers.path("top/upper"), layers.lower().to_owned()];
        let above = Layers::over(Path::new("/dev/shm"), lowers).expect("directories");
        Process::on(&overlay(&above, Marks::Trusted)).all_do(&[("cat f1", "EIO"), ("cat f2", "\"changed\"")]);
    });
    if tried.is_none() {
        println!("skipped: nothing can be mounted here");
    }
}
