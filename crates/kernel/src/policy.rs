//! Stands in until the core's own is there.

/// Where path text may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A POSIX process: absolute text starts at its root, `..` stops there.
    Posix,
    /// WASI preview1: the caller's own text stays at or below the directory that it starts from.
    Beneath,
    /// WASI preview1 as its test-suite demands.
    Strict,
}
