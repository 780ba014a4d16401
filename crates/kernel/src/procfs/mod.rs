//! `/proc`.

pub(crate) mod streams;
