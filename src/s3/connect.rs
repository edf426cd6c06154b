//! Makes the one client, shared by everything that is downloaded.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_s3::config::{Config as S3Config, ResponseChecksumValidation};
use aws_types::service_config::ServiceConfigKey;

use super::connector::{Transport, TrustError};
use super::get::{AskForChecksums, find_cause, one_line};
use super::region;
use crate::config::AddressingStyle;

/// How long the instance metadata service may take: off EC2 nothing answers, and the AWS CLI waits as long.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

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

/// The one client. It knows the bucket, and moves to the bucket's region when S3 names it.
#[derive(Debug)]
pub struct Client {
    pub(super) bucket: String,
    pub(super) requester_pays: bool,
    pub(super) timeout: Duration,
    sdk: RwLock<aws_sdk_s3::Client>,
}

impl Client {
    /// Reads the AWS configuration and loads the credentials; sends nothing to S3.
    ///
    /// # Errors
    /// [`ConnectError`] when there are no credentials, or the CA bundle cannot be used.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let transport = Transport::new(options.connect_timeout, options.ca_bundle.as_deref())?;
        let sdk_config = sdk_config(&options, &transport).await?;
        let s3_config = s3_config(&options, &sdk_config);
        Ok(Self {
            bucket: options.bucket,
            requester_pays: options.requester_pays,
            timeout: options.timeout,
            sdk: RwLock::new(aws_sdk_s3::Client::from_conf(s3_config)),
        })
    }

    pub(super) fn sdk(&self) -> aws_sdk_s3::Client {
        self.sdk
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the region that an answer to `used` named; `true` if a request may be worth sending again.
    /// Only the first of many answers changes anything.
    pub(super) fn correct_region(&self, used: &aws_sdk_s3::Client, hint: Option<&str>) -> bool {
        let Some(right) = region::correction(hint, used.config().region()) else {
            return false;
        };
        let mut sdk = self.sdk.write().unwrap_or_else(PoisonError::into_inner);
        if sdk.config().region() != Some(&right) {
            let corrected = used.config().to_builder().region(right).build();
            *sdk = aws_sdk_s3::Client::from_conf(corrected);
        }
        true
    }
}

/// The AWS configuration, with nothing in it that this program does itself: retries, timeouts of a body, checksums.
async fn sdk_config(
    options: &ConnectOptions,
    transport: &Transport,
) -> Result<SdkConfig, ConnectError> {
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
    loader = if options.sign_requests {
        loader.credentials_provider(load_credentials(options, transport).await?)
    } else {
        loader.no_credentials()
    };
    Ok(loader.load().await)
}

/// The credential chain of the AWS CLI, asked once before the first key: a run without credentials ends here.
async fn load_credentials(
    options: &ConnectOptions,
    transport: &Transport,
) -> Result<SharedCredentialsProvider, ConnectError> {
    let provider_config = ProviderConfig::without_region().with_http_client(transport.clone());
    let metadata = imds::Client::builder()
        .configure(&provider_config)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .max_attempts(1)
        .build();
    let mut chain = DefaultCredentialsChain::builder()
        .configure(provider_config)
        .region(region::chain(
            options.region.as_deref(),
            options.profile.as_deref(),
        ))
        .imds_client(metadata);
    if let Some(profile) = &options.profile {
        chain = chain.profile_name(profile);
    }
    let chain = chain.build().await;
    match chain.provide_credentials().await {
        Ok(credentials) => Ok(SharedCredentialsProvider::new(Preloaded {
            first: Mutex::new(Some(credentials)),
            chain,
        })),
        // The metadata service is asked last, after everything else had nothing.
        Err(error) if is_not_loaded(&error) || find_cause::<ImdsError>(&error).is_some() => {
            let profile = options
                .profile
                .clone()
                .or_else(|| std::env::var("AWS_PROFILE").ok());
            Err(ConnectError::NoCredentials {
                profile: profile.unwrap_or_else(|| "default".into()),
            })
        }
        Err(error) => Err(ConnectError::Credentials(one_line(&error))),
    }
}

fn is_not_loaded(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::CredentialsNotLoaded(_))
}

/// The chain, with the credentials that the check at the start found: no second sign-in for the first request.
#[derive(Debug)]
struct Preloaded {
    first: Mutex<Option<Credentials>>,
    chain: DefaultCredentialsChain,
}

impl ProvideCredentials for Preloaded {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.chain.provide_credentials(),
        }
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.chain.fallback_on_interrupt()
    }
}

fn s3_config(options: &ConnectOptions, sdk_config: &SdkConfig) -> S3Config {
    let mut builder = aws_sdk_s3::config::Builder::from(sdk_config)
        .interceptor(AskForChecksums)
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
    use super::is_of_aws;

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
