//! `--trace`: a line for each call of the guest, as `strace(1)` writes them.

use std::fs::File;
use std::io::{LineWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use vnode_kernel::{Event, Observer};

use crate::failure::shown;

/// Writes a line for each call. What can't be written is dropped: the guest goes on.
pub(crate) struct Trace {
    out: Mutex<Box<dyn Write + Send>>,
}

impl Trace {
    /// A trace into a new file, or onto stderr.
    ///
    /// # Errors
    /// The file can't be made.
    pub(crate) fn new(file: Option<&Path>) -> Result<Arc<Trace>, String> {
        let out: Box<dyn Write + Send> = match file {
            None => Box::new(std::io::stderr()),
            Some(path) => {
                let file = File::create(path).map_err(|error| {
                    format!("can't write the trace to {}: {error}", shown(path.as_os_str()))
                })?;
                Box::new(LineWriter::new(file))
            }
        };
        Ok(Arc::new(Trace { out: Mutex::new(out) }))
    }
}

impl Observer for Trace {
    fn wants_text(&self) -> bool {
        true
    }

    fn called(&self, event: &Event<'_>) {
        // One write for a line: on stderr it is not mixed with what the guest writes.
        let line = format!("{event}\n");
        let _ = self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
