//! Finds the endpoint of a bucket by the SDK's rules, once per session: the SDK makes a request that is never sent.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{Config as S3Config, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_types::service_config::ServiceConfigKey;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

use crate::options::AddressingStyle;
use crate::s3::causes::one_line;

/// The key of the request that is never sent. What precedes it in the URL precedes every key.
const KEY: &str = "k";

/// Where requests for a bucket's keys go, and what they are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub scheme: Scheme,
    pub authority: Authority,
    /// The path before the key, with `/` at both ends.
    pub prefix: String,
    /// The region that signatures are for. It may differ from the bucket's, for example if an ARN names it.
    pub region: String,
    /// The service that signatures are for, such as `s3` or `s3-outposts`.
    pub service: String,
}

/// What the endpoint of a bucket depends on.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub bucket: &'a str,
    pub region: &'a str,
    /// The configured endpoint, if any.
    pub url: Option<&'a str>,
    pub style: AddressingStyle,
}

impl Endpoint {
    /// # Errors
    /// The reason, when there is no endpoint for this bucket and region.
    pub(crate) async fn find(sdk_config: &SdkConfig, place: &Place<'_>) -> Result<Self, String> {
        // The signature is not used.
        let nobody = Credentials::new("nobody", "nothing", None, None, "endpoint");
        let config = s3_config(sdk_config, place)
            .credentials_provider(nobody)
            .disable_s3_express_session_auth(true)
            .build();
        let presigning = PresigningConfig::expires_in(Duration::from_mins(1))
            .map_err(|error| one_line(&error))?;
        let request = aws_sdk_s3::Client::from_conf(config)
            .get_object()
            .bucket(place.bucket)
            .key(KEY)
            .presigned(presigning)
            .await
            .map_err(|error| one_line(&error))?;
        let uri: Uri = request.uri().parse().map_err(|error| {
            let error: http::uri::InvalidUri = error;
            one_line(&error)
        })?;
        Self::of_presigned(&uri).ok_or_else(|| "it is signed in a way that is not supported".into())
    }

    /// Reads the endpoint from the URL of a presigned request.
    fn of_presigned(uri: &Uri) -> Option<Self> {
        let query = uri.query()?;
        let parameter = |name| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        if parameter("X-Amz-Algorithm") != Some("AWS4-HMAC-SHA256") {
            return None;
        }
        // nobody/20240131/eu-west-1/s3/aws4_request
        let scope = parameter("X-Amz-Credential")?.replace("%2F", "/");
        let mut scope = scope.split('/').skip(2);
        Some(Self {
            scheme: uri.scheme()?.clone(),
            authority: uri.authority()?.clone(),
            prefix: uri.path().strip_suffix(KEY)?.to_owned(),
            region: scope.next()?.to_owned(),
            service: scope.next()?.to_owned(),
        })
    }

    /// The `Host` of requests, without the port if it is the scheme's default.
    pub(crate) fn host_header(&self) -> HeaderValue {
        let default = if self.scheme == Scheme::HTTPS {
            443
        } else {
            80
        };
        let host = match self.authority.port_u16() {
            Some(port) if port != default => self.authority.as_str(),
            _ => self.authority.host(),
        };
        HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static(""))
    }

    /// `host:port`, for messages.
    pub(crate) fn name(&self) -> String {
        let default = if self.scheme == Scheme::HTTPS {
            443
        } else {
            80
        };
        let port = self.authority.port_u16().unwrap_or(default);
        format!("{}:{port}", self.authority.host())
    }
}

/// The SDK's configuration for a place.
pub(crate) fn s3_config(sdk_config: &SdkConfig, place: &Place<'_>) -> aws_sdk_s3::config::Builder {
    let is_path_style = match place.style {
        AddressingStyle::Path => true,
        AddressingStyle::Virtual => false,
        AddressingStyle::Auto => place.url.is_some_and(|url| !is_of_aws(url)),
    };
    let mut builder: aws_sdk_s3::config::Builder = S3Config::new(sdk_config).to_builder();
    // Set here and not for the whole SDK: the services that credentials come from have other endpoints.
    builder.set_endpoint_url(place.url.map(str::to_owned));
    builder
        .region(Region::new(place.region.to_owned()))
        .use_arn_region(true)
        .force_path_style(is_path_style && !place.bucket.starts_with("arn:"))
}

/// The endpoint from the option, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile, in the form the SDK needs.
///
/// # Errors
/// A description of what is wrong with it.
pub(crate) fn configured(
    option: Option<&str>,
    sdk_config: &SdkConfig,
) -> Result<Option<String>, String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service = || {
        let config = sdk_config.service_config()?;
        config.load_config(key.ok()?)
    };
    let url = option
        .map(str::to_owned)
        .or_else(of_service)
        .or_else(|| sdk_config.endpoint_url().map(str::to_owned));
    let Some(mut url) = url.filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    check(&url, None)?;
    // Without a final `/`, the SDK would append the bucket's name to the path directly.
    if !url.ends_with('/') {
        url.push('/');
    }
    Ok(Some(url))
}

/// What is wrong with an endpoint's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotAUrl,
    MoreThanHostAndPath,
    HoldsPassword,
}

/// Checks that `url` can be an endpoint. `option` is the option that gave it, if one did.
///
/// # Errors
/// A description of what is wrong with it, without anything that may be a password.
pub(crate) fn check(url: &str, option: Option<&str>) -> Result<(), String> {
    let Some(fault) = fault(url) else {
        return Ok(());
    };
    let subject = match (option, fault) {
        (Some(option), Fault::HoldsPassword) => format!("`{option}`"),
        (Some(option), _) => format!("`{option} {}`", url.escape_debug()),
        (None, Fault::HoldsPassword) => "the endpoint URL".to_owned(),
        (None, _) => format!("the endpoint URL `{}`", url.escape_debug()),
    };
    Err(match fault {
        Fault::NotAUrl => format!(
            "{subject} is not a valid URL: write it as `https://host` or `http://host:port`"
        ),
        Fault::MoreThanHostAndPath => format!("{subject} holds more than a host and a path"),
        Fault::HoldsPassword => format!(
            "{subject} holds a user name or a password, which S3 has no use for: leave it out"
        ),
    })
}

fn fault(url: &str) -> Option<Fault> {
    if url.contains('@') {
        return Some(Fault::HoldsPassword);
    }
    let uri = url.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    match uri {
        None => Some(Fault::NotAUrl),
        Some(uri) if uri.query().is_some() || url.contains('#') => Some(Fault::MoreThanHostAndPath),
        Some(_) => None,
    }
}

/// Whether requests to `url`, which was checked, are not encrypted.
pub(crate) fn is_without_tls(url: &str) -> bool {
    let uri = url.parse::<Uri>().unwrap_or_default();
    uri.scheme() != Some(&Scheme::HTTPS)
}

/// Whether `url` is one of AWS's, where every bucket has its own host name.
fn is_of_aws(url: &str) -> bool {
    const DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    let uri = url.parse::<Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    DOMAINS.iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_aws_are_known_by_their_domain() {
        for url in [
            "https://s3.eu-west-1.amazonaws.com",
            "https://b.vpce-1.s3.us-east-1.vpce.amazonaws.com/",
            "https://s3.cn-north-1.amazonaws.com.cn",
        ] {
            assert!(is_of_aws(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:9000",
            "https://amazonaws.com.evil.example",
            "http://localhost",
        ] {
            assert!(!is_of_aws(url), "{url}");
        }
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_secrets() {
        for url in [
            "http://127.0.0.1:9000",
            "https://s3.example.com",
            "https://example.com/s3/",
        ] {
            assert_eq!(check(url, None), Ok(()), "{url}");
        }
        for bad in [
            "localhost:9000",
            "ftp://x",
            "",
            "http://",
            "http://host/?a=b",
            "http://host /",
            "http://host\n",
        ] {
            assert!(check(bad, None).is_err(), "{bad:?}");
        }
        let refused = check("http://user:pass@host", Some("--endpoint-url")).unwrap_err();
        assert!(
            !refused.contains("pass@") && !refused.contains("user:"),
            "{refused}"
        );
    }
}
