//! The `vnode` command.
mod failure;
mod mounts;
mod options;
mod quantity;

fn main() {}
