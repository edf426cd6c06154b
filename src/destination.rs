//! What is opened for the objects before the first request, and closed after the last one: the output folder or an archive.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::Config;
use crate::dry_run;
use crate::meter::Meter;
use crate::options::{IfExists, Job};
use crate::report::{RecordPlace, Report};
use crate::sink::door::Sink;
use crate::sink::files::{OnWarning, OptionalStep, OutputFolder, PathRules};
use crate::sink::tar::{Archive, Ending, Tar};
use crate::source::{ListOptions, Totals};
use crate::stop::{Phase, Stop};

/// How long the archive must have waited for single objects for that to be said.
const WAIT_WORTH_A_LINE: Duration = Duration::from_secs(5);

/// How long the end is waited for once the run is abandoned: enough for a header, unless its reader hangs.
const LAST_CALL: Duration = Duration::from_millis(400);

/// Where the objects of a run go, as it is opened.
pub(crate) enum Destination {
    Folder(OutputFolder),
    Archive(Box<Archive>),
}

impl Destination {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub(crate) fn open(config: &Config, max_open_folders: usize) -> anyhow::Result<Self> {
        if let Some(tar) = &config.tar {
            return Ok(Self::Archive(Box::new(Archive::open(&tar.archive)?)));
        }
        let output = match config.transfer.job {
            Job::Download => OutputFolder::open(&config.output, max_open_folders)
                .and_then(|output| tried(output, config.if_exists)),
            Job::Check(_) => OutputFolder::open_to_look(&config.output),
        };
        let output = output.with_context(|| {
            format!("cannot use the output folder `{}`", config.output.display())
        })?;
        if config.sync {
            output.prepare_sync();
        }
        Ok(Self::Folder(output))
    }

    /// Has no object replace the files at `place`, those of the lists, or others that the run writes itself.
    pub(crate) fn keep_own_files(&mut self, config: &Config, place: &RecordPlace) {
        let Self::Folder(output) = self else {
            return;
        };
        place.files().iter().for_each(|path| output.keep(path));
        config.list.files().for_each(|path| output.keep(path));
        config.done.iter().for_each(|done| output.keep(&done.path));
        let own = config.events.iter().chain(&config.log);
        own.for_each(|path| output.keep(path));
    }

    /// Has warnings printed by `report`; `failed` is the failed-keys CSV.
    pub(crate) fn warn_by(&self, report: &Report, failed: &Path) {
        let csv = failed.to_string_lossy();
        match self {
            Self::Folder(output) => {
                output.warnings().print_by(report.on_warning());
                if let Some(error) = report.lock_refused() {
                    output.warnings().refused(OptionalStep::Lock, &csv, error);
                }
            }
            Self::Archive(_) => {
                if let Some(error) = report.lock_refused() {
                    report.warn(&format!("cannot lock `{csv}`: {error}"));
                }
            }
        }
    }

    /// How keys become paths there.
    pub(crate) fn path_rules(&self, rules: PathRules) -> PathRules {
        match self {
            Self::Folder(output) => PathRules {
                name_limit: output.name_limit(),
                ..rules
            },
            Self::Archive(_) => rules,
        }
    }

    /// Begins to take objects.
    ///
    /// # Errors
    /// When the system gives no thread to write the archive.
    pub(crate) fn begin(
        self,
        config: &Config,
        meter: &Arc<Meter>,
        stop: &Arc<Stop>,
        on_warning: OnWarning,
    ) -> anyhow::Result<Sink> {
        match self {
            Self::Folder(output) => Ok(Sink::new(output, config.if_exists, Arc::clone(meter))),
            Self::Archive(archive) => {
                let spool = config.tar.as_ref().and_then(|tar| tar.spool.clone());
                let spool = spool.unwrap_or_else(std::env::temp_dir);
                let (meter, stop) = (Arc::clone(meter), Arc::clone(stop));
                let tar = Tar::start(*archive, spool, meter, stop, on_warning);
                Ok(Sink::Tar(Arc::new(tar.context(
                    "cannot start the thread that writes the archive",
                )?)))
            }
        }
    }
}

/// Tries whether files can be made in the folder, unless all of them may be there already.
fn tried(output: OutputFolder, if_exists: IfExists) -> io::Result<OutputFolder> {
    match if_exists {
        IfExists::Overwrite | IfExists::Newer => output.try_to_write()?,
        IfExists::Skip | IfExists::Changed | IfExists::Verify => {}
    }
    Ok(output)
}

/// The folder whose disk the objects have to fit on.
pub(crate) struct FolderToFill {
    output: PathBuf,
    paths: PathRules,
}

/// The folder that the run fills; none if it only looks, or writes an archive.
pub(crate) fn folder_to_fill(config: &Config, paths: &PathRules) -> Option<FolderToFill> {
    let fills = config.transfer.job == Job::Download && config.tar.is_none();
    fills.then(|| FolderToFill {
        output: config.output.clone(),
        paths: paths.clone(),
    })
}

impl FolderToFill {
    /// What to say if the objects of the lists do not fit.
    pub(crate) fn warning(&self, options: &ListOptions, totals: &Totals) -> Option<String> {
        let room = dry_run::shortage(options, totals, &self.output, &self.paths)?;
        let folder = self.output.display();
        Some(format!(
            "the disk is too small for all objects of the list: {room} for `{folder}`"
        ))
    }
}

/// How a destination is closed.
pub(crate) struct Close<'a> {
    /// Whether files are flushed to disk.
    pub sync: bool,
    /// Whether every row of the list was dealt with.
    pub is_whole: bool,
    pub stop: &'a Stop,
}

/// Flushes files to disk, or ends the archive; returns what is to be said about it.
///
/// # Errors
/// When that fails.
pub(crate) async fn close(sink: &Sink, how: Close<'_>) -> anyhow::Result<Vec<String>> {
    let closing = async {
        match sink {
            Sink::Files(files) if how.sync => {
                let flushed = files.sync().await;
                flushed.context("cannot flush the output folder's file system (`--sync`)")?;
                Ok(Vec::new())
            }
            Sink::Files(_) => Ok(Vec::new()),
            Sink::Tar(tar) => {
                let ending = if how.is_whole {
                    Ending::Whole
                } else {
                    Ending::Incomplete
                };
                let left = tar.finish(ending).await?;
                let waited = tar.waited_for_head();
                let head = (waited >= WAIT_WORTH_A_LINE).then(|| {
                    let (seconds, mib) = (waited.as_secs(), tar.most_spooled() >> 20);
                    format!("the archive waited {seconds} s for single objects while later ones were ready; up to {mib} MiB were spooled")
                });
                Ok(head.into_iter().chain(left).collect())
            }
        }
    };
    let out_of_patience = async {
        how.stop.reached(Phase::Abandoned).await;
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        closed = closing => closed,
        // The caller no longer waits for it.
        () = out_of_patience => Ok(Vec::new()),
    }
}
