//! Path text under every policy, against the model: trees of directories, files, links and mounts, where a mount
//! must be walked like a directory.

use vnode_core::Policy;

use crate::input::Input;
use crate::model::Model;
use crate::op::{Answer, At, Op};
use crate::world::{Pairs, World};

/// Operations of one input.
const MAX_OPS: usize = 120;

/// Feeds one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut model = Model::default();
    let mut worlds = [World::new(false), World::new(true)];
    let mut pairs: [Pairs; 2] = Default::default();
    let mut done = Vec::new();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        let (policy, op) = Op::of_paths(&mut input);
        model.policy = policy;
        let mounts = input.byte().is_multiple_of(4);
        let expected = match &op {
            Op::Mkdir { at } if mounts && is_plain(&at.path) => mount(&mut model, &worlds, at),
            op => Some(model.run(op)),
        };
        done.push((policy, op.clone()));
        let Some(expected) = expected else { continue };
        for (world, pairs) in worlds.iter_mut().zip(&mut pairs) {
            world.policy = policy;
            // Nothing is learned by a walk: the second says what the first did.
            let rounds = if matches!(op, Op::Stat { .. } | Op::Readlink { .. }) { 2 } else { 1 };
            for _ in 0..rounds {
                let got = world.run(&op);
                assert!(is_same(&expected, &got, pairs), "{expected:?} is right, not {got:?}:\n{done:#?}");
            }
        }
    }
}

/// Mounts a filesystem where the model makes a directory; nothing more is to be done then.
fn mount(model: &mut Model, worlds: &[World; 2], at: &At) -> Option<vnode_core::Result<Answer>> {
    model.policy = Policy::Posix;
    if model.run(&Op::Mkdir { at: at.clone() }).is_ok() {
        for world in worlds {
            world.mount(at.slot, &at.path).expect("the model has a directory there");
        }
    }
    None
}

fn is_plain(path: &[u8]) -> bool {
    vnode_core::Name::new(path).is_ok()
}

/// Whether both answers are the same, as far as mounts leave it: who counts the directories in a directory
/// doesn't count mount points.
fn is_same(
    expected: &vnode_core::Result<Answer>,
    got: &vnode_core::Result<Answer>,
    pairs: &mut Pairs,
) -> bool {
    match (expected, got) {
        (Ok(Answer::Found(expected)), Ok(Answer::Found(got))) => {
            expected.kind == got.kind && expected.size == got.size && pairs.agree(expected.id, got.id)
        }
        (expected, got) => expected == got,
    }
}
