//! What is to be reached.

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Metadata,
    SmallIo,
    Sequential,
    Process,
    /// A name made or removed, a file copied up: no read.
    Change,
}

/// What vnode's guest works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    /// A memory filesystem.
    #[default]
    Memory,
    /// A directory of the kernel's tmpfs, as the native program.
    Host,
    /// Other processes, by pipes.
    Processes,
    /// Layers: of memory, and of the kernel's tmpfs.
    Layers,
}

/// How many times the operations of one thread two make, at least, in directories of their own.
pub(crate) const THREADS_TARGET: f64 = 1.8;

impl Over {
    /// The ratio that an operation stays under, if it has to, of the runner in a column.
    pub(crate) fn target(self, column: usize, operation: &str, kind: Kind) -> Option<f64> {
        match (self, kind) {
            (Over::Layers, Kind::Metadata) => [1.0, 2.0].get(column.checked_sub(1)?).copied(),
            // It would be 1, were it copied.
            (Over::Layers, _) => (column == 1 && operation == "copy-up-1g").then_some(0.05),
            _ if column != 1 => None,
            (_, Kind::Change) => None,
            (Over::Memory, Kind::Metadata | Kind::SmallIo) => Some(0.5),
            (Over::Memory, Kind::Sequential) => Some(0.6),
            (Over::Processes, _) => (operation != "pipe-byte").then_some(1.0),
            (_, Kind::Process) => None,
            (Over::Host, Kind::Sequential) => Some(1.05),
            (Over::Host, Kind::SmallIo) => operation.ends_with("-4k").then_some(1.3),
            (Over::Host, Kind::Metadata) => match operation {
                "stat-1" | "readdir-entry" | "rename" | "create-close-unlink" => Some(1.5),
                "stat-12" | "open-close" => Some(2.0),
                _ => None,
            },
        }
    }

    /// What the geometric mean of all operations stays under, if it has to.
    pub(crate) fn mean_target(self) -> Option<f64> {
        (self == Over::Memory).then_some(0.35)
    }
}
