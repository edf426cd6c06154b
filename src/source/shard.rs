//! `--shard`: which rows this run takes when several runs share a list without communicating.

use std::str::FromStr;

use twox_hash::XxHash3_64;

/// Shard `index` of `count`: the rows whose key hashes to it.
///
/// The hash is the XXH3-64 of the key's bytes with seed 0, modulo `count`. It must never change, since runs of different
/// versions may share a list, and a retry must select the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why the argument of `--shard` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShardError(String);

impl Shard {
    fn new(index: u64, count: u64) -> Result<Self, ShardError> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(ShardError(format!(
            "there is no shard {index} of {count}: shards are counted from 0, so the last one is {}",
            count.saturating_sub(1)
        )))
    }

    pub fn has(self, key: &str) -> bool {
        shard_of(key, self.count) == self.index
    }

    /// The name of this shard's own file: `s3pull-failed-2-of-8.csv` for `s3pull-failed.csv`.
    pub fn name_of(self, file: &str) -> String {
        let (stem, suffix) = file.rsplit_once('.').unwrap_or((file, ""));
        let dot = if suffix.is_empty() { "" } else { "." };
        format!("{stem}-{}-of-{}{dot}{suffix}", self.index, self.count)
    }

    /// Finds the shard of this process from the variables of the array job that it is a task of.
    ///
    /// # Errors
    /// If there is no array job, if there are two, or if a required variable is not set or is not a number.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let environment = Environment(&variable);
        let found: Vec<_> = [
            (SLURM_TASK, Environment::slurm as fn(&_) -> _),
            (KUBERNETES_INDEX, Environment::kubernetes),
            (BATCH_INDEX, Environment::aws_batch),
        ]
        .into_iter()
        .filter(|(name, _)| variable(name).is_some())
        .collect();
        match found[..] {
            [(_, read)] => read(&environment),
            [] => Err(ShardError(format!(
                "`--shard auto` finds no array job: {SLURM_TASK} (Slurm), {KUBERNETES_INDEX} (Kubernetes) and {BATCH_INDEX} (AWS Batch) are not set; use `--shard K/N`"
            ))),
            [(first, _), (second, _), ..] => Err(ShardError(format!(
                "`--shard auto` finds two array jobs: {first} and {second} are set; use `--shard K/N`"
            ))),
        }
    }
}

fn shard_of(key: &str, count: u64) -> u64 {
    XxHash3_64::oneshot(key.as_bytes()) % count
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((_, 0)) | None => Err(ShardError(
                "neither `auto` nor `K/N`, such as `0/4` for the first of four".to_owned(),
            )),
            Some((index, count)) => Self::new(index, count),
        }
    }
}

const SLURM_TASK: &str = "SLURM_ARRAY_TASK_ID";
const KUBERNETES_INDEX: &str = "JOB_COMPLETION_INDEX";
const BATCH_INDEX: &str = "AWS_BATCH_JOB_ARRAY_INDEX";
const SHARDS: &str = "S3PULL_SHARDS";

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// The ids of an array need not start at 0, and may have a step greater than 1.
    fn slurm(&self) -> Result<Shard, ShardError> {
        let (id, first) = (
            self.number(SLURM_TASK)?,
            self.number("SLURM_ARRAY_TASK_MIN")?,
        );
        let count = self.number("SLURM_ARRAY_TASK_COUNT")?;
        let last = self.number("SLURM_ARRAY_TASK_MAX")?;
        let step = match (last.checked_sub(first), count) {
            (Some(0), 1) => 1,
            (Some(span), 2..) if span.is_multiple_of(count - 1) && span > 0 => span / (count - 1),
            _ => 0,
        };
        match id.checked_sub(first) {
            Some(offset) if step > 0 && offset.is_multiple_of(step) => {
                Shard::new(offset / step, count)
            }
            _ => Err(ShardError(format!(
                "the Slurm array's {count} ids from {first} to {last} are not evenly spaced, so task {id} has no index among them: use `--array=0-{}`, or `--shard K/N`",
                count.saturating_sub(1)
            ))),
        }
    }

    fn kubernetes(&self) -> Result<Shard, ShardError> {
        Shard::new(self.number(KUBERNETES_INDEX)?, self.number(SHARDS)?)
    }

    fn aws_batch(&self) -> Result<Shard, ShardError> {
        const SIZE: &str = "AWS_BATCH_JOB_ARRAY_SIZE";
        let count = if (self.0)(SIZE).is_some() {
            self.number(SIZE)
        } else {
            self.number(SHARDS)
        };
        Shard::new(self.number(BATCH_INDEX)?, count?)
    }

    fn number(&self, name: &str) -> Result<u64, ShardError> {
        let Some(value) = (self.0)(name) else {
            let cure = if name == SHARDS {
                " to the number of tasks"
            } else {
                ""
            };
            return Err(ShardError(format!(
                "`--shard auto` needs {name}, which is not set: set it{cure}, or use `--shard K/N`"
            )));
        };
        value.parse().map_err(|_| {
            ShardError(format!(
                "`--shard auto` needs a number in {name}, which is `{}`",
                value.escape_debug()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Vectors of XXH3-64 with seed 0, from its reference implementation.
        assert_eq!(XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(XxHash3_64::oneshot(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(XxHash3_64::oneshot(b"abc"), 0x78af_5f94_892f_3950);
        let keys = ["a", "abc", "photos/2024/1.jpg", "ü", "a/b"];
        assert_eq!(keys.map(|key| shard_of(key, 10)), [9, 4, 0, 2, 8]);
    }

    #[test]
    fn every_key_is_in_exactly_one_shard_and_shards_have_equal_sizes() {
        const COUNT: u64 = 16;
        let n_keys = 1_000_000_u64;
        let mut sizes = [0_u64; 16];
        for n in 0..n_keys {
            let shard = shard_of(&format!("data/2024/{n:08}.json"), COUNT);
            sizes[usize::try_from(shard).unwrap()] += 1;
        }
        let fair = n_keys / COUNT;
        let is_fair = |&size: &u64| size.abs_diff(fair) * 100 <= fair;
        assert!(sizes.iter().all(is_fair), "{sizes:?}");
        let of_key = |key| {
            (0..COUNT)
                .filter(|&index| {
                    Shard {
                        index,
                        count: COUNT,
                    }
                    .has(key)
                })
                .count()
        };
        assert_eq!(["a", "b", "ü", ""].map(of_key), [1; 4]);
    }

    #[test]
    fn shards_are_counted_from_0() {
        assert_eq!("0/4".parse(), Ok(Shard { index: 0, count: 4 }));
        for bad in ["4/4", "0/0", "1", "a/b", "-1/4", "1/2/3", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_shard_has_its_own_csv() {
        let shard = Shard { index: 2, count: 8 };
        assert_eq!(
            shard.name_of("s3pull-failed.csv"),
            "s3pull-failed-2-of-8.csv"
        );
        assert_eq!(shard.name_of("failed"), "failed-2-of-8");
    }

    fn auto(variables: &[(&str, &str)]) -> Result<Shard, ShardError> {
        Shard::of_environment(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn slurm(id: &str, min: &str, max: &str, count: &str) -> Result<Shard, ShardError> {
        auto(&[
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_MIN", min),
            ("SLURM_ARRAY_TASK_MAX", max),
            ("SLURM_ARRAY_TASK_COUNT", count),
        ])
    }

    #[test]
    fn array_jobs_are_recognised_by_their_variables() {
        assert_eq!(slurm("3", "0", "7", "8"), Shard::new(3, 8));
        assert_eq!(slurm("8", "1", "8", "8"), Shard::new(7, 8));
        assert_eq!(slurm("9", "1", "13", "4"), Shard::new(2, 4));
        assert_eq!(slurm("5", "5", "5", "1"), Shard::new(0, 1));
        let kubernetes = [("JOB_COMPLETION_INDEX", "2"), ("S3PULL_SHARDS", "3")];
        assert_eq!(auto(&kubernetes), Shard::new(2, 3));
        let batch = [
            ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
            ("AWS_BATCH_JOB_ARRAY_SIZE", "5"),
        ];
        assert_eq!(auto(&batch), Shard::new(1, 5));
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "1"), ("S3PULL_SHARDS", "6")];
        assert_eq!(auto(&batch), Shard::new(1, 6));
    }

    #[test]
    fn a_missing_or_wrong_variable_is_named() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "finds no array job"),
            (
                &[("SLURM_ARRAY_TASK_ID", "1")],
                "needs SLURM_ARRAY_TASK_MIN",
            ),
            (&[("JOB_COMPLETION_INDEX", "1")], "needs S3PULL_SHARDS"),
            (
                &[("JOB_COMPLETION_INDEX", "3"), ("S3PULL_SHARDS", "3")],
                "no shard 3 of 3",
            ),
            (
                &[("JOB_COMPLETION_INDEX", "x"), ("S3PULL_SHARDS", "3")],
                "a number in JOB_COMPLETION_INDEX",
            ),
            (
                &[("JOB_COMPLETION_INDEX", "1"), ("SLURM_ARRAY_TASK_ID", "1")],
                "two array jobs",
            ),
        ];
        for (variables, named) in cases {
            let message = auto(variables).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
        let gaps = slurm("5", "1", "9", "4").unwrap_err().to_string();
        assert!(gaps.contains("not evenly spaced"), "{gaps}");
    }
}
