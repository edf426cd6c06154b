//! Makes the one client, shared by everything that is downloaded.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{
    Builder as S3ConfigBuilder, Config as S3Config, ResponseChecksumValidation,
};
use aws_types::service_config::ServiceConfigKey;

use super::connector::{Transport, TrustError};
use super::credentials;
use super::error::GetError;
use super::get::EveryGet;
use super::region;
use crate::options::AddressingStyle;

/// What the client must know.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    pub bucket: String,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    /// `false` for public buckets: no credentials are looked for.
    pub sign_requests: bool,
    pub requester_pays: bool,
    pub ca_bundle: Option<PathBuf>,
    pub addressing_style: AddressingStyle,
    /// Name look-up, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// The longest silence before an answer or between bytes.
    pub timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "no AWS credentials found in the environment, the profile `{profile}`, or the container's or instance's role"
    )]
    NoCredentials { profile: String },
    #[error("the AWS credentials could not be loaded: {0}")]
    Credentials(String),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// The one client. It knows the bucket, moves to the bucket's region when S3 names it, and gets new credentials when
/// S3 says that they expired.
#[derive(Debug)]
pub struct Client {
    pub(super) options: ConnectOptions,
    transport: Transport,
    current: RwLock<Current>,
    /// What the SDK signs with; held while new ones are got, which only one request does.
    credentials: tokio::sync::Mutex<Option<Credentials>>,
}

/// The SDK's client as it is now.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub sdk: aws_sdk_s3::Client,
    /// How often it was replaced.
    generation: u64,
}

impl Client {
    /// Reads the AWS configuration and loads the credentials; sends nothing to S3.
    ///
    /// # Errors
    /// [`ConnectError`] when there are no credentials, or the CA bundle cannot be used.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let transport = Transport::new(options.connect_timeout, options.ca_bundle.as_deref())?;
        let loaded = if options.sign_requests {
            Some(credentials::load(&options, &transport).await?)
        } else {
            None
        };
        let (first, provider) = loaded.unzip();
        let sdk_config = sdk_config(&options, &transport, provider).await;
        let sdk = aws_sdk_s3::Client::from_conf(s3_config(&options, &sdk_config));
        Ok(Self {
            options,
            transport,
            current: RwLock::new(Current { sdk, generation: 0 }),
            credentials: tokio::sync::Mutex::new(first),
        })
    }

    pub(super) fn current(&self) -> Current {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, change: impl FnOnce(S3ConfigBuilder) -> S3ConfigBuilder) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let config = change(current.sdk.config().to_builder()).build();
        *current = Current {
            sdk: aws_sdk_s3::Client::from_conf(config),
            generation: current.generation + 1,
        };
    }

    /// Learns from the refusal of a request that `used` sent. `true` if the same request may now be answered: it is
    /// sent again at once and without charge. Of many requests that are refused together, the first changes something.
    pub(super) async fn corrected(&self, used: &Current, refusal: &GetError) -> bool {
        if let Some(right) = region::correction(refusal.region_hint(), used.sdk.config().region()) {
            if self.current().sdk.config().region() != Some(&right) {
                self.replace(|config| config.region(right));
            }
            return true;
        }
        match refusal.code.as_str() {
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                self.renew_credentials(used).await
            }
            // The SDK has taken the server's time from the answer.
            "RequestTimeTooSkewed" => true,
            _ => false,
        }
    }

    /// Asks the credential chain again, from its start; `false` if it has nothing new.
    async fn renew_credentials(&self, used: &Current) -> bool {
        let mut credentials = self.credentials.lock().await;
        if self.current().generation != used.generation {
            return true;
        }
        let Some(expired) = credentials.as_ref() else {
            return false;
        };
        let Ok((new, provider)) = credentials::load(&self.options, &self.transport).await else {
            return false;
        };
        let is_same = new.access_key_id() == expired.access_key_id()
            && new.session_token() == expired.session_token();
        if is_same {
            return false;
        }
        *credentials = Some(new);
        self.replace(|config| {
            config
                .credentials_provider(provider)
                .identity_cache(IdentityCache::lazy().build())
        });
        true
    }
}

/// The AWS configuration, with nothing in it that this program does itself: retries, timeouts of a body, checksums.
async fn sdk_config(
    options: &ConnectOptions,
    transport: &Transport,
    credentials: Option<SharedCredentialsProvider>,
) -> SdkConfig {
    let region = region::chain(options.region.as_deref(), options.profile.as_deref());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(transport.clone())
        .app_name(AppName::new("s3pull").expect("a valid name"))
        .region(region)
        // Given here, so that the environment's values, some of which make the SDK panic, are not read.
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .read_timeout(options.timeout)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    loader = match credentials {
        Some(credentials) => loader.credentials_provider(credentials),
        None => loader.no_credentials(),
    };
    loader.load().await
}

fn s3_config(options: &ConnectOptions, sdk_config: &SdkConfig) -> S3Config {
    let mut builder = aws_sdk_s3::config::Builder::from(sdk_config)
        .interceptor(EveryGet)
        .use_arn_region(true);
    // Set here and not for the whole SDK: the services that credentials come from are elsewhere.
    let configured = options
        .endpoint_url
        .clone()
        .or_else(|| configured_endpoint(sdk_config));
    if let Some(url) = &options.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    let is_path_style = match options.addressing_style {
        AddressingStyle::Path => true,
        AddressingStyle::Virtual => false,
        AddressingStyle::Auto => configured.is_some_and(|url| !is_of_aws(&url)),
    };
    builder
        .force_path_style(is_path_style && !options.bucket.starts_with("arn:"))
        .build()
}

/// The endpoint of `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile.
fn configured_endpoint(sdk_config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_service = sdk_config
        .service_config()
        .and_then(|config| config.load_config(key));
    of_service.or_else(|| sdk_config.endpoint_url().map(str::to_owned))
}

/// Whether AWS answers at `url`, where every bucket has a host name of its own.
fn is_of_aws(url: &str) -> bool {
    const DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    let uri = url.parse::<http::Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    DOMAINS.iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use crate::s3::connect::is_of_aws;

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
}
