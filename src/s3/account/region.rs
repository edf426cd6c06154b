//! Finds the region the bucket is in. No request is made to find it: if the guess is wrong, S3's first reply names the
//! right one.

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;

/// The region to try first when nothing names one; S3 redirects from it.
const FALLBACK: &str = "us-east-1";
/// The most characters that a region's name may have; AWS's longest has 15.
const MAX_LENGTH: usize = 63;

/// The region to begin with, and what named it: the option, else the environment, else the profile; nothing names
/// [`FALLBACK`]. The instance metadata service is not asked on purpose: off EC2 it costs seconds of silence, and the
/// bucket may be in another region anyway.
pub(crate) async fn find(
    option: Option<&str>,
    profile: Option<&str>,
) -> (String, Option<&'static str>) {
    if let Some(region) = option {
        return (region.to_owned(), Some("`--region`"));
    }
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        // An empty variable counts as unset.
        if let Some(region) = std::env::var(name).ok().filter(|region| !region.is_empty()) {
            return (region, Some(name));
        }
    }
    let mut of_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    match of_profile.build().region().await {
        Some(region) => (region.to_string(), Some("the profile's `region`")),
        None => (FALLBACK.to_owned(), None),
    }
}

/// Whether `name` can be a region's name. It becomes part of a host name, so it must be a valid label of one.
pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_bounded = |name: &str| !name.starts_with('-') && !name.ends_with('-');
    (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(is_allowed) && is_bounded(name)
}

/// The region in the name of one of AWS's hosts, such as `b.s3.eu-west-1.amazonaws.com` or `s3-eu-west-1.amazonaws.com`.
pub(crate) fn of_endpoint(host: &str) -> Option<String> {
    let host = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let label = host.rsplit('.').next()?;
    let region = label.strip_prefix("s3-").unwrap_or(label);
    looks_like_aws(region).then(|| region.to_owned())
}

/// The last word of a message that looks like a region of AWS: `the region 'us-east-1' is wrong; expecting 'eu-west-1'`.
pub(crate) fn in_message(message: &str) -> Option<String> {
    let mut words = message.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.find(|word| looks_like_aws(word)).map(str::to_owned)
}

/// Whether `word` has the form of `us-gov-west-1`.
fn looks_like_aws(word: &str) -> bool {
    let mut fields = word.split('-');
    let is_word = |field: &str| {
        (1..=12).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let is_number = |field: &str| {
        (1..=2).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit())
    };
    let has_two_letters = fields
        .next()
        .is_some_and(|field| field.len() == 2 && is_word(field));
    let last = fields.next_back();
    let middle: Vec<_> = fields.collect();
    has_two_letters
        && last.is_some_and(is_number)
        && (1..=2).contains(&middle.len())
        && middle.into_iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_s_name_is_a_label_and_nothing_else() {
        for name in ["us-east-1", "garage", "EU", "auto", "my_region"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            " ",
            "evil.example/",
            "a b",
            "eu-west-1\n",
            "-x",
            "a:b",
            "a@b",
            "ü",
        ] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(64)));
    }

    #[test]
    fn hosts_and_messages_name_regions() {
        let of_endpoint = |host| of_endpoint(host).unwrap_or_default();
        assert_eq!(of_endpoint("b.s3.eu-west-1.amazonaws.com"), "eu-west-1");
        assert_eq!(of_endpoint("b.s3-eu-west-1.amazonaws.com"), "eu-west-1");
        assert_eq!(of_endpoint("s3.cn-north-1.amazonaws.com.cn"), "cn-north-1");
        for other in [
            "b.s3.amazonaws.com",
            "eu-west-1.example",
            "s3.eu-west-1.amazonaws.com.evil",
        ] {
            assert_eq!(of_endpoint(other), "", "{other}");
        }
        let cases = [
            (
                "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
                "eu-west-1",
            ),
            (
                "The me-south-1 location constraint is incompatible for the region specific endpoint this request was sent to.",
                "me-south-1",
            ),
            ("expecting 'us-gov-west-1'.", "us-gov-west-1"),
            ("the header is malformed", ""),
        ];
        for (message, region) in cases {
            assert_eq!(in_message(message).unwrap_or_default(), region, "{message}");
        }
    }
}
