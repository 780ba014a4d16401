//! What a long load shows: a line on a terminal, nothing elsewhere.

use std::cell::{Cell, OnceCell};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::text::{shown, takes_progress};

/// Shorter loads show nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Counts what is loaded, and shows it when it takes long.
pub(crate) struct Progress {
    what: String,
    hidden: bool,
    start: Instant,
    entries: Cell<u64>,
    bytes: Cell<u64>,
    bar: OnceCell<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(source: &Path, quiet: bool) -> Progress {
        Progress {
            what: shown(source.as_os_str()),
            hidden: quiet || !takes_progress(),
            start: Instant::now(),
            entries: Cell::new(0),
            bytes: Cell::new(0),
            bar: OnceCell::new(),
        }
    }

    /// One more entry was begun.
    pub(crate) fn entry(&self) {
        self.entries.set(self.entries.get() + 1);
        self.show_copying();
    }

    /// An archive was read so far, to its list of members; the answer is whether to go on.
    pub(crate) fn read(&self, bytes: u64, total: u64) -> ControlFlow<()> {
        self.show(|| format!("reading {}: {} of {}", self.what, HumanBytes(bytes), HumanBytes(total)));
        ControlFlow::Continue(())
    }

    /// A reader that counts what is read through it.
    pub(crate) fn count<'a>(&'a self, reader: impl Read + 'a) -> impl Read + 'a {
        Counted { reader, progress: self }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }

    fn show_copying(&self) {
        self.show(|| {
            let size = HumanBytes(self.bytes.get());
            format!("copying {}: {} entries, {size}", self.what, self.entries.get())
        });
    }

    fn show(&self, what: impl FnOnce() -> String) {
        if self.hidden || self.start.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let style = ProgressStyle::with_template("vnode: {spinner} {msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        bar.set_message(what());
        bar.tick();
    }
}

struct Counted<'a, R> {
    reader: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(into)?;
        self.progress.bytes.set(self.progress.bytes.get() + count as u64);
        self.progress.show_copying();
        Ok(count)
    }
}
