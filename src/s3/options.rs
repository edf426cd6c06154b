//! The options of a client, and the errors of making one.

use std::time::Duration;

use super::customer_key::CustomerKey;
use super::http::tls::{Trust, TrustError};
use crate::options::AddressingStyle;

/// The options of a client.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// [`STAND_IN`](super::STAND_IN) if each request names its own.
    pub bucket: String,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    /// `false` for public buckets: no credentials are loaded.
    pub sign_requests: bool,
    pub requester_pays: bool,
    /// With which the objects are encrypted, but not their lists.
    pub customer_key: Option<CustomerKey>,
    pub trust: Trust,
    pub addressing_style: AddressingStyle,
    /// The limit for name look-up, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// The longest silence before an answer or between bytes.
    pub timeout: Duration,
}

impl ConnectOptions {
    /// Whether the bucket is a multi-region access point. Their ARNs alone name no region, and they want signatures of
    /// their own (SigV4A).
    pub(super) fn is_multi_region(&self) -> bool {
        let mut fields = self.bucket.split(':');
        fields.next() == Some("arn")
            && fields.nth(2) == Some("")
            && self.bucket.contains(":accesspoint")
    }

    /// Whether the SDK makes the requests: for directory buckets (S3 Express), and if `S3PULL_SIGNER` is `presigned`.
    pub(super) fn is_presigned(&self) -> bool {
        is_directory_bucket(&self.bucket)
            || std::env::var("S3PULL_SIGNER").is_ok_and(|signer| signer == "presigned")
    }
}

/// Whether the bucket is a directory bucket, or an access point of one (S3 Express).
pub(super) fn is_directory_bucket(bucket: &str) -> bool {
    ["--x-s3", "--xa-s3"]
        .iter()
        .any(|suffix| bucket.ends_with(suffix))
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(
        "no AWS credentials found in the environment, the profile `{profile}`, or the container's or instance's role"
    )]
    NoCredentials { profile: String },
    #[error("the AWS credentials could not be loaded: {0}")]
    Credentials(String),
    #[error("not signed in to SSO for the profile `{profile}`")]
    NotSignedIn { profile: String },
    #[error("the profile `{profile}` is signed in with `aws login`, which s3pull cannot read")]
    AwsLogin { profile: String },
    #[error("`{0}` is a multi-region access point, which s3pull cannot sign requests for")]
    MultiRegion(String),
    #[error("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")]
    HalfPair,
    #[error("the AWS {0} holds white space or a character that cannot be in one")]
    Unclean(&'static str),
    #[error("the profile `{name}` is not in the AWS configuration files{}", did_you_mean(similar.as_deref()))]
    NoProfile {
        name: String,
        similar: Option<String>,
    },
    #[error("the AWS configuration cannot be read: {0}")]
    ConfigFile(String),
    #[error("`{}` is not a valid region ({source_name})", region.escape_debug())]
    Region {
        region: String,
        source_name: &'static str,
    },
    #[error("{0}")]
    Endpoint(String),
    #[error("no request can be made for the bucket `{bucket}`: {why}")]
    Bucket { bucket: String, why: String },
    #[error("`S3PULL_SIGNER` is `{0}`: `presigned` is the only value")]
    Signer(String),
    #[error(
        "`--sse-c-key` needs a server that is reached by https, and the endpoint URL begins with `http://`: a key is never sent unencrypted"
    )]
    CustomerKeyWithoutTls,
    /// What is wrong with a proxy.
    #[error("{0}")]
    Proxy(String),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl ConnectError {
    /// Whether the command line is wrong, and not the environment or the server.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::CustomerKeyWithoutTls)
    }

    /// What to do about it, if the message does not say.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoCredentials { .. } if half_pair_without_id() => {
                "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not: set both, name a profile with `--profile NAME`, or use `--no-sign-request` for a public bucket"
            }
            Self::NoCredentials { .. } | Self::Credentials(_) => {
                "name a profile with `--profile NAME`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use `--no-sign-request` for a public bucket"
            }
            Self::NotSignedIn { profile } => {
                return Some(format!("run `aws sso login --profile {profile}`"));
            }
            Self::AwsLogin { profile } => {
                return Some(format!(
                    "export its credentials, which last for some hours: `eval \"$(aws configure export-credentials --profile {profile} --format env)\"`, and leave `--profile` out"
                ));
            }
            Self::MultiRegion(_) => "give one of its buckets, or an access point of one region",
            Self::HalfPair => "set both, or neither and name a profile with `--profile NAME`",
            Self::Unclean(_) => "copy it again, without blanks or line ends around it",
            Self::NoProfile { .. } => "`aws configure list-profiles` lists the existing ones",
            Self::Region { .. } => "give a region such as `--region eu-west-1`, or leave it out",
            Self::Endpoint(_) => {
                "it comes from `--endpoint-url`, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's `endpoint_url`"
            }
            Self::Proxy(_) => {
                "set the variable as `http://HOST:PORT`, or exempt the server with NO_PROXY"
            }
            Self::Trust(TrustError::Variable { .. }) => {
                "correct the variable or unset it, or give `--ca-bundle FILE`"
            }
            Self::CustomerKeyWithoutTls => {
                "use an `https://` URL, with `--ca-bundle FILE` for a certificate of your own"
            }
            Self::ConfigFile(_) | Self::Bucket { .. } | Self::Signer(_) | Self::Trust(_) => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}

fn half_pair_without_id() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("AWS_SECRET_ACCESS_KEY") && !is_set("AWS_ACCESS_KEY_ID")
}

fn did_you_mean(similar: Option<&str>) -> String {
    similar.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
