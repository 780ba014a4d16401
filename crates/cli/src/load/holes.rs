//! A host file whose holes are not read from the disk: zeros made here in their place (`lseek(2)`, `SEEK_DATA`).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Bytes that `st_blocks` counts as one.
const BLOCK: u64 = 512;

/// Reads a file from its start to its end.
pub(crate) struct Holes {
    file: File,
    at: u64,
    /// Up to here is a hole.
    hole: u64,
    /// From there up to here is content.
    data: u64,
}

impl Holes {
    /// # Errors
    /// The file's size can't be asked for.
    pub(crate) fn new(file: File) -> io::Result<Holes> {
        let metadata = file.metadata()?;
        let is_sparse = metadata.blocks().saturating_mul(BLOCK) < metadata.size();
        Ok(Holes { file, at: 0, hole: 0, data: if is_sparse { 0 } else { u64::MAX } })
    }

    /// Finds the next hole and the content behind it.
    fn look(&mut self) -> io::Result<()> {
        (self.hole, self.data) = match seek(&self.file, SeekFrom::Data(self.at)) {
            Ok(data) => match seek(&self.file, SeekFrom::Hole(data)) {
                Ok(hole) => (data, hole),
                // It became shorter.
                Err(Errno::NXIO) => (self.at, u64::MAX),
                Err(error) => return Err(error.into()),
            },
            // No content behind this, or the end.
            Err(Errno::NXIO) => {
                let size = self.file.metadata()?.size();
                (size, if size > self.at { size } else { u64::MAX })
            }
            // The filesystem knows nothing of holes.
            Err(_) => (self.at, u64::MAX),
        };
        Ok(())
    }
}

impl Read for Holes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.hole && self.at >= self.data {
            self.look()?;
        }
        let is_hole = self.at < self.hole;
        let left = if is_hole { self.hole } else { self.data }.saturating_sub(self.at);
        let len = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let into = into.get_mut(..len).unwrap_or_default();
        let count = if is_hole {
            into.fill(0);
            len
        } else {
            self.file.read_at(into, self.at)?
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read in pieces is what the file holds.
    fn check(writes: &[(u64, &[u8])], size: u64) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for &(at, bytes) in writes {
            file.write_all_at(bytes, at).unwrap();
        }
        let mut expected = vec![1; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut expected, 0).unwrap();
        let mut holes = Holes::new(file).unwrap();
        let (mut all, mut piece) = (Vec::new(), vec![2; 50_000]);
        loop {
            match holes.read(&mut piece).unwrap() {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        assert!(all == expected, "{} bytes of {size}", all.len());
        assert_eq!(holes.read(&mut piece).unwrap(), 0);
    }

    #[test]
    fn files_are_read_whole() {
        check(&[], 0);
        check(&[], 1 << 20);
        check(&[(0, b"start")], 1 << 20);
        check(&[((1 << 20) - 3, b"end")], 1 << 20);
        check(&[(300_000, b"middle"), (300_500, b"more"), (700_000, &[7; 100_000])], 1 << 20);
        check(&[(0, &[5; 100_000])], 100_000);
    }

    #[test]
    fn holes_cost_no_reading() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let mut holes = Holes::new(file).unwrap();
        let mut piece = vec![1; 65536];
        assert_eq!(holes.read(&mut piece).unwrap(), piece.len());
        assert!(piece.iter().all(|&byte| byte == 0));
        assert_eq!((holes.at, holes.hole), (65536, 1 << 40));
    }
}
