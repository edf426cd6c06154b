//! Credentials from where the AWS CLI takes them, asked for once before the first key.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::connect::{ConnectError, ConnectOptions};
use super::connector::Transport;
use super::error::{find_cause, one_line};
use super::region;

/// How long the instance metadata service may take: off EC2 nothing answers, and the AWS CLI waits as long.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the chain from its start: the credentials that it has now, and the provider that will renew them in time.
///
/// # Errors
/// When there are none, or a source that is configured does not work.
pub async fn load(
    options: &ConnectOptions,
    transport: &Transport,
) -> Result<(Credentials, SharedCredentialsProvider), ConnectError> {
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
        Ok(credentials) => {
            let first = Mutex::new(Some(credentials.clone()));
            Ok((
                credentials,
                SharedCredentialsProvider::new(Preloaded { first, chain }),
            ))
        }
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
