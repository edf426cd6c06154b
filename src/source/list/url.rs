//! URLs of objects: those whose host tells that they are of a bucket. Any other URL may be a key.

use percent_encoding::percent_decode_str;

/// The object that a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ObjectUrl {
    pub bucket: String,
    pub key: String,
    pub version_id: String,
}

/// Whether a text could be the URL of an object.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The object of a URL of S3 or Google Cloud Storage, in either style; a signature in its query is left out. `None` if the URL
/// is not certainly that of an object.
pub(crate) fn parse(text: &str) -> Option<ObjectUrl> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let host = host
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let (bucket, path) = match bucket_of_host(&host)? {
        "" => path.split_once('/')?,
        bucket => (bucket, path),
    };
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let version = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("versionId="));
    let key = decoded(path)?;
    (!key.is_empty() && !bucket.is_empty()).then_some(ObjectUrl {
        bucket: bucket.to_owned(),
        key,
        version_id: decoded(version.unwrap_or_default())?,
    })
}

/// The bucket before the endpoint's name; empty if it stands in the path.
fn bucket_of_host(host: &str) -> Option<&str> {
    if let Some(before) = host.strip_suffix("storage.googleapis.com") {
        return Some(before.strip_suffix('.').unwrap_or(before));
    }
    let name = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    // s3, s3.eu-west-1, s3-eu-west-1 or s3.dualstack.eu-west-1, alone or after the bucket.
    let is_service =
        |text: &str| text == "s3" || text.starts_with("s3.") || text.starts_with("s3-");
    if is_service(name) && !name.contains(".s3.") {
        return Some("");
    }
    let mut dots = name.match_indices('.').map(|(at, _)| at);
    let at = dots.find(|at| is_service(&name[at + 1..]))?;
    Some(&name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_s3_name_an_object() {
        for (url, bucket, key) in [
            ("https://b.s3.amazonaws.com/a/b.txt", "b", "a/b.txt"),
            (
                "https://b.s3.eu-west-1.amazonaws.com/a%20b%2Bc+d",
                "b",
                "a b+c+d",
            ),
            (
                "https://my.dotted.bucket.s3-us-west-2.amazonaws.com/k",
                "my.dotted.bucket",
                "k",
            ),
            (
                "http://B.s3.dualstack.eu-west-1.amazonaws.com:80/k",
                "b",
                "k",
            ),
            ("https://s3.amazonaws.com/b/a/k", "b", "a/k"),
            ("https://s3.cn-north-1.amazonaws.com.cn/b/k", "b", "k"),
            (
                "https://b.s3.amazonaws.com/k?X-Amz-Signature=0&X-Amz-Expires=9",
                "b",
                "k",
            ),
            ("https://storage.googleapis.com/b/%C3%BC", "b", "ü"),
            ("https://b.storage.googleapis.com/k", "b", "k"),
        ] {
            let found = parse(url).unwrap();
            assert_eq!(
                (found.bucket.as_str(), found.key.as_str()),
                (bucket, key),
                "{url}"
            );
        }
        let version = parse("https://b.s3.amazonaws.com/k?versionId=v1&x=2").unwrap();
        assert_eq!(version.version_id, "v1");
    }

    #[test]
    fn other_urls_may_be_keys() {
        for url in [
            "https://example.com/b/k",
            "https://notamazonaws.com/b/k",
            "https://ec2.amazonaws.com/b/k",
            "https://b.s3.amazonaws.com",
            "https://b.s3.amazonaws.com/",
            "https://s3.amazonaws.com/b",
            "https://b.s3.amazonaws.com/%ff",
            "ftp://b.s3.amazonaws.com/k",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
