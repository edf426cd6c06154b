//! Loads credentials from the same sources as the AWS CLI.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::Region;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::profile::Profile;
use crate::s3::causes::{find_cause, one_line};
use crate::s3::http::sdk::SdkClient;
use crate::s3::options::{ConnectError, ConnectOptions};

/// How long the instance metadata service may take, as in the AWS CLI. Off EC2 it does not answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// How long all sources may take together. Programs that sign in (`credential_process`) take seconds, sometimes many.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Why there are no credentials.
#[derive(Debug)]
pub(crate) struct LoadError {
    pub why: ConnectError,
    /// A source was there and did not work; it did not refuse either.
    pub may_pass: bool,
}

impl From<ConnectError> for LoadError {
    fn from(why: ConnectError) -> Self {
        let may_pass = false;
        Self { why, may_pass }
    }
}

/// Loads credentials by asking all sources in order.
///
/// # Errors
/// When there are no credentials, they are malformed, or a configured source does not work.
pub(crate) async fn load(
    options: &ConnectOptions,
    region: &str,
    profile: &Profile,
    http: &SdkClient,
) -> Result<Credentials, LoadError> {
    if options.profile.is_none() {
        check_pair()?;
    }
    let region = Region::new(region.to_owned());
    let provider_config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(http.clone());
    let metadata = imds::Client::builder()
        .configure(&provider_config)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .max_attempts(1)
        .build();
    let asked = async {
        // As in the AWS CLI, a profile named by option precedes the environment.
        if let Some(name) = &options.profile {
            let of_profile = ProfileFileCredentialsProvider::builder()
                .configure(&provider_config)
                .profile_name(name)
                .build();
            let of_container = EcsCredentialsProvider::builder().configure(&provider_config);
            let of_instance = ImdsCredentialsProvider::builder()
                .configure(&provider_config)
                .imds_client(metadata);
            let chain = CredentialsProviderChain::first_try("Profile", of_profile)
                .or_else("EcsContainer", of_container.build())
                .or_else("Ec2InstanceMetadata", of_instance.build());
            return chain.provide_credentials().await;
        }
        let chain = DefaultCredentialsChain::builder()
            .configure(provider_config)
            .region(region)
            .imds_client(metadata);
        chain.build().await.provide_credentials().await
    };
    let found = tokio::time::timeout(TIMEOUT, asked).await;
    let found = found.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(TIMEOUT)));
    let error = match found {
        Ok(credentials) => {
            check(&credentials)?;
            return Ok(credentials);
        }
        Err(error) => error,
    };
    let is_of_metadata = find_cause::<ImdsError>(&error).is_some();
    let is_of_network = find_cause::<ConnectorError>(&error).is_some();
    // A source that answered so will not think better of it.
    let is_refused = is_refusal(http.last_status.load(Relaxed)) && !is_of_network;
    let name = || profile.name.clone();
    // The metadata service is asked last, so no other source had credentials.
    if !profile.is_of_login() && (is_not_loaded(&error) || is_of_metadata) {
        return Err(LoadError {
            why: ConnectError::NoCredentials { profile: name() },
            may_pass: is_of_metadata && !is_refused,
        });
    }
    if profile.is_of_login() {
        return Err(ConnectError::AwsLogin { profile: name() }.into());
    }
    if profile.is_of_sso() && !is_of_network {
        return Err(ConnectError::NotSignedIn { profile: name() }.into());
    }
    let is_misconfigured = matches!(error, CredentialsError::InvalidConfiguration(_));
    Err(LoadError {
        why: ConnectError::Credentials(one_line(&error)),
        may_pass: !is_refused && !is_misconfigured,
    })
}

/// Whether a status says no, and not that it is too early or too much.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 429)
}

fn is_not_loaded(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::CredentialsNotLoaded(_))
}

/// Checks that the environment does not hold an access key ID without its secret: using another source would hide the
/// mistake.
fn check_pair() -> Result<(), ConnectError> {
    let is_set = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let has_secret = is_set("AWS_SECRET_ACCESS_KEY") || is_set("SECRET_ACCESS_KEY");
    if is_set("AWS_ACCESS_KEY_ID") && !has_secret {
        return Err(ConnectError::HalfPair);
    }
    // The SDK trims these; other programs would fail.
    let holds_blanks = |name| {
        std::env::var(name).is_ok_and(|value| !value.trim().is_empty() && value.trim() != value)
    };
    if holds_blanks("AWS_ACCESS_KEY_ID") {
        return Err(ConnectError::Unclean("access key ID"));
    }
    if holds_blanks("AWS_SECRET_ACCESS_KEY") {
        return Err(ConnectError::Unclean("secret access key"));
    }
    Ok(())
}

/// Checks for white space, which copying adds: S3 would refuse such a key as unknown.
fn check(credentials: &Credentials) -> Result<(), ConnectError> {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    // A secret is never sent, so it may be any text.
    let is_trimmed = |text: &str| text.trim() == text && !text.contains(char::is_control);
    if !is_word(credentials.access_key_id()) {
        return Err(ConnectError::Unclean("access key ID"));
    }
    if !is_trimmed(credentials.secret_access_key()) {
        return Err(ConnectError::Unclean("secret access key"));
    }
    if !credentials.session_token().is_none_or(is_word) {
        return Err(ConnectError::Unclean("session token"));
    }
    Ok(())
}
