//! The files of a process's directory (`fs/proc/base.c` and `array.c` in Linux).

use std::fmt::Write;
use std::sync::{Arc, Weak};

use vnode_core::fs::{File, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Capabilities, Cx, Errno, Result};

use crate::process::Process;

/// The longest name that a process has (`TASK_COMM_LEN`).
const COMM_MAX: usize = 15;

/// An open file that can only be read.
pub(super) enum Text {
    /// The environment, which may be long: it isn't copied.
    Environ(Weak<Process>),
    /// The arguments, likewise.
    Cmdline(Weak<Process>),
    /// As it was when it was opened.
    Made(Vec<u8>),
}

impl Text {
    pub(super) fn environ(process: &Arc<Process>) -> Self {
        Text::Environ(Arc::downgrade(process))
    }

    pub(super) fn cmdline(process: &Arc<Process>) -> Self {
        Text::Cmdline(Arc::downgrade(process))
    }

    pub(super) fn status(process: &Process, parent: u32) -> Self {
        Text::Made(status(process, parent))
    }
}

/// A process that has memory to show: one that has ended has none.
fn living(process: &Weak<Process>) -> Option<Arc<Process>> {
    process.upgrade().filter(|process| process.exit().is_none())
}

fn put(text: &[u8], offset: u64, into: &mut Sink<'_>) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..));
    into.put(rest.unwrap_or_default())
}

impl File for Text {
    fn read_at(&self, _: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        Ok(match self {
            Text::Environ(process) => {
                living(process).map_or(0, |process| put(process.env().bytes(), offset, into))
            }
            Text::Cmdline(process) => {
                living(process).map_or(0, |process| put(process.args().bytes(), offset, into))
            }
            Text::Made(text) => put(text, offset, into),
        })
    }

    fn write_at(&self, _: &Cx<'_>, _: u64, _: &mut Source<'_>) -> Result<usize> {
        Err(Errno::INVAL)
    }

    fn append(&self, _: &Cx<'_>, _: &mut Source<'_>) -> Result<(usize, u64)> {
        Err(Errno::INVAL)
    }

    /// Linux lets it happen, and nothing comes of it.
    fn set_len(&self, _: &Cx<'_>, _: u64) -> Result<()> {
        Ok(())
    }

    /// The size that these files have is 0; what is made when it is opened can't be searched at all (`seq_lseek`).
    fn seek_data_or_hole(&self, _: &Cx<'_>, _: SeekFor, _: u64) -> Result<u64> {
        match self {
            Text::Environ(_) | Text::Cmdline(_) => Err(Errno::NXIO),
            Text::Made(_) => Err(Errno::INVAL),
        }
    }

    fn sync(&self, _: &Cx<'_>, _: bool) -> Result<()> {
        Err(Errno::INVAL)
    }
}

/// The name of a process: that of its program, cut.
fn name(process: &Process) -> Vec<u8> {
    let args = process.args();
    let program = args.iter().next().unwrap_or_default();
    let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    name.get(..COMM_MAX).unwrap_or(name).to_vec()
}

/// The lines of `status` that something here is known of, in Linux's order (`proc_pid_status`).
fn status(process: &Process, parent: u32) -> Vec<u8> {
    let mut text = b"Name:\t".to_vec();
    for byte in name(process) {
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'\\' => text.extend(b"\\\\"),
            byte => text.push(byte),
        }
    }
    let who = &process.credentials;
    let umask = process.context().umask.raw();
    let state = if process.exit().is_none() { "R (running)" } else { "Z (zombie)" };
    let pid = process.pid();
    let (uid, gid) = (who.uid, who.gid);
    let capabilities = linux_capabilities(who.capabilities);
    let groups = who.groups.iter().fold(String::new(), |text, group| format!("{text}{group} "));
    let mut rest = String::new();
    // Writing to a string never fails.
    let _ = write!(
        rest,
        "\nUmask:\t{umask:04o}\nState:\t{state}\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{parent}\n\
         TracerPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\n\
         FDSize:\t{fds}\nGroups:\t{groups}\nThreads:\t1\nCapInh:\t{none:016x}\nCapPrm:\t{capabilities:016x}\n\
         CapEff:\t{capabilities:016x}\nCapBnd:\t{capabilities:016x}\nCapAmb:\t{none:016x}\n",
        fds = process.fds().capacity(),
        none = 0,
    );
    text.extend(rest.into_bytes());
    text
}

/// The bits of `capability.h`.
fn linux_capabilities(capabilities: Capabilities) -> u64 {
    [
        (Capabilities::CHOWN, 0),
        (Capabilities::DAC_OVERRIDE, 1),
        (Capabilities::FOWNER, 3),
        (Capabilities::FSETID, 4),
        (Capabilities::SYS_ADMIN, 21),
        (Capabilities::SYS_TIME, 25),
        (Capabilities::MKNOD, 27),
    ]
    .into_iter()
    .filter(|(capability, _)| capabilities.contains(*capability))
    .fold(0, |bits, (_, bit)| bits | 1 << bit)
}
