//! Operations in any order, against the model: every answer, and in the end the whole tree, what it counts, and
//! that nothing is left when all is removed.

use vnode_core::Result;

use crate::input::Input;
use crate::model::{Id, Model, ROOT, What};
use crate::op::{Answer, At, Op};
use crate::world::{Pairs, World};

/// Operations of one input.
const MAX_OPS: usize = 200;

/// Feeds one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut model = Model::default();
    let mut world = World::new(input.flag());
    let mut pairs = Pairs::default();
    let mut done = Vec::new();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        let op = Op::of_sequences(&mut input);
        done.push(op.clone());
        let (expected, got) = (model.run(&op), world.run(&op));
        assert!(
            is_same(&mut model, &op, &expected, &got, &mut pairs),
            "{expected:?} is right, not {got:?}:\n{done:#?}"
        );
    }
    let mut tree = Tree { model: &mut model, world: &mut world, pairs: &mut pairs };
    if let Err(difference) = tree.check(ROOT, b"/") {
        panic!("{difference}:\n{done:#?}");
    }
    world.let_go();
    assert_eq!(world.usage().map(|used| used.0), Ok(model.count_names()), "{done:#?}");
    Tree { model: &mut model, world: &mut world, pairs: &mut pairs }.clear(ROOT, b"/");
    assert_eq!(world.usage(), Ok((1, 0)), "something stays when all is removed:\n{done:#?}");
}

fn is_same(
    model: &mut Model,
    op: &Op,
    expected: &Result<Answer>,
    got: &Result<Answer>,
    pairs: &mut Pairs,
) -> bool {
    match (op, expected, got) {
        (Op::SeekData { .. } | Op::SeekHole { .. }, Ok(_), Ok(Answer::Number(told))) => {
            model.check_sought(op, Ok(*told))
        }
        (Op::SeekData { .. }, Ok(_), Err(errno)) => model.check_sought(op, Err(*errno)),
        (_, Ok(Answer::Found(expected)), Ok(Answer::Found(got))) => {
            (expected.kind, expected.nlink, expected.size) == (got.kind, got.nlink, got.size)
                && pairs.agree(expected.id, got.id)
        }
        _ => expected == got,
    }
}

/// Both trees, walked by absolute paths.
struct Tree<'a> {
    model: &'a mut Model,
    world: &'a mut World,
    pairs: &'a mut Pairs,
}

/// The longest path that can be walked; what is deeper is left.
const DEEP: usize = 4000;

impl Tree<'_> {
    fn agree(&mut self, op: &Op) -> std::result::Result<(), String> {
        let (expected, got) = (self.model.run(op), self.world.run(op));
        if is_same(self.model, op, &expected, &got, self.pairs) {
            return Ok(());
        }
        Err(format!("in the end {op:?} must be {expected:?}, not {got:?}"))
    }

    fn check(&mut self, dir: Id, path: &[u8]) -> std::result::Result<(), String> {
        self.agree(&Op::Hold { at: at(path), follow: false, slot: 0 })?;
        self.agree(&Op::List { slot: 0 })?;
        for (name, id) in self.model.names_in(dir) {
            let path = [path, &name].concat();
            self.agree(&Op::Stat { at: at(&path), follow: false })?;
            match self.model.what(id) {
                What::Directory(..) if path.len() < DEEP => self.check(id, &[&path, &b"/"[..]].concat())?,
                What::Link(_) => self.agree(&Op::Readlink { at: at(&path) })?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes everything from the world.
    fn clear(&mut self, dir: Id, path: &[u8]) {
        for (name, id) in self.model.names_in(dir) {
            let path = [path, &name].concat();
            let removed = match self.model.what(id) {
                What::Directory(..) => {
                    self.clear(id, &[&path, &b"/"[..]].concat());
                    self.world.run(&Op::Rmdir { at: at(&path) })
                }
                _ => self.world.run(&Op::Unlink { at: at(&path) }),
            };
            assert_eq!(removed, Ok(Answer::Done), "{}", path.escape_ascii());
        }
    }
}

fn at(path: &[u8]) -> At {
    At { slot: 0, path: path.to_vec() }
}
