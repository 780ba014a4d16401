//! The `vnode` command.
fn main() {}
