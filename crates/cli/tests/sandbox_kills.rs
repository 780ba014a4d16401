//! The command is killed at any moment while a guest runs in a sandbox, and while it applies what is in one: the state is
//! valid, nothing is lost, and the same command again comes to the same end.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::hosts::Dir;
use support::{Ran, guest, vnode_in};

/// How often it is killed; in the environment another number.
const KILLS: u32 = 12;
const KILLS_NAME: &str = "VNODE_SANDBOX_KILLS";

/// Files of each kind of change.
const EACH: usize = 60;

/// A directory of the host, a place for sandboxes, and a number that the next moment is made of.
struct Places {
    top: Dir,
    random: u64,
}

/// What is in a directory, by path: permissions, and content or where it leads.
type Tree = BTreeMap<String, (u32, Vec<u8>)>;

impl Places {
    fn new(seed: u64) -> Places {
        let places = Places { top: Dir::new(), random: seed };
        places.restore();
        places
    }

    fn host(&self) -> std::path::PathBuf {
        self.top.path().join("host")
    }

    /// The directory as it was before anything was applied.
    fn restore(&self) {
        let host = self.host();
        let _ = fs::remove_dir_all(&host);
        for dir in ["", "d", "d/sub", "gone", "moved"] {
            fs::create_dir(host.join(dir)).unwrap();
        }
        for n in 0..EACH {
            for name in [
                format!("w{n}"),
                format!("d/r{n}"),
                format!("d/sub/u{n}"),
                format!("gone/g{n}"),
                format!("moved/m{n}"),
            ] {
                fs::write(host.join(&name), format!("{name} as it was")).unwrap();
            }
        }
        fs::hard_link(host.join("w0"), host.join("w0-link")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = vnode_in(Command::new(env!("CARGO_BIN_EXE_vnode")), &self.top.path().join("state"));
        command.args(words).current_dir(self.host()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The guest that changes everything. Done twice, or once and a part before, it comes to the same.
    fn run(&self) -> Command {
        let mut steps = String::new();
        for n in 0..EACH {
            steps += &format!(
                "write /data/w{n} changed{n} : rename /data/d/r{n} /data/d/s{n} : unlink /data/d/sub/u{n} : mkdir /data/n{n} \
                 : write /data/n{n}/f new{n} : symlink n{n}/f /data/l{n} : unlink /data/gone/g{n} : "
            );
        }
        steps += "rmdir /data/gone : rename /data/moved /data/there : symlink /etc /data/moved";
        let mut command = self.command(&["run", "--quiet", "--sandbox", "s", "--overlay", ".::/data"]);
        command.arg(guest("files")).args(steps.split_whitespace());
        command
    }

    /// A number below this one.
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// Kills a command at any moment before it ends, or a little after; the time starts when this file is there.
    fn kill(&mut self, mut command: Command, longest: Duration, when: Option<&Path>) {
        let moment = longest.mul_f64(self.below(1000) as f64 / 900.0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while when.is_some_and(|file| !file.exists()) && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(moment);
        let _ = child.kill();
        child.wait().unwrap();
    }

    #[track_caller]
    fn done(&self, mut command: Command) -> Ran {
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran
    }

    #[track_caller]
    fn sandbox(&self, words: &[&str]) -> Ran {
        self.done(self.command(&[&["sandbox"], words].concat()))
    }
}

fn kills() -> u32 {
    std::env::var(KILLS_NAME).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

fn tree(top: &Path) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = match meta.file_type() {
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        found.insert(name, (meta.permissions().mode(), content));
    }
    found
}

#[test]
fn a_run_that_is_killed_leaves_what_the_next_goes_on_with() {
    let mut places = Places::new(0x5eed_0001);
    let before = tree(&places.host());
    // The first compiles.
    places.done(places.run());
    let expected = places.sandbox(&["diff", "s"]).stdout;
    assert!(expected.lines().count() > 5 * EACH, "{expected}");
    places.sandbox(&["discard", "s"]);
    let start = Instant::now();
    places.done(places.run());
    let longest = start.elapsed();
    let mut partly = 0;
    for _ in 0..kills() {
        places.sandbox(&["discard", "s"]);
        places.kill(places.run(), longest, None);
        // What there is of it can be told.
        let told = places.sandbox(&["diff", "s"]).stdout;
        partly += usize::from(!told.is_empty() && told != expected);
        let json = places.sandbox(&["diff", "s", "--json"]).stdout;
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        places.done(places.run());
        assert_eq!(places.sandbox(&["diff", "s"]).stdout, expected);
        assert!(tree(&places.host()) == before);
    }
    println!("{partly} of {} kills were in the middle", kills());
    assert!(partly > 0);
    // Nothing is left of what was dropped.
    places.sandbox(&["delete", "s"]);
    for of in ["sandboxes", "uppers"] {
        assert_eq!(fs::read_dir(places.top.path().join("state/vnode").join(of)).unwrap().count(), 0, "{of}");
    }
}

#[test]
fn an_apply_that_is_killed_is_completed() {
    let mut places = Places::new(0x5eed_0002);
    let before = tree(&places.host());
    places.done(places.run());
    let start = Instant::now();
    places.sandbox(&["apply", "s"]);
    let longest = start.elapsed();
    let expected = tree(&places.host());
    assert!(expected.contains_key("there/m1") && !expected.contains_key("gone"));
    let (mut partly, mut refused) = (0, 0);
    let journal = places.host().join(".vnode-apply/journal");
    for kill in 0..kills() {
        places.restore();
        // It had another directory until now.
        let _ = places.command(&["sandbox", "delete", "s"]).output();
        places.done(places.run());
        // Half of them when everything is prepared: what comes then takes less time.
        let (when, longest) = if kill % 2 == 0 { (None, longest) } else { (Some(&*journal), longest / 8) };
        places.kill(places.command(&["sandbox", "apply", "s"]), longest, when);
        // Each file is the old one or the new one.
        let now = tree(&places.host());
        for (name, found) in
            now.iter().filter(|(name, found)| !name.starts_with(".vnode-apply") && !found.1.is_empty())
        {
            let is_known = before.get(name) == Some(found) || expected.get(name) == Some(found);
            assert!(is_known, "{name} is {:?}", String::from_utf8_lossy(&found.1));
        }
        partly += usize::from(now != before && now != expected);
        // Nobody goes on over a mixture.
        let ran: Ran = places.run().arg(":").output().unwrap().into();
        if ran.code == Some(125) {
            refused += 1;
            assert!(ran.stderr.contains("complete it first: vnode sandbox apply s"), "{ran:?}");
        } else {
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        places.sandbox(&["apply", "s"]);
        let now = tree(&places.host());
        for (name, found) in &expected {
            assert_eq!(now.get(name), Some(found), "{name}");
        }
        let more: Vec<&String> = now.keys().filter(|name| !expected.contains_key(*name)).collect();
        assert!(more.is_empty(), "{more:?}");
        let ino = |name: &str| fs::metadata(places.host().join(name)).unwrap().ino();
        assert_eq!(ino("w0"), ino("w0-link"));
        assert_eq!(places.sandbox(&["diff", "s"]).stdout, "");
    }
    println!("{partly} of {} kills were in the middle; {refused} runs were refused", kills());
    assert!(partly > 0 && (refused > 0 || kills() < 40));
}
