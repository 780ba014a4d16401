//! Archives of all formats, whole, hostile and changed under whoever reads them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod compressed;
mod dialects;
mod faults;
mod hostile;
mod kernel;
mod layers;
mod names;
mod tree;
mod truncation;
mod zipped;
