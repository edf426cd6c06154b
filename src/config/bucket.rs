//! The bucket as people write it.

use super::error::UsageError;
use crate::source::list::bucket::{has_characters_of_a_name, is_bucket_name, split_uri};

/// Accepts `b`, `s3://b`, `s3://b/` or an access point ARN.
pub(super) fn checked_bucket(typed: &str) -> Result<String, UsageError> {
    let name = typed.strip_prefix("s3://").unwrap_or(typed);
    let name = name.strip_suffix('/').unwrap_or(name);
    if let Some(bucket) = meant_bucket(name) {
        return Err(UsageError(format!(
            "`--bucket {}` is not a bucket name: use `--bucket {bucket}`",
            typed.escape_debug()
        )));
    }
    let split = split_uri(name);
    if name.starts_with("arn:") && split.is_none() && is_bucket_name(name) {
        return Ok(name.to_owned());
    }
    if let Some((bucket, prefix)) = split {
        return Err(UsageError(format!(
            "`--bucket {typed}` contains more than a bucket name: use `--bucket {bucket}`, and `--key-prefix {prefix}/` if the keys of the list lack it"
        )));
    }
    if !has_characters_of_a_name(name) {
        return Err(UsageError(format!(
            "`--bucket {}` is not a valid bucket name: only letters, digits, `.`, `-` and `_` are allowed",
            typed.escape_debug()
        )));
    }
    Ok(name.to_owned())
}

/// The bucket that a bucket's ARN, a bucket's URL or `s3:/b` names.
fn meant_bucket(typed: &str) -> Option<&str> {
    let is_name = |name: &&str| has_characters_of_a_name(name);
    // The ARN of a bucket is arn:aws:s3:::b or arn:aws:s3:::b/prefix; that of an access point has a region and an account.
    if let Some((_, name)) = typed
        .split_once(":s3:::")
        .filter(|_| typed.starts_with("arn:"))
    {
        return name.split('/').next().filter(is_name);
    }
    if let Some(path) = typed.strip_prefix("s3:/") {
        return path.trim_matches('/').split('/').next().filter(is_name);
    }
    let url = typed
        .strip_prefix("https://")
        .or_else(|| typed.strip_prefix("http://"))?;
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let of_host = host.split_once(".s3").map(|(bucket, _)| bucket);
    let in_path = path.split(['/', '?']).next();
    of_host.filter(is_name).or_else(|| in_path.filter(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_accepted_in_every_common_form() {
        for typed in ["b", "s3://b", "s3://b/", "b/"] {
            assert_eq!(checked_bucket(typed).unwrap(), "b", "{typed}");
        }
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        assert_eq!(checked_bucket(arn).unwrap(), arn);
    }

    #[test]
    fn the_error_for_a_bucket_with_a_prefix_names_the_right_options() {
        let message = checked_bucket("s3://b/photos/2024/")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("`--bucket b`") && message.contains("`--key-prefix photos/2024/`"),
            "{message}"
        );
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        let message = checked_bucket(&format!("{arn}/photos"))
            .unwrap_err()
            .to_string();
        assert!(message.contains(&format!("`--bucket {arn}`")), "{message}");
    }

    #[test]
    fn invalid_bucket_names_are_refused() {
        for typed in ["", "s3://", "a b", "b\n", "ü", "arn:a b"] {
            assert!(checked_bucket(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn arns_and_urls_of_buckets_are_recognised() {
        for typed in [
            "arn:aws:s3:::photos",
            "arn:aws-cn:s3:::photos/2024/*",
            "s3:/photos",
            "s3:/photos/2024/",
            "https://photos.s3.amazonaws.com",
            "https://photos.s3.eu-west-1.amazonaws.com/2024/a.jpg",
            "https://s3.amazonaws.com/photos/",
            "http://localhost:9000/photos",
        ] {
            let message = checked_bucket(typed).unwrap_err().to_string();
            assert!(
                message.contains("use `--bucket photos`"),
                "{typed}: {message}"
            );
        }
    }
}
