//! A guest on a terminal: a pseudo-terminal, whose other end is the test's.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use support::{run, vnode};

/// A guest by its name. `cargo xtask tidy` looks for these.
macro_rules! guest {
    ($name:literal) => {
        support::guest($name)
    };
}

const CTRL_C: &[u8] = b"\x03";

/// A pseudo-terminal.
struct Terminal {
    ours: File,
    theirs: File,
}

/// What is to be as it was.
#[derive(Debug, PartialEq)]
struct State {
    modes: [u32; 4],
    codes: Vec<u8>,
}

/// A guest that runs on a terminal.
struct Session<'t> {
    terminal: &'t Terminal,
    child: Child,
    said: String,
}

impl Terminal {
    fn new() -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 800, ws_ypixel: 600 }).unwrap();
        Terminal { ours: ours.into(), theirs }
    }

    fn state(&self) -> State {
        let termios = tcgetattr(&self.theirs).unwrap();
        let codes = [SpecialCodeIndex::VMIN, SpecialCodeIndex::VTIME, SpecialCodeIndex::VEOF];
        State {
            modes: [
                termios.input_modes.bits(),
                termios.output_modes.bits(),
                termios.control_modes.bits(),
                termios.local_modes.bits(),
            ],
            codes: codes.map(|code| termios.special_codes[code]).to_vec(),
        }
    }

    /// Starts the guest in a session of its own, of which this is the controlling terminal.
    fn start(&self, steps: &str) -> Session<'_> {
        self.start_with(steps, Stdio::from(self.theirs.try_clone().unwrap()))
    }

    fn start_with(&self, steps: &str, stdout: Stdio) -> Session<'_> {
        let end = || Stdio::from(self.theirs.try_clone().unwrap());
        let of_vnode = vnode();
        // Whoever started the tests in the background may have signals ignored.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM,HUP,QUIT", "setsid", "--ctty"]);
        command.arg(of_vnode.get_program()).args(["run", "--bin", &format!("tty={}", guest!("tty"))]);
        command.arg(guest!("tty")).args(steps.split_whitespace());
        command.envs(of_vnode.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = command.stdin(end()).stdout(stdout).stderr(end()).spawn().unwrap();
        Session { terminal: self, child, said: String::new() }
    }
}

impl Session<'_> {
    /// Reads until a text comes that wasn't there yet, and takes all up to its end.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        let said = self.within(Duration::from_secs(30), text);
        said.unwrap_or_else(|| panic!("\"{text}\" does not come: {:?}", self.said))
    }

    /// The same for a time.
    fn within(&mut self, time: Duration, text: &str) -> Option<String> {
        let end = Instant::now() + time;
        loop {
            if let Some(at) = self.said.find(text) {
                let rest = self.said.split_off(at + text.len());
                return Some(std::mem::replace(&mut self.said, rest));
            }
            if Instant::now() > end {
                return None;
            }
            let mut fds = [PollFd::new(&self.terminal.ours, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
            if fds[0].revents().contains(PollFlags::IN) {
                let mut bytes = [0; 1024];
                let count = (&self.terminal.ours).read(&mut bytes).unwrap();
                self.said += &String::from_utf8_lossy(&bytes[..count]);
            }
        }
    }

    fn types(&self, bytes: &[u8]) {
        (&self.terminal.ours).write_all(bytes).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < end, "it does not end: {:?}", self.said),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const COOKED: &str = "100 columns, 30 rows, 800 x 600, terminals 111, echo 1, lines 1\r\n";
const RAW: &str = "100 columns, 30 rows, 800 x 600, terminals 111, echo 0, lines 0\r\n";

#[test]
fn a_guest_is_told_how_its_terminal_is() {
    let terminal = Terminal::new();
    let mut session = terminal.start("get");
    session.until(COOKED);
    session.until("done\r\n");
    assert_eq!(session.end().code(), Some(0));
    // Standard output may be something else.
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let session = terminal.start_with("get tty", Stdio::from(File::create(&out).unwrap()));
    assert_eq!(session.end().code(), Some(0));
    let said = std::fs::read_to_string(&out).unwrap();
    assert!(said.contains("terminals 101") && said.contains("/dev/tty = fd\n"), "{said}");
    let mut shown = [0; 100];
    let count = (&terminal.ours).read(&mut shown).unwrap();
    assert_eq!(&shown[..count], b"to the terminal\r\n");
}

#[test]
fn a_character_is_read_when_it_is_typed_and_not_shown() {
    let terminal = Terminal::new();
    let before = terminal.state();
    let mut session = terminal.start("raw get read get cooked get read");
    session.until(RAW);
    session.types(b"q");
    assert_eq!(session.until("read 1: 71\r\n"), "read 1: 71\r\n", "nothing is shown of it");
    session.until(RAW);
    session.until(COOKED);
    session.types(b"line");
    assert_eq!(session.until("line"), "line", "it is shown, and not yet read");
    session.types(b"\n");
    session.until("read 5: 6c");
    assert_eq!(session.end().code(), Some(0));
    assert_eq!(terminal.state(), before);
}

#[test]
fn only_what_is_asked_for_changes() {
    let terminal = Terminal::new();
    let before = terminal.state();
    let mut session = terminal.start("noecho get read");
    session.until("echo 0, lines 1\r\n");
    let mut expected = terminal.state();
    expected.modes[3] |= LocalModes::ECHO.bits();
    assert_eq!(expected, before, "the size that it set, too, is still asked of the terminal");
    session.types(b"secret\n");
    assert_eq!(session.until("read 7: 73\r\n"), "\r\nread 7: 73\r\n".trim_start());
    session.end();
    assert_eq!(terminal.state(), before);
}

#[test]
fn the_terminal_is_as_it_was_whatever_ends_the_guest() {
    let terminal = Terminal::new();
    let before = terminal.state();
    let changed = |session: &mut Session<'_>| {
        session.until(RAW);
        assert_ne!(terminal.state(), before);
    };
    for (steps, code) in [("raw get", 0), ("raw get trap", 134), ("raw get wrong", 2)] {
        let mut session = terminal.start(steps);
        // It may have ended by now.
        session.until(RAW);
        assert_eq!(session.end().code(), Some(code), "{steps}");
        assert_eq!(terminal.state(), before, "{steps}");
    }
    for steps in ["raw get spin", "raw get read"] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            let mut session = terminal.start(steps);
            changed(&mut session);
            session.signal(signal);
            // As any program ends by it.
            assert_eq!(session.end().signal(), Some(signal.as_raw()), "{steps}");
            assert_eq!(terminal.state(), before, "{steps} {signal:?}");
        }
    }
    let mut session = terminal.start("raw get spin");
    changed(&mut session);
    session.types(CTRL_C);
    assert_eq!(session.end().signal(), Some(2));
    assert_eq!(terminal.state(), before);
}

#[test]
fn ctrl_c_is_for_the_guest_to_handle() {
    let terminal = Terminal::new();
    let before = terminal.state();
    let mut session = terminal.start("raw handle get read interrupted");
    session.until(RAW);
    // One that comes before it reads is handled before it does, and the read waits for another.
    let come = "read = EINTR\r\ninterrupted by 2\r\ndone\r\n";
    let reads = (0..15).any(|_| {
        session.types(CTRL_C);
        session.within(Duration::from_secs(2), come).is_some()
    });
    assert!(reads, "{:?}", session.said);
    assert_eq!(session.end().code(), Some(0));
    assert_eq!(terminal.state(), before);
}

#[test]
fn ctrl_c_and_a_change_by_a_child_are_those_of_the_whole_family() {
    let terminal = Terminal::new();
    let before = terminal.state();
    let mut session = terminal.start("child raw get handle child spin interrupted");
    session.until("raw: status 0\r\n");
    session.until(RAW);
    session.until("spinning");
    session.types(CTRL_C);
    session.until("spin: signal 2\r\ninterrupted by 2\r\ndone\r\n");
    assert_eq!(session.end().code(), Some(0));
    assert_eq!(terminal.state(), before);
    // The first process alone is told to end, and its children end with it.
    let mut session = terminal.start("raw get child spin");
    session.until("spinning");
    session.signal(Signal::TERM);
    assert_eq!(session.end().signal(), Some(15));
    assert_eq!(terminal.state(), before);
}

#[test]
fn what_the_guest_did_not_change_stays_as_it_is() {
    let terminal = Terminal::new();
    let mut session = terminal.start("get read");
    session.until(COOKED);
    // By a program in the same pipeline, say.
    let mut termios = tcgetattr(&terminal.theirs).unwrap();
    termios.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal.theirs, OptionalActions::Now, &termios).unwrap();
    let changed = terminal.state();
    session.types(b"\n");
    assert_eq!(session.end().code(), Some(0));
    assert_eq!(terminal.state(), changed);
}

#[test]
fn without_a_terminal_there_is_none() {
    let ran = run(["run", &guest!("tty"), "get", "raw", "tty"]);
    ran.prints("tty_get = ENOTTY\ntty_set = ENOTTY\n/dev/tty = ENXIO\ndone\n");
}

#[test]
fn names_and_content_of_a_diff_drive_no_terminal() {
    const CLEAR: &str = "\x1b[2J";
    let (host, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let command = || {
        let mut command = support::vnode_in(Command::new(env!("CARGO_BIN_EXE_vnode")), state.path());
        command.current_dir(host.path()).env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR");
        command
    };
    let steps = ["create", &format!("/{CLEAR}"), &format!("{CLEAR}text")];
    let made =
        command().args(["run", "--sandbox", "s", "--overlay", "."]).arg(guest!("files")).args(steps).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    for form in ["-p", "--stat", "--json", "--color=always"] {
        let Terminal { mut ours, theirs } = Terminal::new();
        let told = command().args(["sandbox", "diff", "s", form]).stdout(theirs).status().unwrap();
        assert!(told.success());
        let mut said = Vec::new();
        // Nobody has the other end any more, which Linux tells as an error.
        let _ = ours.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains(CLEAR), "{form}: {said:?}");
        let name = if form == "--json" { "/\\u001b[2J" } else { "\\033[2J" };
        assert!(said.contains(name), "{form}: {said:?}");
        if form == "-p" {
            assert!(said.contains("\x1b[32m+^[[2Jtext\x1b[m"), "{said:?}");
        }
    }
}
