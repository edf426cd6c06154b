//! The data files of an inventory, in the manifest's order: beside it, or in S3, where some are asked for ahead. Each must have
//! the length and the MD5 that the manifest says; otherwise the list is a broken one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use md5::{Digest, Md5};

use super::format::{Fetch, ListProblem};
use crate::printable::{count, number};
use crate::source::remote::RemoteList;

/// Data files that are open at a time: the one that is read, and the next ones, whose answers are then there when their turn
/// comes. Each holds no more than the first pieces of its bytes.
const AHEAD: usize = 3;

/// A data file that a manifest names.
#[derive(Debug)]
pub(super) struct DataFile {
    pub place: Place,
    /// Bytes.
    pub size: u64,
    /// `None` if the manifest does not say.
    pub md5: Option<[u8; 16]>,
}

/// Where a data file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(PathBuf),
    Remote(RemoteList),
}

/// Passes each file to `each`, which reads it.
///
/// # Errors
/// Those of `each`, and if a file cannot be had or is not what the manifest says.
pub(super) fn for_each(
    files: &[DataFile],
    fetch: Option<Fetch<'_>>,
    mut each: impl FnMut(&Place, &mut OpenDataFile) -> Result<(), ListProblem>,
) -> Result<(), ListProblem> {
    let mut files = files.iter();
    let mut open = VecDeque::new();
    loop {
        while open.len() < AHEAD
            && let Some(file) = files.next()
        {
            open.push_back((&file.place, OpenDataFile::open(file, fetch)?));
        }
        let Some((place, mut file)) = open.pop_front() else {
            return Ok(());
        };
        each(place, &mut file)?;
        // What reads it may leave its end.
        file.check_rest()?;
    }
}

/// A data file whose bytes are compared with what the manifest says of them, as they are read.
pub(super) struct OpenDataFile {
    input: Box<dyn Read>,
    name: String,
    /// Bytes.
    size: u64,
    n_read: u64,
    md5: Option<(Md5, [u8; 16])>,
}

impl OpenDataFile {
    fn open(file: &DataFile, fetch: Option<Fetch<'_>>) -> Result<Self, ListProblem> {
        let (input, name): (Box<dyn Read>, _) = match (&file.place, fetch) {
            (Place::Local(path), _) => (Box::new(File::open(path)?), path.display().to_string()),
            (Place::Remote(list), Some(fetch)) => (fetch(list), list.to_string()),
            (Place::Remote(list), None) => {
                return Err(ListProblem::Unreadable(format!(
                    "its data file `{list}` is not fetched here"
                )));
            }
        };
        Ok(Self {
            input,
            name,
            size: file.size,
            n_read: 0,
            md5: file.md5.map(|wanted| (Md5::new(), wanted)),
        })
    }

    /// Reads what is left, so that all of it is checked.
    ///
    /// # Errors
    /// If it cannot be read, or is not what the manifest says.
    pub(super) fn check_rest(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    fn is_not(&self, what: &str) -> io::Error {
        let name = &self.name;
        io::Error::other(format!(
            "its data file `{name}` {what}: have the inventory written again, or copy the file again"
        ))
    }

    /// At the end of the bytes.
    fn check_end(&mut self) -> io::Result<()> {
        if self.n_read < self.size {
            let (n_read, size) = (self.n_read, self.size);
            let [n_read, size] = [count(n_read, "byte"), number(size)];
            return Err(self.is_not(&format!("has {n_read}, but the manifest says {size}")));
        }
        // Once is enough: the end may be read several times.
        if let Some((md5, wanted)) = self.md5.take()
            && <[u8; 16]>::from(md5.finalize()) != wanted
        {
            return Err(self.is_not("has another MD5 than the manifest says"));
        }
        Ok(())
    }
}

impl Read for OpenDataFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer);
        let n = read.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("its data file `{}`: {error}", self.name)),
        })?;
        if n == 0 && !buffer.is_empty() {
            self.check_end()?;
        }
        self.n_read += n as u64;
        if self.n_read > self.size {
            let size = count(self.size, "byte");
            return Err(self.is_not(&format!("has more than the {size} that the manifest says")));
        }
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(&buffer[..n]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn file(name: &str, body: &[u8]) -> DataFile {
        DataFile {
            place: Place::Remote(RemoteList {
                bucket: "inv".into(),
                key: name.into(),
            }),
            size: body.len() as u64,
            md5: Some(Md5::digest(body).into()),
        }
    }

    /// What is read of the files when each is served with the same bytes, of which only `n_taken` are taken at first.
    fn read(files: &[DataFile], served: &'static [u8], n_taken: usize) -> Result<usize, String> {
        let fetch = |_: &RemoteList| -> Box<dyn Read> { Box::new(served) };
        let mut n_files = 0;
        let each = |_: &Place, file: &mut OpenDataFile| {
            let mut taken = vec![0; n_taken];
            file.read_exact(&mut taken)?;
            n_files += 1;
            Ok(())
        };
        for_each(files, Some(&fetch), each).map_err(|problem| problem.to_string())?;
        Ok(n_files)
    }

    #[test]
    fn files_are_read_in_order_and_a_few_are_asked_for_ahead() {
        let log = RefCell::new(Vec::new());
        let fetch = |list: &RemoteList| -> Box<dyn Read> {
            log.borrow_mut().push(format!("ask {}", list.key));
            Box::new(&b"x"[..])
        };
        let files = ["1", "2", "3", "4", "5"].map(|name| file(name, b"x"));
        let each = |_: &Place, file: &mut OpenDataFile| {
            log.borrow_mut().push(format!("read {}", file.name));
            Ok(())
        };
        for_each(&files, Some(&fetch), each).unwrap();
        let expected = [
            "ask 1", "ask 2", "ask 3", "read 1", "ask 4", "read 2", "ask 5", "read 3", "read 4",
            "read 5",
        ];
        let expected = expected.map(|line| line.replace("read ", "read s3://inv/"));
        assert_eq!(log.into_inner(), expected);
    }

    #[test]
    fn other_bytes_than_the_manifest_says_are_a_broken_list_even_if_nobody_reads_them() {
        let right = file("k", b"abc");
        for n_taken in [0, 1, 3] {
            assert_eq!(read(std::slice::from_ref(&right), b"abc", n_taken), Ok(1));
            for (served, said) in [
                (&b"abd"[..], "has another MD5"),
                (b"abcd", "more than the 3 bytes"),
            ] {
                let message = read(std::slice::from_ref(&right), served, n_taken).unwrap_err();
                assert!(
                    message.contains("`s3://inv/k`") && message.contains(said),
                    "{message}"
                );
            }
        }
        let message = read(&[right], b"ab", 0).unwrap_err();
        assert!(
            message.contains("has 2 bytes, but the manifest says 3"),
            "{message}"
        );
        let unknown = DataFile {
            md5: None,
            ..file("k", b"abc")
        };
        assert_eq!(read(&[unknown], b"abd", 0), Ok(1));
    }
}
