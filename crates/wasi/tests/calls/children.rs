//! Spawning, executing and joining on the wire: what is read of the guest's memory and what is written there. Programs are
//! files that hold a status, with which their processes end.

use std::sync::Arc;

use vnode_core::{Errno, Mode, Policy};
use vnode_kernel::{Exit, Files, Loader, Process, ProcessTable, Program, ProgramFile};
use vnode_wasi::{GuestMemory, Leave, Outcome, wasix};

use crate::guest::{BUFFER, Got, Guest, OUTSIDE, PATH, RESULT, namespace};

struct Statuses;

impl Loader for Statuses {
    fn load(&self, file: &ProgramFile<'_>) -> Result<Box<dyn Program>, Errno> {
        let text = String::from_utf8(file.read()?).map_err(|_| Errno::NOEXEC)?;
        text.trim()
            .parse()
            .map(|status| Box::new(Status(status)) as Box<dyn Program>)
            .map_err(|_| Errno::NOEXEC)
    }
}

/// Ends at once; 256 and more: by a signal.
struct Status(u32);

impl Program for Status {
    fn start(self: Box<Self>, process: &Arc<Process>) -> Result<(), Errno> {
        process.end(match self.0.checked_sub(256) {
            Some(signal) => Exit::Signal(signal as u8),
            None => Exit::Status(self.0),
        });
        Ok(())
    }
}

struct Scene {
    guest: Guest,
    process: Arc<Process>,
}

impl Scene {
    fn new() -> Scene {
        let namespace = namespace();
        let files = Files::of(&namespace);
        for (path, status) in [("/seven", "7"), ("/large", "255"), ("/killed", "271"), ("/garbage", "x")] {
            files.write(path, status).unwrap();
            files.chmod(path, Mode::from_raw(0o755)).unwrap();
        }
        files.make_directory("/dir").unwrap();
        let root = namespace.root().clone();
        let builder = Process::builder(namespace).policy(Policy::Posix).preopen("/", root);
        let process = Arc::new(builder.processes(Arc::new(ProcessTable::new())).build().unwrap());
        process.processes().add(&process).unwrap();
        process.set_loader(Arc::new(Statuses));
        Scene { guest: Guest::new(), process }
    }

    fn outcome(&mut self, call: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome) -> Outcome {
        let process = Arc::clone(&self.process);
        self.guest.outcome(|_, memory| call(&process, memory))
    }

    fn call(&mut self, call: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome) -> Got<()> {
        let process = Arc::clone(&self.process);
        self.guest.call(|_, memory| call(&process, memory))
    }

    fn name(&mut self, name: &str) -> u32 {
        self.guest.put(PATH, name.as_bytes());
        name.len() as u32
    }

    /// `proc_spawn2` with these actions and dispositions, whose arrays are put into the memory.
    fn spawn(&mut self, name: &str, actions: &[[u32; 14]], signals: &[u8]) -> Got<u32> {
        let len = self.name(name);
        let bytes: Vec<u8> = actions.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        self.guest.put(ACTIONS, &bytes);
        self.guest.put(SIGNALS, signals);
        let (count, of_signals) = (actions.len() as u32, signals.len() as u32 / 2);
        let signals = if signals.is_empty() { 0 } else { SIGNALS };
        self.call(|p, m| {
            wasix::proc_spawn2(
                p, m, PATH, len, PATH, len, 0, 0, ACTIONS, count, signals, of_signals, 0, 0, 0, RESULT,
            )
        })?;
        Ok(self.guest.u32(RESULT))
    }

    fn join(&mut self, option: [u8; 8], flags: u32) -> Got<(Vec<u8>, Vec<u8>)> {
        self.guest.put(RESULT, &option);
        self.guest.put(BUFFER, &[0xaa; 6]);
        self.call(|p, m| wasix::proc_join(p, m, RESULT, flags, BUFFER))?;
        Ok((self.guest.get(RESULT, 8), self.guest.get(BUFFER, 6)))
    }
}

const ACTIONS: u32 = 0x2000;
const SIGNALS: u32 = 0x3000;
const ANY: [u8; 8] = [0; 8];

fn one(pid: u32) -> [u8; 8] {
    let mut option = [1, 0, 0, 0, 0, 0, 0, 0];
    option[4..].copy_from_slice(&pid.to_le_bytes());
    option
}

#[test]
fn a_status_and_a_signal_are_told_apart() {
    let mut scene = Scene::new();
    let seven = scene.spawn("/seven", &[], &[]).unwrap();
    assert_eq!(scene.join(one(seven), 0), Ok((one(seven).into(), vec![1, 0, 7, 0, 0, 0])));
    let large = scene.spawn("/large", &[], &[]).unwrap();
    assert_eq!(scene.join(ANY, 1), Ok((one(large).into(), vec![1, 0, 255, 0, 0, 0])));
    let killed = scene.spawn("/killed", &[], &[]).unwrap();
    assert_eq!(scene.join(one(u32::MAX), 0), Ok((one(killed).into(), vec![2, 0, 0, 0, 15, 0])));
    assert_eq!(scene.join(ANY, 0), Err(Errno::CHILD));
    assert_eq!(scene.join(one(seven), 1), Err(Errno::CHILD));
}

#[test]
fn a_join_checks_what_it_is_given() {
    let mut scene = Scene::new();
    let child = scene.spawn("/seven", &[], &[]).unwrap();
    assert_eq!(scene.join([2, 0, 0, 0, 0, 0, 0, 0], 0), Err(Errno::INVAL));
    assert_eq!(scene.join(ANY, 4), Err(Errno::INVAL));
    for (pid, status) in [(OUTSIDE, BUFFER), (RESULT, OUTSIDE)] {
        scene.guest.put(RESULT, &ANY);
        assert_eq!(scene.call(|p, m| wasix::proc_join(p, m, pid, 0, status)), Err(Errno::FAULT));
    }
    assert_eq!(scene.join(ANY, 0), Ok((one(child).into(), vec![1, 0, 7, 0, 0, 0])), "it is there still");
}

#[test]
fn actions_are_checked_one_by_one() {
    let mut scene = Scene::new();
    let action = |words: &[u32]| {
        let mut action = [0; 14];
        action[..words.len()].copy_from_slice(words);
        action
    };
    let path = |scene: &mut Scene, text: &str| {
        scene.guest.put(0x2800, text.as_bytes());
        (0x2800, text.len() as u32)
    };
    let (at, len) = path(&mut scene, "/dir");
    assert_eq!(scene.spawn("/seven", &[action(&[9])], &[]), Err(Errno::INVAL), "no such action");
    assert!(scene.spawn("/seven", &[action(&[0, 77])], &[]).is_ok());
    assert_eq!(scene.spawn("/seven", &[action(&[1, 5, 77])], &[]), Err(Errno::BADF));
    assert!(scene.spawn("/seven", &[action(&[2, 5, 0, at, len, 1])], &[]).is_ok(), "a directory");
    assert_eq!(scene.spawn("/seven", &[action(&[2, 5, 0, at, len, 1, 16])], &[]), Err(Errno::INVAL));
    assert_eq!(scene.spawn("/seven", &[action(&[2, 5, 0, OUTSIDE, 8, 1])], &[]), Err(Errno::FAULT));
    assert!(scene.spawn("/seven", &[action(&[3, 0, 0, at, len])], &[]).is_ok());
    assert_eq!(scene.spawn("seven", &[action(&[3, 0, 0, at, len])], &[]), Err(Errno::NOENT), "from there");
    assert_eq!(scene.spawn("/seven", &[action(&[4, 1])], &[]), Err(Errno::NOTDIR));
    let len = scene.name("/seven");
    let far = |scene: &mut Scene, at: u32, count: u32| {
        scene.call(|p, m| {
            wasix::proc_spawn2(p, m, PATH, len, PATH, len, 0, 0, at, count, 0, 0, 0, 0, 0, RESULT)
        })
    };
    assert_eq!(far(&mut scene, OUTSIDE, 1), Err(Errno::FAULT));
    assert_eq!(far(&mut scene, u32::MAX - 8, u32::MAX), Err(Errno::FAULT));
    assert_eq!(far(&mut scene, OUTSIDE, 0), Ok(()), "none are read");
}

#[test]
fn dispositions_are_handed_on() {
    let mut scene = Scene::new();
    assert_eq!(scene.spawn("/seven", &[], &[99, 1]), Err(Errno::INVAL));
    assert_eq!(scene.spawn("/seven", &[], &[10, 2]), Err(Errno::INVAL));
    assert!(scene.spawn("/seven", &[], &[10, 1, 12, 1, 10, 0]).is_ok());
    scene.call(|p, m| wasix::proc_signals_sizes_get(p, m, RESULT)).unwrap();
    assert_eq!(scene.guest.u32(RESULT), 0, "the parent ignores nothing");
    assert_eq!(scene.call(|p, m| wasix::proc_signals_get(p, m, RESULT)), Ok(()));
}

#[test]
fn a_child_of_the_older_form_has_pipes() {
    let mut scene = Scene::new();
    let spawn = |scene: &mut Scene, name: &str, modes: [u32; 3], chroot: u32| {
        let len = scene.name(name);
        let [i, o, e] = modes;
        scene.call(|p, m| {
            wasix::proc_spawn(p, m, PATH, len, chroot, PATH, len, 0, 0, i, o, e, PATH, 0, BUFFER)
        })
    };
    let before = scene.process.fds().len();
    assert_eq!(spawn(&mut scene, "/seven", [0, 0, 0], 1), Err(Errno::NOTSUP));
    assert_eq!(spawn(&mut scene, "/seven", [0, 4, 0], 0), Err(Errno::INVAL));
    assert_eq!(spawn(&mut scene, "/none", [0, 0, 0], 0), Err(Errno::NOENT));
    assert_eq!(scene.process.fds().len(), before, "no pipe is left behind");
    spawn(&mut scene, "/seven", [0, 1, 0], 0).unwrap();
    let words: Vec<u32> = scene
        .guest
        .get(BUFFER, 28)
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    let [_pid, has_in, stdin, has_out, _, has_err, stderr] = words[..] else { panic!("{words:?}") };
    assert_eq!((has_in, has_out, has_err), (1, 0, 1));
    assert_eq!(scene.process.fds().len(), before + 2, "the child's ends are its own");
    let mut byte = [0; 1];
    let ended = scene.process.read(stderr, &mut vnode_core::io::Sink::from_slice(&mut byte));
    assert_eq!(ended, Ok(0), "it has ended");
    let wrote = scene.process.write(stdin, &mut vnode_core::io::Source::from_slice(b"x"));
    assert_eq!(wrote, Err(Errno::PIPE));
}

#[test]
fn an_execution_ends_the_program_or_answers() {
    let mut scene = Scene::new();
    let exec3 = |scene: &mut Scene, name: &str| {
        let len = scene.name(name);
        scene.outcome(|p, m| wasix::proc_exec3(p, m, PATH, len, PATH, len, 0, 0, 0, 0, 0))
    };
    assert_eq!(exec3(&mut scene, "/none"), Ok(44));
    assert_eq!(exec3(&mut scene, "/garbage"), Ok(45));
    assert_eq!(exec3(&mut scene, "/seven"), Err(Leave::Executes));
    assert!(scene.process.take_program().is_some());
    assert!(scene.process.args().iter().eq([b"/seven"]));
    let len = scene.name("/none");
    let exec = scene.outcome(|p, m| wasix::proc_exec(p, m, PATH, len, PATH, len));
    assert_eq!(exec, Err(Leave::Ends(Exit::Status(44))), "it has no other way to tell");
    // Arrays of addresses: two arguments, one variable.
    scene.guest.put(BUFFER, b"one\0two words\0A=1\0");
    let addresses: Vec<u8> =
        [BUFFER, BUFFER + 4, BUFFER + 14].iter().flat_map(|at| at.to_le_bytes()).collect();
    scene.guest.put(RESULT, &addresses);
    let len = scene.name("/seven");
    let exec4 = |p: &Process, m: &GuestMemory<'_>, count| {
        wasix::proc_exec4(p, m, PATH, len, RESULT, count, RESULT + 8, 1, 0, 0, 0)
    };
    assert_eq!(scene.outcome(|p, m| exec4(p, m, u32::MAX)), Ok(21));
    assert_eq!(scene.outcome(|p, m| exec4(p, m, 2)), Err(Leave::Executes));
    assert!(scene.process.args().iter().eq([&b"one"[..], b"two words"]));
    assert!(scene.process.env().iter().eq([b"A=1"]));
}

#[test]
fn signals_are_sent_by_number() {
    let mut scene = Scene::new();
    let own = scene.process.pid();
    let kill = |scene: &mut Scene, pid, signal| scene.call(|p, m| wasix::proc_signal(p, m, pid, signal));
    assert_eq!(kill(&mut scene, own, 0), Ok(()));
    assert_eq!(kill(&mut scene, 77, 0), Err(Errno::SRCH));
    assert_eq!(kill(&mut scene, own, 32), Err(Errno::INVAL));
    assert_eq!(kill(&mut scene, own, 19), Err(Errno::NOTSUP));
    assert_eq!(kill(&mut scene, u32::MAX, 15), Err(Errno::SRCH), "there are no others");
    let ended = scene.outcome(|p, m| wasix::proc_signal(p, m, 0, 15));
    assert_eq!(ended, Err(Leave::Ends(Exit::Signal(15))), "all of the group, itself too");
}

#[test]
fn without_an_engine_there_are_no_programs() {
    let mut guest = Guest::new();
    guest.put(PATH, b"/x");
    let exec = guest.call(|p, m| wasix::proc_exec3(p, m, PATH, 2, PATH, 2, 0, 0, 0, 0, 0));
    assert_eq!(exec, Err(Errno::NOSYS));
}
