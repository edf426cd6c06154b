//! `--tar` and the options that shape its archives.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::error::UsageError;
use crate::cli::Cli;
use crate::options::{ByteSize, IfExists};
use crate::sink::tar::ArchiveOptions;
use crate::sink::tar::shards::{Pattern, ShardRules};

/// The archive that is written instead of files.
#[derive(Debug)]
pub struct TarOptions {
    pub archive: ArchiveOptions,
    /// Folder for what waits for its turn.
    pub spool: Option<PathBuf>,
}

/// The archive that the command line asks for, if it does.
///
/// # Errors
/// When the options contradict the archive's name.
pub(super) fn tar(cli: &Cli) -> Result<Option<TarOptions>, UsageError> {
    let Some(path) = &cli.tar else {
        return Ok(None);
    };
    if path.as_os_str() == "-" && std::io::stdout().is_terminal() {
        return Err(UsageError(
            "`--tar -` writes an archive to stdout, which is a terminal: use a pipe (`| tar -x`), or `--tar FILE`".into(),
        ));
    }
    let is_compressed = path.extension().is_some_and(|ending| {
        let endings = ["gz", "tgz", "zst", "tzst", "xz", "txz", "bz2", "zip"];
        endings
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    });
    if is_compressed {
        return Err(UsageError(format!(
            "`--tar {0}`: archives are not compressed: use `--tar - | gzip > {0}`, or another name",
            path.to_string_lossy().escape_debug()
        )));
    }
    let archive = ArchiveOptions {
        path: path.clone(),
        shards: shards(cli, &path.to_string_lossy())?,
        has_index: cli.tar_index,
        sync: cli.sync,
        keeps_complete: cli.if_exists == IfExists::Skip,
    };
    let spool = cli.spool.clone();
    Ok(Some(TarOptions { archive, spool }))
}

fn shards(cli: &Cli, typed: &str) -> Result<Option<ShardRules>, UsageError> {
    let typed_name = typed.escape_debug();
    let is_wanted = cli.tar_size.is_some() || cli.tar_count.is_some();
    match (typed.parse::<Pattern>(), is_wanted) {
        (Ok(pattern), true) => Ok(Some(ShardRules {
            pattern,
            max_bytes: cli.tar_size.map(|ByteSize(max)| max),
            max_samples: cli.tar_count,
        })),
        (Err(()), true) => Err(UsageError(format!(
            "`--tar {typed_name}` has no number for shards: with `--tar-size` or `--tar-count`, use a name such as `train-%06d.tar`"
        ))),
        (Ok(_), false) => Err(UsageError(format!(
            "`--tar {typed_name}` names shards: add `--tar-size SIZE` or `--tar-count N`"
        ))),
        (Err(()), false) => Ok(None),
    }
}
