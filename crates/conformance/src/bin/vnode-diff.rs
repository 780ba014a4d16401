//! The differential tester for as long as one likes: `vnode-diff [--minutes N | --seconds N] [--seed N]
//! [--keep DIR] [--overlay]`.
//!
//! With `--overlay` all of the time goes to overlays, of memory and of directories of the host in `/dev/shm`, compared with
//! overlays of the kernel's. Without it:
//!
//! Half of the time compares path resolution alone, half sequences of operations; each is split over the places
//! that the memory filesystem can be mounted at, with runs of names and without, and the decorators that it can be
//! under; a read-only one has sequences only. Exits with 1 if there was a difference or the run was not worth much.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vnode_adapt::Keep;
use vnode_conformance::adapted::{self, Books, Layer};
use vnode_conformance::differ::sequences::SequenceReport;
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::memory::{self, Runs};
use vnode_conformance::overlay::{self, Medium, Stack};
use vnode_conformance::vnode::{Layout, Vnode};

/// Where vnode's filesystem is and how its paths are walked.
const PLACES: [(Layout, Runs); 4] = [
    (Layout::Root, Runs::Taken),
    (Layout::Root, Runs::Left),
    (Layout::SubMount, Runs::Taken),
    (Layout::Bind, Runs::Left),
];

/// Under which decorators, the innermost first.
const STACKS: [(Layout, &[Layer]); 5] = [
    (Layout::Root, &[Layer::Quota]),
    (Layout::SubMount, &[Layer::Crash, Layer::Events]),
    (Layout::Bind, &[Layer::Faults, Layer::Quota, Layer::Events]),
    (Layout::Root, &[Layer::Linkless, Layer::Links(Keep::InMemory), Layer::Quota]),
    (Layout::SubMount, &[Layer::Linkless, Layer::Links(Keep::HiddenFiles), Layer::Quota]),
];

/// A process on what is compared.
#[derive(Clone, Copy, Debug)]
enum What {
    Memory(Layout, Runs),
    Stack(Layout, &'static [Layer]),
}

impl What {
    fn all() -> impl Iterator<Item = What> {
        let places = PLACES.into_iter().map(|(layout, runs)| What::Memory(layout, runs));
        places.chain(STACKS.into_iter().map(|(layout, layers)| What::Stack(layout, layers)))
    }

    /// The process, and what is kept of its filesystems.
    fn subject(self) -> Result<(Vnode, Books), String> {
        let subject = match self {
            What::Memory(layout, runs) => {
                memory::subject(layout, runs).map(|subject| (subject, Books::default()))
            }
            What::Stack(layout, layers) => adapted::subject(layout, layers),
        };
        subject.map_err(|errno| format!("a subject: {errno:?}"))
    }
}

/// Runs shorter than this see too little for their gaps to mean anything.
const WORTH_JUDGING: Duration = Duration::from_secs(15);

struct Options {
    time: Duration,
    seed: u64,
    keep: Option<std::path::PathBuf>,
    overlay: bool,
}

fn options() -> Result<Options, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options =
        Options { time: Duration::from_secs(60), seed: since.as_nanos() as u64, keep: None, overlay: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match word.as_str() {
            "--minutes" => options.time = Duration::from_secs(number(value()?)?.saturating_mul(60)),
            "--seconds" => options.time = Duration::from_secs(number(value()?)?),
            "--seed" => options.seed = number(value()?)?,
            "--keep" => options.keep = Some(value()?.into()),
            "--overlay" => options.overlay = true,
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool, String> {
    let each = options.time / (2 * What::all().count() as u32 + 1);
    let (mut clean, mut good) = (0, true);
    let mut all = SequenceReport::default();
    eprintln!("vnode: seed {}", options.seed);
    let frozen = Kernel::on_thread(|kernel| {
        let (mut subject, _) = What::Memory(Layout::Root, Runs::Taken).subject()?;
        sequences::run_frozen(&mut subject, kernel, options.seed, each)
    })??;
    eprintln!("vnode: read-only, seed {}: {} sequences clean", options.seed, frozen.clean);
    if let Some(difference) = frozen.difference {
        good = false;
        eprintln!("{difference}");
        keep(options, options.seed, &difference)?;
    }
    for (at, what) in What::all().enumerate() {
        let seed = options.seed.wrapping_add(at as u64);
        let (mut subject, _) = what.subject()?;
        let paths = Kernel::on_thread(|kernel| paths::run(&mut subject, kernel, seed, each))??;
        eprintln!("vnode: {what:?}, seed {seed}: {paths}");
        good &= paths.difference.is_none();
        let (mut subject, books) = what.subject()?;
        let sequences = Kernel::on_thread(|kernel| sequences::run(&mut subject, kernel, seed, each))??;
        for finding in books.findings() {
            good = false;
            eprintln!("vnode: {what:?}, seed {seed}: {finding}");
        }
        let (found, timed) = (sequences.clean, sequences.timed);
        eprintln!("vnode: {what:?}, seed {seed}: {found} sequences clean, {timed} with times");
        clean += sequences.clean;
        all.timed += sequences.timed;
        all.tally.merge(&sequences.tally);
        if let Some(difference) = sequences.difference {
            good = false;
            eprintln!("{difference}");
            keep(options, seed, &difference)?;
        }
    }
    // Rare errors need luck: more of the same, if some were not met.
    for more in 0..2 * PLACES.len() as u64 {
        if !good || options.time < WORTH_JUDGING || all.tally.gaps().is_empty() {
            break;
        }
        let seed = options.seed.wrapping_add(100 + more);
        let mut subject =
            memory::subject(Layout::Root, Runs::Taken).map_err(|errno| format!("a subject: {errno:?}"))?;
        let sequences = Kernel::on_thread(|kernel| sequences::run(&mut subject, kernel, seed, each))??;
        clean += sequences.clean;
        all.timed += sequences.timed;
        all.tally.merge(&sequences.tally);
        if let Some(difference) = sequences.difference {
            good = false;
            eprintln!("{difference}");
            keep(options, seed, &difference)?;
        }
    }
    all.clean = clean;
    eprintln!("{all}");
    if options.time >= WORTH_JUDGING {
        for gap in all.tally.gaps() {
            good = false;
            eprintln!("vnode: not worth much: {gap}");
        }
    }
    Ok(good)
}

/// Overlays: the medium of the lowest lower, that of all uppers, and how they stack.
const OVERLAYS: [([Medium; 2], Stack); 5] = [
    ([Medium::Memory, Medium::Memory], Stack::Nested),
    ([Medium::Memory, Medium::Memory], Stack::Flat),
    ([Medium::Host, Medium::Memory], Stack::Nested),
    ([Medium::Host, Medium::Host], Stack::Flat),
    ([Medium::Host, Medium::Host], Stack::Nested),
];

fn run_overlays(options: &Options) -> Result<bool, String> {
    let each = options.time / OVERLAYS.len() as u32;
    let (mut all, mut good) = (SequenceReport::default(), true);
    for (seed, (media, stack)) in (options.seed..).zip(OVERLAYS) {
        let sequences = Kernel::of_overlays_beside(stack, |kernel| {
            let subject = overlay::stacked(Path::new("/dev/shm"), media, stack);
            let mut subject = subject.map_err(|errno| format!("a subject: {errno:?}"))?;
            sequences::run_overlaid(&mut subject, kernel, stack, seed, each)
        })??;
        eprintln!("vnode: {media:?} {stack:?}, seed {seed}: {} sequences clean", sequences.clean);
        all.clean += sequences.clean;
        all.tally.merge(&sequences.tally);
        if let Some(difference) = sequences.difference {
            good = false;
            eprintln!("{difference}");
            keep(options, seed, &difference)?;
        }
    }
    eprintln!("{all}");
    Ok(good)
}

fn keep(options: &Options, seed: u64, trace: &str) -> Result<(), String> {
    let Some(dir) = &options.keep else { return Ok(()) };
    let path = dir.join(format!("{seed}.txt"));
    std::fs::write(&path, trace).map_err(|error| format!("{}: {error}", path.display()))
}

fn main() -> ExitCode {
    let compared =
        options().and_then(|options| if options.overlay { run_overlays(&options) } else { run(&options) });
    match compared {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("vnode: {why}");
            ExitCode::from(125)
        }
    }
}
