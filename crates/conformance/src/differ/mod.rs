//! The differential tester: random input to vnode and to the real kernel, until they differ.
//!
//! * [`paths`]: path resolution alone, against `openat2` and plain lookups.
//! * [`sequences`]: sequences of operations over a tiny alphabet, made by [`generate`] from what is [`known`], counted by
//!   [`tally`];
//!   what differs is shrunk ([`shrink`]) to a trace that is kept and replayed for ever.
//!
//! The alphabet is tiny on purpose: three names, `.`, `..` and slashes collide, loop and dangle all the time.

pub mod generate;
pub mod known;
pub mod paths;
pub mod sequences;
pub mod shrink;
pub mod tally;

use crate::random::Random;
use crate::subject::{Needs, Subject};

/// Fails for an oracle without a root, mounts and users of its own: random absolute paths would mean the host's
/// files.
fn check_oracle(kernel: &dyn Subject) -> Result<(), String> {
    let lacks = (Needs::ROOT | Needs::MOUNTS | Needs::USERS) - kernel.provides();
    if lacks.is_empty() { Ok(()) } else { Err(format!("the oracle lacks {}", lacks.words().join(", "))) }
}

/// A random path text over the alphabet: names, `.`, `..`, doubled and trailing slashes, a leading one at times.
pub fn path_text(random: &mut Random, names: &[&[u8]]) -> Vec<u8> {
    let mut path = Vec::new();
    if random.percent(15) {
        path.extend_from_slice(random.of([&b"/"[..], b"/", b"//", b"/./", b"/.."]));
        if path.ends_with(b"..") {
            path.push(b'/');
        }
    }
    let parts = 1 + random.below(4);
    for part in 0..parts {
        let name: &[u8] = match random.below(100) {
            0..12 => b".",
            12..30 => b"..",
            _ => random.pick(names).copied().unwrap_or(b"a"),
        };
        path.extend_from_slice(name);
        if part + 1 < parts {
            path.extend_from_slice(if random.percent(8) { b"//" } else { b"/" });
        }
    }
    if random.percent(12) {
        path.push(b'/');
    }
    path
}
