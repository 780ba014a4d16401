//! Changes of all kinds, in all forms.

mod git;
mod guest;

use insta::assert_snapshot;
use vnode_core::fs::NewKind;
use vnode_core::{FilesystemRef, SetAttr};

use super::{Colour, DiffOptions, Form, MountChanges, summary};
use guest::{Guest, changed, told, told_as};

/// Twelve lines, each of a letter.
const LETTERS: &str = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";

/// A tree with a little of everything.
fn base() -> FilesystemRef {
    Guest::in_memory(|guest| {
        for dir in ["d", "d/sub", "empty", "gone", "gone/below", "other"] {
            guest.dir(dir);
        }
        for file in [
            "d/f",
            "d/sub/deep",
            "gone/below/g",
            "gone/x",
            "letters",
            "old",
            "mode",
            "type",
            "own",
            "other/o",
        ] {
            guest.write(file, LETTERS);
        }
        guest.write("end", "no newline");
        guest.write("binary", b"a\0b");
        guest.write("nothing", b"");
        guest.symlink("dangling", "nowhere");
        guest.symlink("loop", "loop");
        guest.symlink("outside", "/etc/passwd");
        guest.write("one", "one\n");
        guest.link("one", "two");
        guest.make("null", NewKind::CharDevice(0x103));
    })
}

/// Changes of every kind.
fn change(guest: &Guest) {
    guest.write("letters", LETTERS.replace("b\n", "B\nBB\n").replace("k\n", ""));
    guest.write("end", "no newline, still");
    guest.write("binary", b"a\0c");
    guest.write("new", "new\n");
    guest.write("void", "");
    guest.chmod("void", 0o600);
    guest.write("-n", "a leading dash");
    guest.write(b"new\nline\xff", "x\n");
    guest.write("sp ace", "x\n");
    guest.write([b'n'; 255], "long\n");
    guest.dir("made");
    guest.dir("made/in");
    guest.remove("gone");
    guest.remove("nothing");
    guest.rename("old", "renamed");
    guest.rename("other", "moved");
    guest.write("moved/o", LETTERS.replace("l\n", "L\n"));
    guest.rename("d", "e");
    guest.chmod("mode", 0o4755);
    guest.set("own", &SetAttr { uid: Some(7), ..SetAttr::default() });
    guest.set_xattr("own", "user.a", "1");
    guest.chmod("empty", 0o700);
    guest.remove("type");
    guest.dir("type");
    guest.write("type/in", "in\n");
    for (link, target) in [("dangling", "../else where"), ("loop", "loop2"), ("outside", "\x1b[31m")] {
        guest.remove(link);
        guest.symlink(link, target);
    }
    guest.symlink("link", "letters");
    guest.write("one", "1\n");
    guest.remove("null");
    guest.make("null", NewKind::CharDevice(0x105));
    guest.make("pipe", NewKind::Fifo);
    guest.make("socket", NewKind::Socket);
}

#[test]
fn each_path_has_a_line() {
    let (_view, changes) = changed(base(), change);
    assert_snapshot!("short", told(&changes, Form::Short));
    assert_eq!(
        summary(&changes),
        "12 added, 9 modified, 5 deleted, 3 renamed, 1 of another type, 3 with other attributes"
    );
}

#[test]
fn a_patch_has_the_content() {
    let (_view, changes) = changed(base(), change);
    // Content is as it is; names are ASCII.
    assert_snapshot!("patch", told(&changes, Form::Patch).replace('\x1b', "ESC"));
}

#[test]
fn lines_are_counted() {
    let (_view, changes) = changed(base(), change);
    assert_snapshot!("stat", told(&changes, Form::Stat));
}

#[test]
fn programs_get_an_object() {
    let (_view, changes) = changed(base(), |guest| {
        guest.write(b"new\nline\xff", "x\n");
        guest.rename("old", "renamed");
        guest.remove("outside");
        guest.remove("null");
        guest.dir("null");
        guest.chmod("mode", 0o4755);
    });
    let text = told(&changes, Form::Json);
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true));
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pretty = serde_json::to_string_pretty(&object).unwrap();
    assert_snapshot!("json", pretty.replace('\u{fffd}', "<U+FFFD>"));
}

#[test]
fn nothing_that_changed_is_told_as_nothing() {
    let (_view, changes) = changed(base(), |guest| guest.write("old", LETTERS));
    for form in [Form::Short, Form::Patch, Form::Stat] {
        assert_eq!(told(&changes, form), "");
    }
    let empty = r#"{"changes":[],"summary":{"added":0,"removed":0,"renamed":0,"type_changed":0,"modified":0,"attributes":0,"relinked":0}}"#;
    assert_eq!(told(&changes, Form::Json), format!("{empty}\n"));
    assert_eq!(summary(&changes), "nothing changed");
}

#[test]
fn a_file_that_is_only_linked_otherwise_is_told() {
    let (_view, changes) = changed(base(), |guest| {
        guest.write("copy", LETTERS);
        guest.link("copy", "link");
        guest.rename("link", "old");
        guest.remove("copy");
        guest.link("old", "more");
    });
    assert_eq!(told(&changes, Form::Short), "A /more\nL /old (hard links 1 -> 2)\n");
    assert!(told(&changes, Form::Patch).contains("# L /old (hard links 1 -> 2)\n"));
    assert!(told(&changes, Form::Json).contains(r#""relinked":1"#));
    assert_eq!(summary(&changes), "1 added, 1 with other hard links");
}

#[test]
fn paths_are_the_guests_and_chosen_by_them() {
    let (_view, changes) = changed(base(), change);
    let (_other, others) = changed(base(), |guest| {
        guest.rename("d", "e");
        guest.write("e/f", "x\n");
        guest.write("ef", "");
    });
    let mounts =
        [MountChanges { mount: b"/", changes: &changes }, MountChanges { mount: b"/work", changes: &others }];
    let told = |form, paths: &[&str]| {
        let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let options = DiffOptions { form, colour: Colour::Never, paths };
        String::from_utf8(told_as(&mounts, &options, false)).unwrap()
    };
    assert_eq!(
        told(Form::Short, &["/work", "/type"]),
        "T /type/ (file -> directory)\nA /type/in\nR /work/d/ -> /work/e/\nM /work/d/f -> /work/e/f\nA /work/ef\n"
    );
    assert_eq!(told(Form::Short, &["/work/d"]), "R /work/d/ -> /work/e/\nM /work/d/f -> /work/e/f\n");
    assert_eq!(told(Form::Short, &["/work/e/f"]), "M /work/d/f -> /work/e/f\n");
    assert_eq!(told(Form::Short, &["/wor", "/typ"]), "");
    assert_eq!(told(Form::Short, &["/"]).lines().count(), changes.len() + others.len());
    // What came along with a directory is git's to be told, whatever is asked for.
    assert_snapshot!("patch_of_paths", told(Form::Patch, &["/work/d"]));
    assert_snapshot!("stat_of_paths", told(Form::Stat, &["/work", "/d"]));
}

#[test]
fn a_terminal_gets_colours_and_nothing_else_of_a_guests() {
    let (_view, changes) = changed(base(), |guest| {
        guest.write("letters", LETTERS.replace("b\n", "\x1b[2J\r\n"));
        guest.write("\x1b]0;title\x07", "\u{9b}31m");
        guest.symlink("l", "\x1b[H\u{9b}\u{202e}");
        guest.write("\u{9b}H\x7f\u{202e}", "");
        guest.remove("one");
    });
    for form in [Form::Short, Form::Patch, Form::Stat, Form::Json] {
        let told = |colour| {
            let options = DiffOptions { form, colour, paths: Vec::new() };
            String::from_utf8(told_as(&[MountChanges { mount: b"/", changes: &changes }], &options, true))
                .unwrap()
        };
        let plain = told(Colour::Never);
        assert!(
            plain.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'),
            "{form:?}: {plain:?}"
        );
        let mut coloured = told(Colour::Always);
        assert_eq!(form == Form::Json, coloured == plain);
        for sequence in ["\x1b[m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"] {
            coloured = coloured.replace(sequence, "");
        }
        assert_eq!(coloured, plain);
    }
    let options =
        DiffOptions { form: Form::Patch, colour: Colour::Always, paths: vec![b"/letters".to_vec()] };
    let patch = told_as(&[MountChanges { mount: b"/", changes: &changes }], &options, true);
    assert_snapshot!(
        "coloured",
        String::from_utf8(patch).unwrap().escape_default().to_string().replace("\\n", "\n")
    );
}

#[test]
fn files_that_are_too_large_are_told_as_such() {
    const HUGE: u64 = 10 << 30;
    let base = Guest::in_memory(|guest| {
        guest.write("holes", "text\n");
        guest.truncate("holes", HUGE);
        guest.write("same", [b'x'; 9000]);
        guest.truncate("same", HUGE);
        guest.write("text", [b'x'; 9000]);
        guest.truncate("text", HUGE);
    });
    let start = std::time::Instant::now();
    let (_view, changes) = changed(base, |guest| {
        guest.truncate("holes", HUGE - 1);
        guest.truncate("text", HUGE / 2);
        // As it was, but copied.
        guest.truncate("same", HUGE + 1);
        guest.truncate("same", HUGE);
        guest.write("new", "");
        guest.truncate("new", HUGE);
    });
    assert_eq!(told(&changes, Form::Short), "M /holes\nA /new\nM /text\n");
    assert_eq!(
        told(&changes, Form::Patch),
        "diff --git a/holes b/holes\nindex 0000000..0000000 100644\nBinary files a/holes and b/holes differ\n\
         diff --git a/new b/new\nnew file mode 100644\nindex 0000000..0000000\n\
         Binary files /dev/null and b/new differ\n\
         diff --git a/text b/text\nindex 0000000..0000000 100644\nFiles a/text and b/text, too large to compare (10737418240 bytes), differ\n"
    );
    assert_eq!(
        told(&changes, Form::Stat),
        " /holes | Bin 10737418240 -> 10737418239 bytes\n /new   | Bin 0 -> 10737418240 bytes\n \
         /text  | Bin 10737418240 -> 5368709120 bytes\n 3 files changed, 0 insertions(+), 0 deletions(-)\n"
    );
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn many_lines_that_differ_take_bounded_time() {
    let mut seed = 1_u32;
    let mut lines = |count: usize| -> String {
        let mut line = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{}\n", seed >> 22)
        };
        (0..count).map(|_| line()).collect()
    };
    let (old, new) = (lines(200_000), lines(200_000));
    let base = Guest::in_memory(|guest| guest.write("f", &old));
    let (_view, changes) = changed(base, |guest| guest.write("f", &new));
    let start = std::time::Instant::now();
    let patch = told(&changes, Form::Patch);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    let kept = |mark: char| -> String {
        let lines = patch.lines().skip(3).filter(|line| line.starts_with([' ', mark]));
        lines.map(|line| format!("{}\n", &line[1..])).collect()
    };
    assert!(kept('-') == old && kept('+') == new);
}
