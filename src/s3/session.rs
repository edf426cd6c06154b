//! Everything needed to make requests at present. It is replaced as a whole when credentials, region or clock change.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_credential_types::Credentials;

use super::account::endpoint::{Endpoint, Place, s3_config};
use super::options::ConnectOptions;
use super::sign::sigv4::Key;
use super::sign::template::Template;
use super::sign::{Signer, presigned};

/// How long before their expiry credentials are renewed.
const RENEWAL: Duration = Duration::from_mins(5);
/// A clock that differs by at most this many seconds counts as right, since a reply takes time to arrive too.
const TOLERANCE: i64 = 30;

/// The facts that a session is made from.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub region: String,
    /// How many seconds the server's clock is ahead of the local one.
    pub clock: i64,
    /// `None` for requests without a signature.
    pub credentials: Option<Credentials>,
    /// When the credentials were loaded, by the local clock.
    pub loaded: SystemTime,
    /// How many times the credentials were replaced.
    pub n_renewals: u64,
}

/// Everything needed to make requests for keys of the bucket.
#[derive(Debug)]
pub(super) struct Session {
    pub facts: Facts,
    /// `host:port`.
    pub server: String,
    pub is_https: bool,
    signer: Signer,
    /// When to renew the credentials, in seconds since 1970 by the server's clock; `u64::MAX` for never.
    renew_at: u64,
    /// When the credentials expire, in the same unit.
    end: u64,
}

/// How long the credentials of a session remain valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// They are valid, but expire soon.
    Ending,
    Over,
}

impl Session {
    /// # Errors
    /// The reason, when no request can be made from these facts.
    pub(super) async fn new(
        options: &ConnectOptions,
        sdk_config: &SdkConfig,
        url: Option<&str>,
        facts: Facts,
    ) -> Result<Self, String> {
        let place = Place {
            bucket: &options.bucket,
            region: &facts.region,
            url,
            style: options.addressing_style,
        };
        let endpoint = Endpoint::find(sdk_config, &place).await?;
        let template = Template::new(&endpoint, options.requester_pays)
            .with_customer_key(options.customer_key.clone());
        let signer = match &facts.credentials {
            None => Signer::Anonymous(template),
            Some(credentials) if options.is_presigned() => {
                let config = s3_config(sdk_config, &place)
                    // Without an expiry, which the SDK would check.
                    .credentials_provider(Credentials::new(
                        credentials.access_key_id(),
                        credentials.secret_access_key(),
                        credentials.session_token().map(str::to_owned),
                        None,
                        "session",
                    ))
                    .identity_cache(IdentityCache::no_cache())
                    .build();
                Signer::Presigned(presigned::Signer {
                    sdk: aws_sdk_s3::Client::from_conf(config),
                    bucket: options.bucket.clone(),
                    requester_pays: options.requester_pays,
                    customer_key: options.customer_key.clone(),
                })
            }
            Some(credentials) => {
                let key = Key::new(credentials, &endpoint.region, &endpoint.service)
                    .ok_or("the session token cannot be sent")?;
                Signer::SigV4(template, key)
            }
        };
        let expiry = facts.credentials.as_ref().and_then(Credentials::expiry);
        let (renew_at, end) = expiry.map_or((u64::MAX, u64::MAX), |expiry| {
            (seconds(renewal(facts.loaded, expiry)), seconds(expiry))
        });
        Ok(Self {
            server: endpoint.name(),
            is_https: endpoint.scheme == http::uri::Scheme::HTTPS,
            facts,
            signer,
            renew_at,
            end,
        })
    }

    /// Where requests go to.
    pub(super) fn url(&self) -> http::Uri {
        let scheme = if self.is_https { "https" } else { "http" };
        let url = format!("{scheme}://{}", self.server);
        url.parse().unwrap_or_default()
    }

    /// The time by the server's clock, in seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        seconds(SystemTime::now()).saturating_add_signed(self.facts.clock)
    }

    pub(super) fn freshness(&self, now: u64) -> Freshness {
        if now < self.renew_at {
            Freshness::Fresh
        } else if now < self.end {
            Freshness::Ending
        } else {
            Freshness::Over
        }
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }
}

impl Facts {
    /// The facts with the clock corrected by `server`, if that makes a difference.
    pub(super) fn with_server_time(&self, server: SystemTime) -> Option<Self> {
        let local = i64::try_from(seconds(SystemTime::now())).ok()?;
        let clock = i64::try_from(seconds(server)).ok()? - local;
        ((clock - self.clock).abs() > TOLERANCE).then(|| Self {
            clock,
            ..self.clone()
        })
    }
}

/// When to renew credentials that were loaded and expire at these times: ahead of the expiry, but not in the first half of
/// their lifetime, so that short-lived ones are not renewed all the time.
fn renewal(loaded: SystemTime, end: SystemTime) -> SystemTime {
    let lifetime = end.duration_since(loaded).unwrap_or_default();
    end - RENEWAL.min(lifetime / 2)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn credentials_are_renewed_ahead_of_their_end() {
        assert_eq!(renewal(at(0), at(3600)), at(3300));
        assert_eq!(renewal(at(0), at(60)), at(30));
        assert_eq!(renewal(at(100), at(100)), at(100));
        assert_eq!(renewal(at(200), at(100)), at(100));
    }

    #[test]
    fn only_another_clock_is_a_correction() {
        let facts = Facts {
            region: String::new(),
            clock: 0,
            credentials: None,
            loaded: at(0),
            n_renewals: 0,
        };
        let now = SystemTime::now();
        assert!(facts.with_server_time(now).is_none());
        let ahead = facts
            .with_server_time(now + Duration::from_hours(1))
            .unwrap();
        assert!((3599..=3601).contains(&ahead.clock), "{}", ahead.clock);
        assert!(
            ahead
                .with_server_time(now + Duration::from_hours(1))
                .is_none()
        );
        assert_eq!(facts.with_server_time(at(0)).unwrap().clock.signum(), -1);
    }
}
