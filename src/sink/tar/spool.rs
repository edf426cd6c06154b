//! Where an object waits for its turn if there is no room in memory: a file without a name, of which nothing is left however
//! the run ends.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::outcome::{Class, ErrorCode, Failure};
use crate::sink::files::{read_exact_at, write_at};

/// Bytes read at once when a spooled object is hashed again.
const READ_SIZE: usize = 1024 * 1024;

/// The content of one object in a file without a name.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    folder: PathBuf,
}

impl Spool {
    /// # Errors
    /// When the folder takes no file.
    pub(crate) fn create(folder: &Path) -> Result<Self, Failure> {
        let file = tempfile::tempfile_in(folder);
        Ok(Self {
            file: file.map_err(|error| refused(folder, &error))?,
            folder: folder.to_owned(),
        })
    }

    /// # Errors
    /// When the file system refuses.
    pub(crate) fn write_at(&self, pieces: &[Bytes], offset: u64) -> Result<(), Failure> {
        write_at(&self.file, pieces, offset).map_err(|error| refused(&self.folder, &error))
    }

    /// Hands the first `size` bytes to `each`, in order.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn for_each_chunk(
        &self,
        size: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; READ_SIZE];
        let mut offset = 0;
        while offset < size {
            let wanted = (size - offset).min(READ_SIZE as u64);
            let chunk = &mut buffer[..usize::try_from(wanted).unwrap_or(READ_SIZE)];
            read_exact_at(&self.file, chunk, offset)
                .map_err(|error| refused(&self.folder, &error))?;
            each(chunk);
            offset += wanted;
        }
        Ok(())
    }

    /// Copies the first `size` bytes, and returns their CRC-64/NVME.
    ///
    /// # Errors
    /// When either file refuses, or fewer bytes are there.
    pub(crate) fn copy_hashed(&self, out: &mut File, size: u64) -> io::Result<u64> {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        let mut buffer = vec![0; READ_SIZE];
        let mut offset = 0;
        while offset < size {
            let wanted = (size - offset).min(READ_SIZE as u64);
            let chunk = &mut buffer[..usize::try_from(wanted).unwrap_or(READ_SIZE)];
            read_exact_at(&self.file, chunk, offset)?;
            digest.update(chunk);
            out.write_all(chunk)?;
            offset += wanted;
        }
        Ok(digest.finalize())
    }

    /// Copies the first `size` bytes, within the kernel where it can.
    ///
    /// # Errors
    /// When either file refuses, or fewer bytes are there.
    pub(crate) fn copy_to(&self, out: &mut File, size: u64) -> io::Result<()> {
        let mut file = &self.file;
        file.rewind()?;
        let copied = io::copy(&mut io::Read::take(file, size), out)?;
        out.flush()?;
        if copied < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

fn refused(folder: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        _ => ErrorCode::WriteFailed,
    };
    let message = format!(
        "cannot spool an object in `{}`: {error}; `--spool` names another folder",
        folder.display()
    );
    // Every other large object would meet it.
    Failure::new(code, Class::Fatal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_gives_back_what_was_written_in_any_order_and_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::create(folder.path()).unwrap();
        let n_names = || folder.path().read_dir().unwrap().count();
        // Windows shows one for as long as the file is open.
        assert_eq!(n_names(), usize::from(cfg!(windows)));
        spool.write_at(&[Bytes::from_static(b"de")], 3).unwrap();
        spool.write_at(&[Bytes::from_static(b"abc")], 0).unwrap();
        let mut read = Vec::new();
        spool
            .for_each_chunk(5, |bytes| read.extend_from_slice(bytes))
            .unwrap();
        assert_eq!(read, b"abcde");
        let path = folder.path().join("out");
        let mut out = File::create(&path).unwrap();
        spool.copy_to(&mut out, 4).unwrap();
        assert!(spool.copy_to(&mut out, 6).is_err());
        assert_eq!(std::fs::read(path).unwrap(), b"abcdabcde");
        drop(spool);
        assert_eq!(n_names(), 1);
    }

    #[test]
    fn a_folder_that_takes_no_file_ends_the_run_and_is_named() {
        let failure = Spool::create(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(failure.class, Class::Fatal);
        assert!(failure.message.contains("`/nonexistent`"), "{failure}");
    }
}
