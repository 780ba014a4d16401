//! What names a program: its path, its arguments, its environment.

use vnode_core::{Errno, Result};
use vnode_kernel::{Execute, Search};

use crate::memory::{GuestMemory, PathBytes};
use crate::show::Show;

/// The most bytes of a list, which the kernel bounds again.
const LIST_MAX: u32 = 4 << 20;

/// A list of strings in the guest's memory.
#[derive(Clone, Copy)]
pub(super) struct List {
    /// How it is written.
    form: Form,
    at: u32,
    len: u32,
}

/// How lists of strings are written.
#[derive(Clone, Copy)]
enum Form {
    /// One after the other, a newline between two; so many bytes.
    Lines,
    /// So many addresses of strings that end with NUL.
    Pointers,
}

/// A string that may be absent: then its address is 0.
pub(super) fn optional(memory: &GuestMemory<'_>, at: u32, len: u32) -> Result<Option<Vec<u8>>> {
    if at == 0 { Ok(None) } else { bytes(memory, at, len).map(Some) }
}

fn bytes(memory: &GuestMemory<'_>, at: u32, len: u32) -> Result<Vec<u8>> {
    if len > LIST_MAX {
        return Err(Errno::TOOBIG);
    }
    let mut text = vec![0; len as usize];
    memory.copy_out(at as usize, &mut text)?;
    Ok(text)
}

impl List {
    /// Text of so many bytes, a line for each string.
    pub(super) fn lines(at: u32, len: u32) -> List {
        List { form: Form::Lines, at, len }
    }

    /// An array of so many addresses.
    pub(super) fn pointers(at: u32, len: u32) -> List {
        List { form: Form::Pointers, at, len }
    }

    /// The strings.
    ///
    /// # Errors
    /// `EFAULT`. `E2BIG`: far too many.
    pub(super) fn read(self, memory: &GuestMemory<'_>) -> Result<Vec<Vec<u8>>> {
        match self.form {
            Form::Lines => Ok(lines(&bytes(memory, self.at, self.len)?)),
            Form::Pointers => self.pointed(memory),
        }
    }

    /// The same where no list at all is something else than an empty one.
    ///
    /// # Errors
    /// As [`List::read`].
    pub(super) fn read_if_any(self, memory: &GuestMemory<'_>) -> Result<Option<Vec<Vec<u8>>>> {
        if self.at == 0 { Ok(None) } else { self.read(memory).map(Some) }
    }

    fn pointed(self, memory: &GuestMemory<'_>) -> Result<Vec<Vec<u8>>> {
        let mut list = Vec::new();
        let mut room = LIST_MAX;
        for index in 0..self.len {
            let entry = index.checked_mul(4).and_then(|offset| self.at.checked_add(offset));
            let at = u32::from_le_bytes(memory.read(entry.ok_or(Errno::FAULT)?)?);
            let string = terminated(memory, at, room)?;
            // An empty string takes room, too.
            let taken = u32::try_from(string.len()).unwrap_or(u32::MAX).saturating_add(1);
            room = room.checked_sub(taken).ok_or(Errno::TOOBIG)?;
            list.push(string);
        }
        Ok(list)
    }
}

/// A string that ends with NUL.
fn terminated(memory: &GuestMemory<'_>, at: u32, room: u32) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    let mut at = at;
    loop {
        let [byte] = memory.read(at)?;
        if byte == 0 {
            return Ok(string);
        }
        if string.len() >= room as usize {
            return Err(Errno::TOOBIG);
        }
        string.push(byte);
        at = at.checked_add(1).ok_or(Errno::FAULT)?;
    }
}

/// The strings of a text; a newline at its end ends the last one.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The arguments of a call that names a program.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) name: u32,
    pub(super) name_len: u32,
    pub(super) args: List,
    pub(super) env: List,
    pub(super) search: u32,
    pub(super) path: u32,
    pub(super) path_len: u32,
}

impl Named {
    /// Reads them.
    ///
    /// # Errors
    /// `EFAULT`. `ENAMETOOLONG`. `E2BIG`.
    pub(super) fn read(self, memory: &GuestMemory<'_>) -> Result<Execute> {
        let path = memory.path(self.name, self.name_len, &mut PathBytes::new())?.to_vec();
        let search = match self.search {
            0 => Search::No,
            _ => Search::Path(optional(memory, self.path, self.path_len)?),
        };
        let mut env = self.env.read_if_any(memory)?;
        // Between two newlines there is no variable.
        env.iter_mut().for_each(|env| env.retain(|variable| !variable.is_empty()));
        Ok(Execute { path, args: self.args.read(memory)?, env, search })
    }

    /// Shows them as `execve(2)` is shown by `strace(1)`.
    pub(super) fn show(self, show: &mut Show<'_>, memory: &GuestMemory<'_>) {
        show.path(self.name, self.name_len);
        if let Ok(args) = self.args.read(memory) {
            let args: Vec<String> =
                args.iter().take(SHOWN).map(|arg| format!("\"{}\"", arg.escape_ascii())).collect();
            show.any(format_args!("[{}{}]", args.join(", "), if args.len() == SHOWN { ", ..." } else { "" }));
        }
    }
}

/// Arguments that the trace shows.
const SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(form: Form, at: u32, len: u32, memory: &mut [u8]) -> Result<Vec<Vec<u8>>> {
        List { form, at, len }.read(&GuestMemory::from_slice(memory))
    }

    #[test]
    fn lines_keep_empty_strings() {
        let mut memory = *b"sh\n-c\n\nx";
        assert_eq!(
            list(Form::Lines, 0, 8, &mut memory),
            Ok(vec![b"sh".into(), b"-c".into(), vec![], b"x".into()])
        );
        assert_eq!(list(Form::Lines, 0, 3, &mut memory), Ok(vec![b"sh".into()]));
        assert_eq!(list(Form::Lines, 0, 7, &mut memory).unwrap().len(), 3, "the last is empty");
        assert_eq!(list(Form::Lines, 0, 0, &mut memory), Ok(vec![]));
        assert_eq!(list(Form::Lines, 0, 9, &mut memory), Err(Errno::FAULT));
        assert_eq!(list(Form::Lines, 0, u32::MAX, &mut memory), Err(Errno::TOOBIG));
    }

    #[test]
    fn pointers_are_followed_and_checked() {
        let mut memory = [0; 32];
        memory[..8].copy_from_slice(&[16, 0, 0, 0, 19, 0, 0, 0]);
        memory[16..21].copy_from_slice(b"ab\0c\0");
        assert_eq!(list(Form::Pointers, 0, 2, &mut memory), Ok(vec![b"ab".into(), b"c".into()]));
        assert_eq!(list(Form::Pointers, 0, 9, &mut memory), Err(Errno::FAULT), "the array ends");
        memory[21..].fill(b'x');
        memory[4] = 25;
        assert_eq!(list(Form::Pointers, 0, 2, &mut memory), Err(Errno::FAULT), "no NUL");
    }

    #[test]
    fn what_points_to_itself_often_is_too_much() {
        let mut memory = vec![0; 1 << 16];
        let count = (memory.len() / 4) as u32;
        memory[40_000..60_000].fill(b'x');
        for entry in memory[..39_000].chunks_exact_mut(4) {
            entry.copy_from_slice(&40_000u32.to_le_bytes());
        }
        assert_eq!(list(Form::Pointers, 0, count / 2, &mut memory), Err(Errno::TOOBIG));
    }
}
