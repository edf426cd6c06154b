//! Counts of what failed, by what a user can do about it. Pure.

use std::collections::BTreeMap;

use super::may_pass::may_pass;
use super::text::{count, quoted};
use crate::meter::Counts;
use crate::outcome::{ErrorCode, Failure};
use crate::row::Place;
use crate::transfer::Finished;

/// Error codes that are counted one by one. A server may answer with as many as it likes.
const MAX_CODES: usize = 64;

/// Rows that must all be missing before the list is suspected.
const MIN_MISSING: u64 = 3;

/// What failed so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Rows that were not begun before the run ended.
    pub n_not_attempted: u64,
    /// Rows that were begun, and given up because the run ended.
    pub n_interrupted: u64,
    n_missing: u64,
    /// The first row of those that are missing.
    first_missing: Option<(Place, String)>,
    /// Rows that are not tried again in this run.
    last: Part,
    /// Rows that may be.
    may_pass: Part,
}

#[derive(Debug, Default)]
struct Part {
    /// Rows that fail again as long as the list and the bucket stay as they are.
    n_permanent: u64,
    codes: BTreeMap<String, u64>,
}

impl Part {
    fn add(&mut self, code: &str) {
        let is_known = self.codes.contains_key(code) || self.codes.len() < MAX_CODES;
        let code = if is_known { code } else { "others" };
        match self.codes.get_mut(code) {
            Some(n) => *n += 1,
            None => drop(self.codes.insert(code.to_owned(), 1)),
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, finished: &Finished, failure: &Failure) {
        let code = failure.code.as_str();
        let part = if may_pass(code, failure.status) {
            &mut self.may_pass
        } else {
            &mut self.last
        };
        part.add(code);
        match failure.code {
            ErrorCode::NotAttempted => self.n_not_attempted += 1,
            ErrorCode::Interrupted => self.n_interrupted += 1,
            _ => part.n_permanent += u64::from(failure.class.is_of_key()),
        }
        if failure.status == Some(404) && failure.class.is_of_key() {
            self.n_missing += 1;
            let place = finished.place;
            if self
                .first_missing
                .as_ref()
                .is_none_or(|(first, _)| place < *first)
            {
                self.first_missing = Some((place, finished.entry.key.clone()));
            }
        }
    }

    /// Failed rows by their error.
    pub(super) fn codes(&self) -> BTreeMap<String, u64> {
        let mut codes = self.last.codes.clone();
        for (code, n) in &self.may_pass.codes {
            *codes.entry(code.clone()).or_default() += n;
        }
        codes
    }

    /// Rows that fail again as long as the list and the bucket stay as they are.
    pub(super) fn n_permanent(&self) -> u64 {
        self.last.n_permanent + self.may_pass.n_permanent
    }

    /// Takes back the rows that are tried again from now on: they are added again as they fail.
    pub(super) fn begin_round(&mut self) {
        self.may_pass = Part::default();
    }

    /// Adds a row again that was not tried after all.
    pub(super) fn keep(&mut self, code: &str) {
        self.may_pass.add(code);
    }

    /// `NoSuchKey (3) and Timeout (1)`, without the rows that were not tried or given up; empty where there is none.
    pub(super) fn errors(&self) -> Vec<String> {
        let is_error = |code: &str| code != "NotAttempted" && code != "Interrupted";
        let codes = self.codes();
        let errors = codes.iter().filter(|(code, _)| is_error(code));
        errors
            .map(|(code, n)| format!("{code} ({})", super::text::number(*n)))
            .collect()
    }

    /// What to say when every key is missing, which is hardly ever so: then the list was read wrongly, or is one of
    /// another bucket. `format` is how it was read.
    pub(super) fn all_missing(&self, counts: &Counts, format: Option<&str>) -> Option<String> {
        let (_, key) = self.first_missing.as_ref()?;
        if self.n_missing < MIN_MISSING || self.n_missing != counts.n_done() {
            return None;
        }
        let read = format.map_or_else(String::new, |format| {
            format!(
                "; the list was read as `{format}`, and its first key is {}",
                quoted(key)
            )
        });
        let keys = count(self.n_missing, "key");
        Some(format!(
            "none of the {keys} exists{read}{}",
            cure(key, format)
        ))
    }
}

/// What may be wrong with a list whose first key is `key`.
fn cure(key: &str, format: Option<&str>) -> &'static str {
    if key.contains('\t') {
        ": put one key on each line (`tr '\\t' '\\n'`)"
    } else if key.starts_with(' ') || key.ends_with(' ') {
        ": mind the blank around it, which is taken as a part of the key"
    } else if matches!(format, Some("aws-s3-ls" | "s5cmd-ls")) {
        ": if the listing leaves out what was listed, put it back with `--key-prefix`"
    } else {
        ": check `--bucket`, `--key-prefix` and `--keys-format`"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outcome::Class;
    use crate::outcome::Outcome;
    use crate::row::Entry;

    fn add(tally: &mut Tally, line: u64, key: &str, failure: &Failure) {
        let finished = Finished {
            place: Place { list: 0, line },
            entry: Arc::new(Entry {
                key: key.to_owned(),
                ..Entry::default()
            }),
            bucket: None,
            path: None,
            outcome: Outcome::Failed(failure.clone()),
            content: None,
        };
        tally.add(&finished, failure);
    }

    fn missing() -> Failure {
        Failure {
            status: Some(404),
            ..Failure::new(ErrorCode::S3("NoSuchKey".into()), Class::Permanent, "")
        }
    }

    #[test]
    fn a_list_of_which_nothing_exists_is_suspected() {
        let mut tally = Tally::default();
        let counts = |n_failed| Counts {
            n_failed,
            ..Counts::default()
        };
        for (n, line) in [(1, 5), (2, 2), (3, 9)] {
            assert_eq!(tally.all_missing(&counts(n - 1), Some("lines")), None);
            add(&mut tally, line, &format!("key{line} "), &missing());
        }
        let said = tally.all_missing(&counts(3), Some("lines")).unwrap();
        assert!(
            said.starts_with("none of the 3 keys exists; the list was read as `lines`, and its first key is \"key2 \""),
            "{said}"
        );
        assert!(said.contains("blank"), "{said}");
        assert_eq!(tally.all_missing(&counts(4), Some("lines")), None);
    }

    #[test]
    fn rows_that_were_not_tried_are_told_apart_and_codes_are_bounded() {
        let mut tally = Tally::default();
        add(&mut tally, 1, "a", &Failure::not_attempted(""));
        let given_up = Failure::new(ErrorCode::Interrupted, Class::Transient, "");
        add(&mut tally, 2, "b", &given_up);
        add(&mut tally, 3, "c", &missing());
        add(&mut tally, 4, "d", &missing());
        let n = (
            tally.n_not_attempted,
            tally.n_interrupted,
            tally.n_permanent(),
        );
        assert_eq!(n, (1, 1, 2));
        assert_eq!(tally.errors(), ["NoSuchKey (2)"]);
        // What may pass is taken back when it is tried again.
        let timeout = Failure::new(ErrorCode::Timeout, Class::Transient, "");
        add(&mut tally, 5, "e", &timeout);
        assert_eq!(tally.errors(), ["NoSuchKey (2)", "Timeout (1)"]);
        tally.begin_round();
        assert_eq!(tally.errors(), ["NoSuchKey (2)"]);
        tally.keep("Timeout");
        assert_eq!(tally.errors(), ["NoSuchKey (2)", "Timeout (1)"]);
        tally.begin_round();
        for n in 0..1000 {
            let code = ErrorCode::S3(format!("Code{n}"));
            add(
                &mut tally,
                5,
                "e",
                &Failure::new(code, Class::Permanent, ""),
            );
        }
        assert!(tally.codes().len() <= MAX_CODES + 1);
        assert_eq!(tally.codes().values().sum::<u64>(), 1004);
    }
}
