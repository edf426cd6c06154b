//! What the tests of this folder share: a run that writes a small and a large file, and looks at the folder afterwards.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use crc_fast::CrcAlgorithm;

use super::faults::{Call, Faults, inject};
use super::warnings::OnWarning;
use super::{DonePart, Identity, LocalError, LocalPath, OutputFolder, ResumableFile};
use crate::etag::ETag;

pub(super) const PARTIAL: &str = ".s3pull-k.part";
pub(super) const JOURNAL: &str = ".s3pull-k.journal";

pub(super) fn path(key: &str) -> LocalPath {
    LocalPath::of_key(key).unwrap()
}

pub(super) struct Run {
    pub output: OutputFolder,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Run {
    pub(super) fn new(folder: &Path) -> Self {
        let output = OutputFolder::open(folder, 8).unwrap();
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&warnings);
        output.warnings().print_by(OnWarning(Box::new(move |line| {
            lines.lock().unwrap().push(line.to_owned());
        })));
        Self { output, warnings }
    }

    pub(super) fn put(&self, key: &str, content: &'static str) -> Result<(), LocalError> {
        let file = self.output.begin(&path(key))?;
        file.write_at(&[Bytes::from_static(content.as_bytes())], 0)?;
        file.commit(Some(modified()))
    }

    pub(super) fn open(&self) -> Result<(ResumableFile, Vec<DonePart>), LocalError> {
        self.output.begin_resumable(&path("k"), &identity(), |_| {})
    }

    /// Leaves a partial file with its first part.
    #[cfg(unix)]
    pub(super) fn leave_part(&self) {
        let (file, _) = self.open().unwrap();
        write_part(&file, 0);
    }

    /// Writes the parts that are missing; returns those that were resumed.
    pub(super) fn put_large(&self) -> Result<Vec<DonePart>, LocalError> {
        let (file, done) = self.open()?;
        for index in 0..2 {
            if done.iter().all(|&(is_done, _)| is_done != index) {
                try_write_part(&file, index)?;
            }
        }
        file.commit(Some(modified()))?;
        Ok(done)
    }

    /// The start of each warning.
    pub(super) fn warned(&self, starts: &[&str]) {
        let warnings = self.warnings.lock().unwrap();
        assert_eq!(warnings.len(), starts.len(), "{warnings:?}");
        for (warning, start) in warnings.iter().zip(starts) {
            assert!(warning.starts_with(start), "{warnings:?}");
        }
    }
}

pub(super) fn modified() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_600_000_000)
}

pub(super) fn identity() -> Identity {
    Identity {
        etag: ETag::of_header("\"e\""),
        size: 1500,
        last_modified: Some(modified()),
        version_id: None,
        part_size: 1000,
        algorithm: CrcAlgorithm::Crc64Nvme,
    }
}

pub(super) fn part(index: usize) -> Vec<u8> {
    match index {
        0 => vec![1; 1000],
        _ => vec![2; 500],
    }
}

pub(super) fn try_write_part(file: &ResumableFile, index: usize) -> Result<(), LocalError> {
    let bytes = Bytes::from(part(index));
    let crc = crc_fast::crc64_nvme(&bytes);
    file.write_at(&[bytes], index as u64 * 1000)?;
    file.record((index, crc))
}

pub(super) fn write_part(file: &ResumableFile, index: usize) {
    try_write_part(file, index).unwrap();
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(super) fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

pub(super) fn whole() -> Vec<u8> {
    [part(0), part(1)].concat()
}

/// What another process does just before the first `call`.
pub(super) fn just_before(call: Call, act: impl FnOnce() + 'static) -> Faults {
    let mut act = Some(act);
    inject(move |called| {
        if called == call
            && let Some(act) = act.take()
        {
            act();
        }
        Ok(())
    })
}
