//! Writing what was unpacked to a file, with blocks of zeros left out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What is left out is a multiple of this, at a multiple of this.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Where in a file something is written, one piece behind the other. The file has zeros there.
pub(crate) struct Spill<'a> {
    file: &'a File,
    start: u64,
    at: u64,
}

impl<'a> Spill<'a> {
    pub(crate) fn new(file: &'a File, start: u64) -> Self {
        Spill { file, start, at: start }
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// Those of `pwrite(2)`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Up to where a block of the file ends.
            let to_end = BLOCK - (self.at % BLOCK as u64) as usize;
            let (mut data, mut zeros) = (0, 0);
            let mut len = to_end.min(rest.len());
            while let Some(block) = rest.get(data..data + len).filter(|block| !block.is_empty()) {
                if ZEROS.get(..len) == Some(block) {
                    zeros = len;
                    break;
                }
                data += len;
                len = BLOCK.min(rest.len() - data);
            }
            let (write, left) = rest.split_at(data);
            self.file.write_all_at(write, self.at)?;
            rest = left.get(zeros..).unwrap_or_default();
            self.at += (data + zeros) as u64;
        }
        Ok(())
    }

    /// Makes the file long enough for `len` bytes here.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`.
    pub(crate) fn finish(&self, len: u64) -> io::Result<()> {
        // The last one is written, so that others may write behind it at the same time.
        let Some(last) = len.checked_sub(1) else { return Ok(()) };
        if self.file.metadata()?.len() <= self.start + last {
            let mut byte = [0];
            let there = self.file.read_at(&mut byte, self.start + last)?;
            if there == 0 {
                self.file.write_all_at(&byte, self.start + last)?;
            }
        }
        Ok(())
    }

    /// Gives back the room that was taken, where the host can.
    pub(crate) fn forget(&self) {
        #[cfg(target_os = "linux")]
        {
            let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            // If it can't, it is given back with the file.
            let _ = rustix::fs::fallocate(self.file, flags, self.start, (self.at - self.start).max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn what_is_written_is_there_and_zeros_take_no_room() {
        let mut bytes = vec![0; 1 << 20];
        for (at, value) in [(0, 1), (5000, 2), (400_000, 3), (400_001, 4), (700_000, 5)] {
            bytes[at] = value;
        }
        for piece in [1000, 4096, 65_536, 300_000] {
            let file = tempfile::tempfile().unwrap();
            let mut spill = Spill::new(&file, 8192);
            for piece in bytes.chunks(piece) {
                spill.write(piece).unwrap();
            }
            spill.finish(bytes.len() as u64).unwrap();
            let mut there = vec![9; bytes.len() + 1];
            assert_eq!(file.read_at(&mut there, 8192).unwrap(), bytes.len());
            assert!(there[..bytes.len()] == bytes);
            assert!(file.metadata().unwrap().blocks() * 512 <= 64 << 10, "{piece}");
        }
    }
}
