//! Where one shard ends and the next one begins, and what shards are called. Pure.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

/// The name of shards, with a number in it: `train-%06d.tar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    /// Least digits of the number.
    width: usize,
    after: String,
}

impl FromStr for Pattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (before, rest) = text.split_once('%').ok_or(())?;
        let (digits, after) = rest.split_once('d').ok_or(())?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let width = match digits.strip_prefix('0') {
            Some(width) if is_number => width.parse().ok().filter(|width| *width <= 20),
            None if digits.is_empty() => Some(1),
            _ => None,
        };
        Ok(Self {
            before: before.to_owned(),
            width: width.ok_or(())?,
            after: after.to_owned(),
        })
    }
}

impl Pattern {
    /// The path of the `n`th shard, from 0.
    pub fn path(&self, n: u64) -> PathBuf {
        let Self {
            before,
            width,
            after,
        } = self;
        format!("{before}{n:0width$}{after}").into()
    }
}

/// When a shard is full.
#[derive(Debug, Clone)]
pub struct ShardRules {
    pub pattern: Pattern,
    /// Bytes from which on no sample is begun. A sample is not split, so a shard may be larger by the rest of one.
    pub max_bytes: Option<u64>,
    /// Samples in a shard.
    pub max_samples: Option<NonZeroU64>,
}

/// Counts what is in the shard that is being written.
#[derive(Debug)]
pub(crate) struct Shards {
    rules: ShardRules,
    n: u64,
    sample: Option<String>,
    n_samples: u64,
    n_bytes: u64,
}

impl Shards {
    /// Begins with the `n`th shard, from 0.
    pub(crate) fn starting_at(rules: ShardRules, n: u64) -> Self {
        Self {
            rules,
            n,
            sample: None,
            n_samples: 0,
            n_bytes: 0,
        }
    }

    /// Adds a member of `n_bytes`, headers and all; whether it is the first one of the next shard. Shards end between
    /// samples: files with equal names up to the first dot that follow one another.
    pub(crate) fn add(&mut self, path: &str, n_bytes: u64) -> bool {
        let sample = sample_of(path);
        let begins_sample = self.sample.as_deref() != Some(sample);
        let Self {
            rules,
            n_samples,
            n_bytes: n_before,
            ..
        } = self;
        let has_no_room = rules.max_bytes.is_some_and(|max| *n_before + n_bytes > max);
        let is_full = rules.max_samples.is_some_and(|max| *n_samples >= max.get());
        let is_next = begins_sample && self.n_samples > 0 && (has_no_room || is_full);
        if is_next {
            self.n += 1;
            (self.n_samples, self.n_bytes) = (0, 0);
        }
        if begins_sample {
            self.sample = Some(sample.to_owned());
            self.n_samples += 1;
        }
        self.n_bytes += n_bytes;
        is_next
    }

    /// The path of the shard that the last member is in.
    pub(crate) fn path(&self) -> PathBuf {
        self.rules.pattern.path(self.n)
    }
}

/// What files of one sample have in common: the path up to the first dot of its last segment, as WebDataset splits names.
fn sample_of(path: &str) -> &str {
    let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name_start..].find('.') {
        // A hidden file is a sample of its own.
        None | Some(0) => path,
        Some(dot) => &path[..name_start + dot],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_numbered_as_the_pattern_says() {
        let path = |text: &str, n| text.parse::<Pattern>().map(|pattern| pattern.path(n));
        assert_eq!(path("d/a-%06d.tar", 7), Ok("d/a-000007.tar".into()));
        assert_eq!(path("%d", 12), Ok("12".into()));
        assert_eq!(path("a%03d", 12_345), Ok("a12345".into()));
        for bad in ["a.tar", "a%", "a%6d", "a%0xd", "a%s", "a%0d", "a%099d"] {
            assert_eq!(path(bad, 0), Err(()), "{bad}");
        }
    }

    #[test]
    fn samples_have_equal_names_up_to_the_first_dot_of_the_last_segment() {
        for (path, sample) in [
            ("a.jpg", "a"),
            ("a.b.jpg", "a"),
            ("d.x/a.jpg", "d.x/a"),
            ("d.x/a", "d.x/a"),
            ("d/.a.b", "d/.a.b"),
        ] {
            assert_eq!(sample_of(path), sample);
        }
    }

    /// The shard of each member.
    fn shards(max_bytes: Option<u64>, max_samples: u64, members: &[(&str, u64)]) -> Vec<u64> {
        let rules = ShardRules {
            pattern: "%d".parse().unwrap(),
            max_bytes,
            max_samples: NonZeroU64::new(max_samples),
        };
        let mut shards = Shards::starting_at(rules, 0);
        let in_shard = members.iter().map(|(path, n_bytes)| {
            shards.add(path, *n_bytes);
            shards.n
        });
        in_shard.collect()
    }

    #[test]
    fn a_shard_ends_before_the_sample_that_has_no_room() {
        let members = [("a", 5), ("b", 5), ("c", 1), ("d", 30), ("e", 1)];
        assert_eq!(shards(Some(10), 0, &members), [0, 0, 1, 2, 3]);
    }

    #[test]
    fn a_sample_is_never_split() {
        let members = [("a.x", 4), ("a.y", 4), ("b.x", 4), ("b.y", 4), ("c.x", 4)];
        assert_eq!(shards(Some(10), 0, &members), [0, 0, 1, 1, 2]);
        assert_eq!(shards(None, 2, &members), [0, 0, 0, 0, 1]);
        assert_eq!(shards(Some(1), 0, &members), [0, 0, 1, 1, 2]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_members_no_sample_is_in_two_shards(
            members in proptest::collection::vec((0_u8..6, 0_u64..20), 0..60),
            max in 1_u64..40,
        ) {
            let names: Vec<_> = members.iter().map(|(n, size)| (format!("{n}.x"), *size)).collect();
            let named: Vec<_> = names.iter().map(|(name, size)| (name.as_str(), *size)).collect();
            let found = shards(Some(max), 0, &named);
            for (two, shards) in named.windows(2).zip(found.windows(2)) {
                proptest::prop_assert!(two[0].0 != two[1].0 || shards[0] == shards[1]);
                proptest::prop_assert!(shards[1] == shards[0] || shards[1] == shards[0] + 1);
            }
        }
    }
}
