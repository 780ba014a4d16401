//! The operations: walk, check, one call of a filesystem. Each is a system call of Linux, with its errors in its
//! order; the functions of Linux that settle the order are named.

mod attributes;
mod create;
mod directory;
mod links;
mod open;
mod remove;
mod rename;
mod xattr;

pub use directory::Listing;
pub use open::{OpenFlags, OpenHow, OpenNode, Opened};
