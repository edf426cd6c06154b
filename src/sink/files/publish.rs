//! The last step of a file: its final name, and no other file of this run lost for it.
//!
//! Two keys may be one file: names that differ only in case or in Unicode's normal form, on a file system that folds
//! them; folders that are one through a symlink; or one key with two versions. Among 100 million keys that is noticed
//! without remembering them, since the file system remembers: a rename that replaces nothing is refused exactly where
//! something is, and what is there says by the time of its last change, which nobody can set, whether it was put there
//! before this run began. What was is replaced. What was not is a file of this run's, and stays: either it has the new
//! one's bytes, or the new one's key fails. A file of the user's that was changed during the run counts as the run's own.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::clock::{is_ahead, is_before, is_other_time, run_start};
use super::error::LocalError;
use super::lock::InUse;
use super::path::LocalPath;
use super::path::name::NameLimit;
use super::sys;
use super::warnings::{OptionalStep, Warnings};
use crate::locks::lock;
use crate::open_files;

/// Bytes compared at once.
const COMPARE_SIZE: usize = 256 * 1024;

/// Puts a run's files at their paths.
#[derive(Debug)]
pub(super) struct Commits {
    run_start: SystemTime,
    /// The files that no key may replace. The lock is held while what is at a path is looked at and replaced, so that
    /// of two downloads to one file the second sees what the first has put there.
    kept: Mutex<Vec<Metadata>>,
    /// The partial files that are written without a lock.
    pub in_use: InUse,
    pub warnings: Warnings,
    pub name_limit: NameLimit,
    /// Whether each file is flushed to the disk before it gets its name.
    flushes_files: AtomicBool,
    /// Whether a file's time was looked at: the first one's says what the file system does with all of them.
    has_seen_time: AtomicBool,
}

/// What became of a partial file.
pub(super) enum Put {
    Renamed,
    /// A file of this run's with the same bytes is at its path: it is not needed.
    SameWasThere,
    /// A file that this run must not replace is at its path: it can never be put there.
    Refused(LocalError),
}

/// What is in the way of a new file.
enum InTheWay {
    Nothing,
    /// Something from before the run.
    Old,
    OfThisRun(File),
    /// A file that no key may replace.
    Kept,
}

impl Commits {
    /// For a run that begins now with `folder` as its output folder.
    pub(super) fn new(folder: &Dir) -> Self {
        Self {
            run_start: run_start(folder),
            name_limit: sys::name_limit(folder),
            kept: Mutex::default(),
            in_use: InUse::default(),
            warnings: Warnings::default(),
            flushes_files: AtomicBool::default(),
            has_seen_time: AtomicBool::default(),
        }
    }

    /// For a folder that no file will be put into.
    pub(super) fn never(folder: &Dir) -> Self {
        Self {
            run_start: SystemTime::UNIX_EPOCH,
            name_limit: sys::name_limit(folder),
            kept: Mutex::default(),
            in_use: InUse::default(),
            warnings: Warnings::default(),
            flushes_files: AtomicBool::default(),
            has_seen_time: AtomicBool::default(),
        }
    }

    /// Has each file flushed to the disk from now on, before it gets its name.
    pub(super) fn flush_files(&self) {
        self.flushes_files.store(true, Relaxed);
    }

    pub(super) fn flushes_files(&self) -> bool {
        self.flushes_files.load(Relaxed)
    }

    /// Keeps a file from being replaced, under whatever name a key has for it.
    pub(super) fn keep(&self, file: Metadata) {
        self.kept().push(file);
    }

    /// Renames the partial file `file` to its final name in its folder.
    pub(super) fn put(
        &self,
        file: &File,
        folder: &Dir,
        partial_name: &str,
        path: &LocalPath,
    ) -> Result<Put, LocalError> {
        loop {
            let refused = match sys::rename_to_free(folder, partial_name, path.name()) {
                // One system call, where nothing is there.
                Ok(()) => return Ok(Put::Renamed),
                Err(error) => error,
            };
            if !matches!(
                refused.kind(),
                ErrorKind::AlreadyExists | ErrorKind::Unsupported
            ) {
                return Err(put_error(folder, path, refused));
            }
            let kept = self.kept();
            match self.in_the_way(folder, path, &kept)? {
                // What was there is gone: another download may just be quicker.
                InTheWay::Nothing if refused.kind() == ErrorKind::AlreadyExists => {}
                InTheWay::Nothing | InTheWay::Old => {
                    return replace(folder, partial_name, path).map(|()| Put::Renamed);
                }
                InTheWay::Kept => return Ok(Put::Refused(LocalError::is_kept(path))),
                InTheWay::OfThisRun(committed) => {
                    // It stays, so there is no reason to hold up others while it is read.
                    drop(kept);
                    return match is_same_content(file, &committed) {
                        Ok(true) => Ok(Put::SameWasThere),
                        Ok(false) => Ok(Put::Refused(other_content(path))),
                        Err(error) => Err(put_error(folder, path, error)),
                    };
                }
            }
        }
    }

    /// Looks once per run whether a file has the time that it was `given`: some file systems ignore it without an error.
    pub(super) fn check_time(&self, folder: &Dir, path: &LocalPath, given: SystemTime) {
        if self.has_seen_time.swap(true, Relaxed) {
            return;
        }
        let found = sys::symlink_metadata(folder, path.name()).and_then(|file| file.modified());
        if found.is_ok_and(|found| is_other_time(found.into_std(), given)) {
            let error = io::Error::other("the file system ignores it");
            let (warnings, path) = (&self.warnings, path.as_str());
            warnings.refused(OptionalStep::SetTimes, path, &error);
        }
    }

    fn in_the_way(
        &self,
        folder: &Dir,
        path: &LocalPath,
        kept: &[Metadata],
    ) -> Result<InTheWay, LocalError> {
        let metadata = match sys::symlink_metadata(folder, path.name()) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(InTheWay::Nothing),
            Err(error) => return Err(put_error(folder, path, error)),
        };
        // Itself, not what it leads to.
        if metadata.is_symlink() {
            return Ok(InTheWay::Old);
        }
        check_replaceable(&metadata, path)?;
        if kept.iter().any(|kept| sys::is_same_file(kept, &metadata)) {
            return Ok(InTheWay::Kept);
        }
        let changed = sys::changed(&metadata);
        if is_before(changed, self.run_start) || is_ahead(changed, folder) {
            return Ok(InTheWay::Old);
        }
        // A symlink by now would be none of this run's files.
        let open = || sys::open(folder, path.name(), OpenOptions::new().read(true));
        sys::waiting_for_handles(open, open_files::is_exhausted)
            .map(InTheWay::OfThisRun)
            .map_err(|error| put_error(folder, path, error))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Metadata>> {
        lock(&self.kept)
    }
}

/// Renames a partial file over whatever is at its final path.
pub(super) fn replace(
    folder: &Dir,
    partial_name: &str,
    path: &LocalPath,
) -> Result<(), LocalError> {
    sys::rename(folder, partial_name, path.name()).map_err(|error| put_error(folder, path, error))
}

/// Refuses what is not a file: a rename would fail on a folder, but replace a named pipe.
pub(super) fn check_replaceable(metadata: &Metadata, path: &LocalPath) -> Result<(), LocalError> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = sys::kind(metadata);
    Err(LocalError::Conflict(format!(
        "a {kind} is where the file `{path}` would go"
    )))
}

fn other_content(path: &LocalPath) -> LocalError {
    LocalError::Conflict(format!(
        "another key, or another version of this one, was written to `{path}` in this run (names that differ only in case or in Unicode's normal form are one file on some file systems)"
    ))
}

fn put_error(folder: &Dir, path: &LocalPath, source: io::Error) -> LocalError {
    LocalError::io(folder, "put in place", path.as_str(), source)
}

fn is_same_content(one: &File, other: &File) -> io::Result<bool> {
    let length = sys::stat(one)?.len();
    if sys::stat(other)?.len() != length {
        return Ok(false);
    }
    let at_once = |left: u64| usize::try_from(left).map_or(COMPARE_SIZE, |n| n.min(COMPARE_SIZE));
    let (mut of_one, mut of_other) = (vec![0; at_once(length)], vec![0; at_once(length)]);
    let mut offset = 0;
    while offset < length {
        let n = at_once(length - offset);
        sys::read_exact_at(one, &mut of_one[..n], offset)?;
        sys::read_exact_at(other, &mut of_other[..n], offset)?;
        if of_one[..n] != of_other[..n] {
            return Ok(false);
        }
        offset += n as u64;
    }
    Ok(true)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use cap_std::ambient_authority;

    use super::*;
    use crate::sink::files::{OutputFolder, PartialFile};

    fn path(key: &str) -> LocalPath {
        LocalPath::of_key(key).unwrap()
    }

    fn begin(output: &OutputFolder, key: &str, content: &'static str) -> PartialFile {
        let file = output.begin(&path(key)).unwrap();
        file.write_at(&[Bytes::from_static(content.as_bytes())], 0)
            .unwrap();
        file
    }

    fn put(output: &OutputFolder, key: &str, content: &'static str) -> Result<(), LocalError> {
        // With an object's time, which does not make the file an old one.
        begin(output, key, content).commit(Some(UNIX_EPOCH + Duration::from_secs(1_600_000_000)))
    }

    fn conflict(result: Result<(), LocalError>) -> String {
        match result {
            Err(LocalError::Conflict(message)) => message,
            other => panic!("no conflict: {other:?}"),
        }
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn a_file_from_before_the_run_is_replaced_and_one_of_this_run_is_not() {
        let folder = tempfile::tempdir().unwrap();
        // At once, again and again: a run may follow another as quickly as can be.
        for (old, new) in [("", "1"), ("1", "2"), ("2", "3"), ("3", "4")] {
            let output = OutputFolder::open(folder.path(), 8).unwrap();
            put(&output, "k", new).unwrap();
            let message = conflict(put(&output, "k", old));
            assert!(message.contains("in this run"), "{message}");
            assert_eq!(read(folder.path(), "k"), new);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_same_bytes_again_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        for _ in 0..2 {
            put(&output, "k", "same").unwrap();
            put(&output, "empty", "").unwrap();
        }
        conflict(put(&output, "k", "some"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn large_files_are_compared_to_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, last: u8| {
            let path = folder.path().join(name);
            std::fs::write(&path, [vec![7; 3 * COMPARE_SIZE], vec![last]].concat()).unwrap();
            File::open(path).unwrap()
        };
        let (one, same, other) = (file("one", 1), file("same", 1), file("other", 2));
        assert!(is_same_content(&one, &same).unwrap());
        assert!(!is_same_content(&one, &other).unwrap());
    }

    #[test]
    fn a_file_that_is_one_through_a_symlink_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("alias")).unwrap();
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        put(&output, "real/k", "first").unwrap();
        conflict(put(&output, "alias/k", "second"));
        assert_eq!(read(folder.path(), "real/k"), "first");
    }

    #[test]
    fn of_two_files_for_one_old_one_the_first_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "old").unwrap();
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        put(&output, "k", "first").unwrap();
        conflict(put(&output, "k", "second"));
        assert_eq!(read(folder.path(), "k"), "first");
    }

    #[test]
    fn a_symlink_at_the_path_is_replaced_itself() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        symlink(&victim, folder.path().join("k")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        for key in ["k", "dangling"] {
            put(&output, key, "new").unwrap();
            assert!(
                folder
                    .path()
                    .join(key)
                    .symlink_metadata()
                    .unwrap()
                    .is_file()
            );
        }
        assert_eq!(std::fs::read(victim).unwrap(), b"kept");
    }

    #[test]
    fn what_is_no_file_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(pipe.unwrap().success());
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        for (key, kind) in [
            ("folder", "a folder"),
            ("socket", "a socket"),
            ("pipe", "a named pipe"),
        ] {
            let message = conflict(put(&output, key, "new"));
            assert_eq!(
                message,
                format!("{kind} is where the file `{key}` would go")
            );
            conflict(output.file_at(&path(key)).map(drop));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_kept_file_is_kept_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "keys").unwrap();
        // As a file system that folds names would show it.
        std::fs::hard_link(folder.path().join("list"), folder.path().join("LIST")).unwrap();
        let mut output = OutputFolder::open(folder.path(), 8).unwrap();
        output.keep(&folder.path().join("list"));
        assert!(conflict(put(&output, "LIST", "new")).contains("is the key list"));
        assert_eq!(read(folder.path(), "LIST"), "keys");
    }

    #[test]
    fn without_a_rename_that_replaces_nothing_the_same_holds() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
        std::fs::write(folder.path().join("k"), "old").unwrap();
        let commits = Commits::new(&dir);
        let in_the_way = |key: &str| commits.in_the_way(&dir, &path(key), &[]).unwrap();
        assert!(matches!(in_the_way("k"), InTheWay::Old));
        assert!(matches!(in_the_way("new"), InTheWay::Nothing));
        std::fs::write(folder.path().join("new"), "new").unwrap();
        assert!(matches!(in_the_way("new"), InTheWay::OfThisRun(_)));
    }
}
