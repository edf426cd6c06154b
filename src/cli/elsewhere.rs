//! Options that other tools have for what has another name here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of other tools, and what to use instead.
const WORDS: &[(&[&str], &str)] = &[
    (
        &[
            "--threads",
            "--jobs",
            "--workers",
            "--num-workers",
            "--numworkers",
            "--transfers",
            "--checkers",
            "--parallel",
            "--parallelism",
            "--max-concurrent-requests",
            "--multi-thread-streams",
            "--max-connection-per-server",
            "--max-concurrent-downloads",
            "--split",
            "-P",
            "-x",
        ],
        "`--concurrency N` sets the number of GETs in flight",
    ),
    (
        &[
            "--files-from",
            "--files-from-raw",
            "--from-file",
            "--input-file",
            "--input",
            "--list",
            "--key-list",
            "--manifest",
            "-i",
            "-f",
        ],
        "`--keys FILE` names a list of keys",
    ),
    (
        &["--recursive", "-r", "-R"],
        "`--prefix PREFIX` downloads everything below a prefix",
    ),
    (
        &[
            "--continue",
            "--resume",
            "--no-clobber",
            "--no-overwrite",
            "--ignore-existing",
            "--skip-existing",
            "--continue-at",
            "-c",
            "-C",
        ],
        "`--if-exists skip` keeps the files that exist; large objects are resumed in any case",
    ),
    (
        &["-n"],
        "`--if-exists skip` keeps the files that exist, and `--dry-run` downloads nothing",
    ),
    (
        &["--overwrite", "--force", "--clobber"],
        "`--if-exists overwrite` is the default",
    ),
    (
        &[
            "--update",
            "--if-source-newer",
            "--timestamping",
            "-u",
            "-N",
        ],
        "`--if-exists newer` replaces files whose object is newer",
    ),
    (
        &["--size-only", "--if-size-differ", "--exact-timestamps"],
        "`--if-exists changed` compares size and time",
    ),
    (
        &["--checksum", "--checksums", "--checksum-mode"],
        "`--if-exists verify` compares the content of files that exist; downloads are always verified",
    ),
    (
        &["--dryrun", "--simulate", "--just-print"],
        "`--dry-run` downloads nothing",
    ),
    (
        &[
            "--delete",
            "--delete-removed",
            "--delete-excluded",
            "--remove",
        ],
        "s3pull deletes nothing; `s3pull check --extra` names the files that are of no key",
    ),
    (
        &["--anonymous", "--anon", "--no-sign-requests", "--public"],
        "`--no-sign-request` is for public buckets",
    ),
    (
        &[
            "--insecure",
            "--no-check-certificate",
            "--skip-verify",
            "--no-ssl-verify",
            "--cacert",
        ],
        "`--ca-bundle FILE` trusts a server's own certificate; `--no-verify-ssl` checks none",
    ),
    (
        &[
            "--retries",
            "--retry",
            "--retry-count",
            "--max-retries",
            "--low-level-retries",
            "--tries",
            "--max-tries",
            "-t",
        ],
        "`--max-attempts N` sets the number of attempts per object",
    ),
    (
        &[
            "--limit-rate",
            "--bandwidth",
            "--bandwidth-limit",
            "--max-bandwidth",
            "--rate-limit",
            "--throttle",
        ],
        "`--bwlimit RATE` limits the bytes per second, and `--rps N` the requests",
    ),
    (
        &[
            "--output-dir",
            "--out",
            "--out-dir",
            "--dest",
            "--destination",
            "--directory",
            "--directory-prefix",
            "--target",
            "--dir",
            "-O",
            "-d",
        ],
        "`--output DIR` names the folder for the files",
    ),
    (
        &["--endpoint", "--host", "--url", "--server", "--s3-endpoint"],
        "`--endpoint-url URL` names the server",
    ),
    (
        &[
            "--chunk-size",
            "--chunksize",
            "--multipart-chunk-size-mb",
            "--s3-chunk-size",
        ],
        "`--part-size SIZE` sets the size of parts",
    ),
    (
        &["--tpslimit", "--wait", "--requests-per-second"],
        "`--rps N` limits the requests per second",
    ),
    (
        &["--cli-read-timeout", "--read-timeout", "--speed-time"],
        "`--timeout S` is the longest time without data",
    ),
    (
        &["--cli-connect-timeout"],
        "`--connect-timeout S` limits connecting",
    ),
    (
        &["--flatten", "--no-directories"],
        "`--path '{name}'` leaves out the folders",
    ),
    (
        &["--cut-dirs"],
        "`--strip-prefix PREFIX` leaves out folders of the key",
    ),
    (
        &["--debug", "--log-level"],
        "`-vv`, which is `--verbose` twice, prints each request",
    ),
    (
        &["--source-region"],
        "`--region REGION` is that of the bucket, and is found without it",
    ),
    (
        &["--max-items", "--limit"],
        "a shorter list, as in `head -n 100 LIST | s3pull`, or `--shard K/N` takes fewer rows",
    ),
    (&["--silent", "-s"], "`--quiet` prints only errors"),
    (
        &["--no-progress", "--no-progress-meter", "--only-show-errors"],
        "`--progress none` shows no progress, and `--quiet` prints only errors",
    ),
    (
        &["--log-file", "--logfile"],
        "`--log FILE` adds the lines to a file",
    ),
    (
        &["--max-time", "--time-limit"],
        "`--max-duration S` ends the run after so many seconds",
    ),
    (
        &[
            "--sse-c",
            "--sse-customer-key",
            "--sse-c-copy-source",
            "--encrypt-key",
        ],
        "`--sse-c-key FILE` names the file with the key",
    ),
    (
        &["--filter", "--match", "--pattern", "--regex"],
        "`--include GLOB` and `--exclude GLOB` choose keys",
    ),
    (
        &["--delimiter", "--null", "--print0", "-0", "-z"],
        "`--keys-format null` reads keys that end in NUL",
    ),
    (
        &["--no-check", "--no-verify"],
        "`--verify off` compares only lengths",
    ),
];

/// Leads whoever uses an option of another tool to the one that is meant.
pub(super) fn lead_here(error: &mut clap::Error) {
    if error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    // To pass it as a value is hardly ever what is meant.
    error.remove(ContextKind::Suggested);
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let word = typed.split('=').next().unwrap_or_default();
    let known = WORDS.iter().find(|(words, _)| words.contains(&word));
    if let Some((_, advice)) = known {
        let tip = ContextValue::StyledStrs(vec![(*advice).into()]);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, tip);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_word_is_named_twice_or_is_one_of_ours_and_each_leads_to_one_that_is() {
        let command = Cli::command();
        let mut ours: BTreeSet<_> = command
            .get_arguments()
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();
        ours.insert("--extra".to_owned());
        let shorts = command.get_arguments().filter_map(clap::Arg::get_short);
        let shorts: Vec<_> = shorts.map(|short| format!("-{short}")).collect();
        let mut seen = BTreeSet::new();
        for (words, advice) in WORDS {
            for word in *words {
                assert!(seen.insert(*word), "{word}");
                assert!(
                    !ours.contains(*word) && !shorts.contains(&(*word).to_owned()),
                    "{word}"
                );
            }
            let named: Vec<_> = advice
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .filter(|word| word.starts_with("--"))
                .collect();
            assert!(!named.is_empty(), "{advice}");
            for name in named {
                assert!(ours.contains(name), "{name}");
            }
        }
    }
}
