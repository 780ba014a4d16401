//! Every function of both modules, with numbers of all kinds over a small guest memory: no panic, no byte written
//! but where the call's results go, nothing changed by a call that finds a wrong address, and no more descriptors
//! than allowed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vnode_core::fs::NewKind;
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Mode, Namespace, Policy, Result, Timespec, VPath,
};
use vnode_kernel::stream::{Bytes, Capture};
use vnode_kernel::{ClockId, Clocks, Event, Limits, Observer, Process, Random};
use vnode_memory::Memory;
use vnode_wasi::{GuestMemory, Outcome, errno, for_each_preview1, for_each_unstable};

use crate::input::Input;

/// Calls of one input.
const MAX_CALLS: usize = 150;
/// Descriptors of one process.
const MAX_FDS: u32 = 24;
/// Bytes on both sides of the guest's memory that nobody may touch.
const GUARD: usize = 256;
const UNTOUCHED: u8 = 0xc3;

/// An argument as it is chosen, kept and passed.
trait Argument: Sized {
    fn choose(input: &mut Input<'_>, len: u64) -> u64;
    fn of(bits: u64) -> Self;
}

impl Argument for u32 {
    fn choose(input: &mut Input<'_>, len: u64) -> u64 {
        match input.byte() {
            small @ 0..64 => u64::from(small),
            edge @ 64..96 => len.wrapping_sub(u64::from(edge - 64)) & 0xffff_ffff,
            128 => 0xffff_ffff,
            129 => 0x8000_0000,
            130 => 0xffff_fff8,
            131 => 0x1000_0000,
            132..224 => input.number::<2>(),
            page @ 96..128 => u64::from(page - 96) * 64,
            _ => input.number::<4>(),
        }
    }

    fn of(bits: u64) -> Self {
        bits as u32
    }
}

impl Argument for u64 {
    fn choose(input: &mut Input<'_>, _: u64) -> u64 {
        match input.byte() {
            small @ 0..128 => u64::from(small),
            shift @ 128..192 => 1 << (shift - 128),
            192..208 => u64::MAX,
            208..216 => i64::MAX as u64,
            216..224 => 0x1fff_ffff,
            _ => input.number::<8>(),
        }
    }

    fn of(bits: u64) -> Self {
        bits
    }
}

impl Argument for i64 {
    fn choose(input: &mut Input<'_>, len: u64) -> u64 {
        u64::choose(input, len)
    }

    fn of(bits: u64) -> Self {
        bits as i64
    }
}

/// An import: its parameters, how they are chosen, and the function.
struct Import {
    name: &'static str,
    parameters: &'static [&'static str],
    choose: fn(&mut Input<'_>, u64) -> Vec<u64>,
    call: fn(&Process, &GuestMemory<'_>, &[u64]) -> Outcome,
}

macro_rules! imports {
    ([] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
        &[$(Import {
            name: stringify!($name),
            parameters: &[$(stringify!($arg)),*],
            choose: |input, len| {
                let _ = (&input, len);
                vec![$(<$type>::choose(input, len)),*]
            },
            call: |process, memory, values| {
                let mut values = values.iter().copied();
                $(let $arg = <$type as Argument>::of(values.next().unwrap_or(0));)*
                let _ = &mut values;
                $path(process, memory, $($arg),*)
            },
        }),*]
    };
}

const PREVIEW1: &[Import] = for_each_preview1!(imports);
const UNSTABLE: &[Import] = for_each_unstable!(imports);

/// Clocks that go on by a millisecond whenever they are read.
#[derive(Default)]
struct Stepping(AtomicU64);

impl Clocks for Stepping {
    fn time(&self, _: ClockId) -> Result<u64> {
        Ok(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }

    fn resolution(&self, _: ClockId) -> Result<u64> {
        Ok(1)
    }
}

impl Clock for Stepping {
    fn now(&self) -> Timespec {
        Timespec::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(0);
        Ok(())
    }
}

/// Has every argument put into text.
struct Reader;

impl Observer for Reader {
    fn wants_text(&self) -> bool {
        true
    }

    fn called(&self, event: &Event<'_>) {
        assert!(event.args.is_ascii(), "a trace drives no terminal: {:?}", event.args);
    }
}

/// Feeds one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choices = input.byte();
    let unstable = choices & 1 == 1;
    let process = process(choices).expect("a process");
    let len = input.of([4096, 65_536, 64, 1, 0]);
    let mut guest = Guest { bytes: vec![UNTOUCHED; GUARD + len + GUARD], len, unstable };
    guest.memory().fill(0);
    for _ in 0..MAX_CALLS {
        if input.is_empty() {
            break;
        }
        match input.byte() {
            kind @ 0..64 => guest.poke(&mut input, kind),
            index => {
                let imports = if unstable { UNSTABLE } else { PREVIEW1 };
                let import = &imports[usize::from(index - 64) % imports.len()];
                if guest.call(&process, import, &mut input).is_err() {
                    break;
                }
            }
        }
    }
}

/// A process on a small tree, with three standard streams and the root preopened.
fn process(choices: u8) -> Result<Process> {
    let memory = Memory::builder().max_bytes(1 << 20).max_inodes(64).time(Timespec::EPOCH).build();
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(memory)));
    let clock = Stepping::default();
    let who = Credentials::root();
    let cx = Cx::new(&who, &clock);
    let root = namespace.root();
    let caller = Caller { ns: &namespace, cx: &cx, root, policy: Policy::Posix };
    caller.mkdir(root, VPath::new(b"d")?, Mode::RWXU)?;
    caller.mknod(root, VPath::new(b"a")?, NewKind::Regular, Mode::RWXU)?;
    caller.truncate(root, VPath::new(b"a")?, 5000)?;
    caller.symlink(b"a", root, VPath::new(b"l")?)?;
    caller.symlink(b"/d/../../l", root, VPath::new(b"d/m")?)?;
    let root = root.clone();
    let mut builder = Process::builder(namespace)
        .arg("guest")
        .arg("x")
        .env("A", "b")
        .stdin(Arc::new(Bytes::new(vec![7; 100])))
        .stdout(Arc::new(Capture::new(1000)))
        .preopen("/", root)
        .limits(Limits { open_files: MAX_FDS })
        .clocks(Arc::new(clock))
        .random(Arc::new(Zeros));
    if choices & 2 != 0 {
        builder = builder.policy(Policy::Strict);
    }
    if choices & 4 != 0 {
        builder = builder.observer(Arc::new(Reader));
    }
    builder.build()
}

/// The guest's memory between two guards.
struct Guest {
    bytes: Vec<u8>,
    len: usize,
    unstable: bool,
}

impl Guest {
    fn memory(&mut self) -> &mut [u8] {
        &mut self.bytes[GUARD..GUARD + self.len]
    }

    /// Puts something into the memory that a call can use.
    fn poke(&mut self, input: &mut Input<'_>, kind: u8) {
        let at = if kind < 32 { u64::from(kind) * 8 } else { input.number::<2>() } as usize;
        let bytes = match kind % 4 {
            0 => input.of([&b"a"[..], b"d", b"l", b"d/m", b"d/x", b"..", b"l/", b"/"]).to_vec(),
            1 => input.text(),
            2 => input.bytes(16).to_vec(),
            _ => {
                let len = self.len as u64;
                let pair = [u32::choose(input, len), u32::choose(input, len)];
                pair.iter().flat_map(|&number| (number as u32).to_le_bytes()).collect()
            }
        };
        if let Some(there) = self.memory().get_mut(at..at.saturating_add(bytes.len())) {
            there.copy_from_slice(&bytes);
        }
    }

    /// Makes a call; fails if it was the guest's last.
    fn call(
        &mut self,
        process: &Process,
        import: &Import,
        input: &mut Input<'_>,
    ) -> std::result::Result<(), ()> {
        let values = (import.choose)(input, self.len as u64);
        if import.name == "poll_oneoff" {
            self.shorten_waits(&values);
        }
        let before = self.memory().to_vec();
        let memory = GuestMemory::from_slice(&mut self.bytes[GUARD..GUARD + self.len]);
        let outcome = (import.call)(process, &memory, &values);
        let what = || format!("{}{values:?} over {} bytes: {outcome:?}", import.name, before.len());
        let guards = self.bytes[..GUARD].iter().chain(&self.bytes[GUARD + self.len..]);
        assert!(guards.copied().all(|byte| byte == UNTOUCHED), "{} wrote outside of the memory", what());
        let allowed = results(import, &values, &before);
        let after = self.memory();
        let wrong = (0..before.len())
            .find(|&at| before[at] != after[at] && !allowed.iter().any(|range| range.contains(&(at as u64))));
        assert_eq!(wrong, None, "{} wrote where no result goes", what());
        match outcome {
            Ok(number) => {
                assert!(number == 0 || errno::from_wasi(number).is_some(), "{}", what());
                let faulted = errno::from_wasi(number) == Some(Errno::FAULT);
                assert!(!faulted || before == *after, "{} changed memory", what());
            }
            Err(_) => assert!(import.name.starts_with("proc_"), "{} ended the guest", what()),
        }
        assert!(process.fds().len() <= MAX_FDS as usize, "{} opened too many", what());
        outcome.map(|_| ()).map_err(|_| ())
    }

    /// Has no subscription to a clock wait for longer than a microsecond.
    fn shorten_waits(&mut self, values: &[u64]) {
        let (size, timeout, flags) = if self.unstable { (56, 32, 48) } else { (48, 24, 40) };
        let &[start, _, count, _] = values else { return };
        for index in 0..count.min(65_536) {
            let Some(at) = start.checked_add(index * size).and_then(|at| usize::try_from(at).ok()) else {
                return;
            };
            let Some(subscription) = self.memory().get_mut(at..at.saturating_add(size as usize)) else {
                return;
            };
            if subscription[8] == 0 {
                subscription[timeout + 2..timeout + 8].fill(0);
                subscription[flags] &= !1;
            }
        }
    }
}

/// Where a call may write.
fn results(import: &Import, values: &[u64], memory: &[u8]) -> Vec<Range<u64>> {
    /// No struct and no list of strings is longer.
    const STRUCT: u64 = 64;
    let mut ranges = Vec::new();
    for (index, (&parameter, &value)) in import.parameters.iter().zip(values).enumerate() {
        let next = values.get(index + 1).copied().unwrap_or(0);
        let len = match (import.name, parameter) {
            ("path_open", "fd") | ("fd_tell", "offset") | ("environ_sizes_get", "count") => STRUCT,
            ("fd_prestat_dir_name", "path") => next,
            ("poll_oneoff", "events") => next.saturating_mul(32),
            ("path_readlink" | "fd_readdir" | "random_get", "buf") => next,
            ("sock_send" | "fd_write" | "fd_pwrite", "iovs") => 0,
            (_, "iovs") => {
                ranges.extend(vectors(memory, value, next));
                0
            }
            (_, "argv" | "argv_buf" | "argc" | "argv_buf_size" | "environ" | "environ_buf" | "buf_size") => {
                STRUCT
            }
            (_, "resolution" | "time" | "stat" | "prestat" | "newoffset" | "nread" | "nwritten") => STRUCT,
            (_, "bufused" | "nevents" | "result" | "oflags") if import.name != "path_open" => STRUCT,
            _ => 0,
        };
        ranges.push(value..value.saturating_add(len));
    }
    ranges
}

/// The buffers that vectors tell.
fn vectors(memory: &[u8], start: u64, count: u64) -> Vec<Range<u64>> {
    let number = |at: usize| {
        let bytes = memory.get(at..at.checked_add(4)?)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let vectors = (0..count.min(1024)).map_while(|index| {
        let at = usize::try_from(start + index * 8).ok()?;
        Some((number(at)?, number(at + 4)?))
    });
    vectors.map(|(start, len)| start..start + len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_place() {
        let fd_read = PREVIEW1.iter().find(|import| import.name == "fd_read").expect("an import");
        let memory = [8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(results(fd_read, &[0, 0, 1, 100], &memory), [0..0, 8..11, 0..0, 1..1, 100..164]);
    }
}
