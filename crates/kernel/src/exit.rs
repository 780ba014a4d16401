//! How a process ends.

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status; a parent sees its low 8 bits.
    Status(u32),
    /// By a signal, with Linux's number (`signal(7)`).
    Signal(u8),
    /// It was told to end from outside: a time limit, the embedder.
    Killed,
}

impl Exit {
    /// The status that a shell shows: the process's own, or 128 and the signal's number (137 when killed).
    pub const fn shell_status(self) -> u8 {
        match self {
            Exit::Status(status) => (status & 0xff) as u8,
            Exit::Signal(signal) => 128u8.wrapping_add(signal),
            Exit::Killed => 137,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_see_eight_bits() {
        assert_eq!(Exit::Status(0x1_02).shell_status(), 2);
        assert_eq!(Exit::Status(u32::MAX).shell_status(), 255);
        assert_eq!(Exit::Signal(6).shell_status(), 134);
    }
}
