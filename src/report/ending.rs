//! What to do after a run: where its failed rows are, and which command goes on from there. Pure.

use std::path::Path;

use super::failed_keys::Kept;
use super::text::count;
use crate::exit_code::ExitCode;
use crate::printable::printable;
use crate::transfer::ListEnd;

/// How the run ended.
pub struct RunEnd {
    pub exit_code: ExitCode,
    /// Why it ended early, if it did.
    pub error: Option<anyhow::Error>,
    /// What to do about that, where it is known.
    pub hint: Option<String>,
    /// What stopped it, if it was a signal.
    pub stopped_by: Option<&'static str>,
    /// What else there is to say, a line each.
    pub notes: Vec<String>,
}

/// How the run ended, as far as it matters for what to do next.
pub(super) struct Ending<'a> {
    pub kept: &'a Kept,
    /// Failed rows in the CSV.
    pub n_rows: u64,
    /// Those that fail again as long as the list and the bucket stay as they are.
    pub n_permanent: u64,
    /// `--failed`.
    pub path: &'a Path,
    pub retry_command: &'a str,
    /// Whether nothing can succeed before the cause of the end is mended.
    pub is_hopeless: bool,
    pub list_end: ListEnd,
}

/// What is said even to those who asked for quiet: each row that failed can be found.
pub(super) fn lines(ending: &Ending<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = count(ending.n_rows, "failed row");
    let path = ending.path.to_string_lossy();
    let path = printable(&path);
    match ending.kept {
        Kept::InPlace if ending.n_rows == 0 => {}
        Kept::InPlace if ending.is_hopeless => {
            lines.push(format!(
                "s3pull: {rows} in {path}; run the same command again once the cause is mended"
            ));
        }
        Kept::InPlace => {
            lines.push(format!("s3pull: {rows} in {path}; try them again with:"));
            lines.push(format!("  {}", printable(ending.retry_command)));
            lines.extend(permanent(ending));
        }
        Kept::Written => lines.push(format!("s3pull: {rows} written to {path}")),
        Kept::Incomplete(left) => lines.push(format!(
            "s3pull: {rows} in {}, which is not the whole list; nothing was changed at {path}",
            printable(&left.to_string_lossy()),
        )),
        Kept::Lost => lines.push(format!(
            "s3pull: {rows} could not be kept, since the folder of {path} is gone; run the same command again"
        )),
        Kept::Nothing => {}
    }
    let again = match ending.list_end {
        ListEnd::Whole => return lines,
        ListEnd::CutShort => "run the same command again for the whole list",
        ListEnd::Broken => "run the same command again once the whole list can be read",
    };
    lines.push("s3pull: warning: the key list was not read to its end: the keys of the rest are in no file and in no CSV".to_owned());
    lines.push(format!(
        "s3pull: {again}; `--if-exists skip` passes over the files that are there"
    ));
    lines
}

/// Errors that a retry alone cannot mend.
fn permanent(ending: &Ending<'_>) -> Option<String> {
    let which = match ending.n_permanent {
        0 => return None,
        n if n == ending.n_rows && n == 1 => "it fails".to_owned(),
        n if n == ending.n_rows => "all of them fail".to_owned(),
        1 => "1 of them fails".to_owned(),
        n => format!("{} of them fail", super::text::number(n)),
    };
    Some(format!(
        "s3pull: {which} again unless the list, the bucket or the permissions change first"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(kept: &Kept) -> Ending<'_> {
        Ending {
            kept,
            n_rows: 3,
            n_permanent: 0,
            path: Path::new("f.csv"),
            retry_command: "s3pull -b b --keys f.csv",
            is_hopeless: false,
            list_end: ListEnd::Whole,
        }
    }

    #[test]
    fn a_retry_is_offered_where_it_can_help() {
        let kept = Kept::InPlace;
        assert_eq!(
            lines(&ending(&kept)),
            [
                "s3pull: 3 failed rows in f.csv; try them again with:",
                "  s3pull -b b --keys f.csv"
            ]
        );
        for (n, said) in [
            (1, "1 of them fails again"),
            (2, "2 of them fail again"),
            (3, "all of them fail again"),
        ] {
            let lines = lines(&Ending {
                n_permanent: n,
                ..ending(&kept)
            });
            assert!(lines[2].contains(said), "{lines:?}");
        }
        let hopeless = lines(&Ending {
            is_hopeless: true,
            ..ending(&kept)
        });
        assert_eq!(hopeless.len(), 1);
        assert!(
            hopeless[0].contains("once the cause is mended"),
            "{hopeless:?}"
        );
    }

    #[test]
    fn a_record_of_half_a_list_offers_no_retry_of_itself() {
        let kept = Kept::Incomplete("f.csv.incomplete".into());
        for list_end in [ListEnd::CutShort, ListEnd::Broken] {
            let said = lines(&Ending {
                list_end,
                ..ending(&kept)
            })
            .join("\n");
            assert!(said.contains("3 failed rows in f.csv.incomplete"), "{said}");
            assert!(
                said.contains("run the same command again") && !said.contains("--keys"),
                "{said}"
            );
        }
    }
}
