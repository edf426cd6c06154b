//! The request for a page of a listing.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;

use crate::s3::error::GetError;
use crate::s3::options::is_directory_bucket;
use crate::s3::sign::Signer;
use crate::s3::sign::template::QUERY;

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest<'a> {
    pub bucket: &'a str,
    /// What the keys begin with; may be empty.
    pub prefix: &'a str,
    /// What the page before said is to be asked for; `None` for the first page.
    pub token: Option<&'a str>,
}

impl<'a> ListRequest<'a> {
    /// The prefix to ask for. That of a directory bucket must end in `/` (S3 API reference, "ListObjectsV2"), so that more
    /// keys may be listed than are wanted.
    pub(crate) fn asked_prefix(&self) -> &'a str {
        if is_directory_bucket(self.bucket) {
            let end = self.prefix.rfind('/').map_or(0, |slash| slash + 1);
            &self.prefix[..end]
        } else {
            self.prefix
        }
    }

    /// The query, its parameters in the order in which they are signed.
    fn query(&self) -> String {
        let mut query = String::with_capacity(128);
        let parameters = [
            ("continuation-token", self.token),
            // Without it, keys with control characters could not be in the XML.
            ("encoding-type", Some("url")),
            ("list-type", Some("2")),
            (
                "prefix",
                Some(self.asked_prefix()).filter(|prefix| !prefix.is_empty()),
            ),
        ];
        for (name, value) in parameters {
            let Some(value) = value else { continue };
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            query.extend(utf8_percent_encode(value, QUERY));
        }
        query
    }
}

impl Signer {
    /// The request for a page, valid at `now`: seconds since 1970 by the server's clock.
    ///
    /// # Errors
    /// [`GetError`] if it cannot be made.
    pub(crate) async fn list_request(
        &self,
        list: &ListRequest<'_>,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, GetError> {
        match self {
            Self::Anonymous(template) => template.bucket_request(&list.query()),
            Self::SigV4(template, key) => {
                let mut request = template.bucket_request(&list.query())?;
                key.sign(&mut request, now);
                Ok(request)
            }
            Self::Presigned(signer) => Box::pin(signer.list_request(list)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_buckets_are_asked_for_whole_folders() {
        let asked = |bucket, prefix| {
            let token = None;
            ListRequest {
                bucket,
                prefix,
                token,
            }
            .asked_prefix()
        };
        assert_eq!(asked("b--use1-az4--x-s3", "a/b/c"), "a/b/");
        assert_eq!(asked("b--use1-az4--x-s3", "a/b/"), "a/b/");
        assert_eq!(asked("b--use1-az4--x-s3", "a"), "");
        assert_eq!(asked("b", "a/b"), "a/b");
    }

    #[test]
    fn parameters_stand_in_the_order_of_their_signature_and_are_encoded() {
        let query = |prefix, token| {
            ListRequest {
                bucket: "b",
                prefix,
                token,
            }
            .query()
        };
        assert_eq!(query("", None), "encoding-type=url&list-type=2");
        assert_eq!(
            query("a b/ü+&", Some("t=/+")),
            "continuation-token=t%3D%2F%2B&encoding-type=url&list-type=2&prefix=a%20b%2F%C3%BC%2B%26"
        );
    }
}
