//! How requests are made at the moment: replaced as a whole when a reply teaches something.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_credential_types::Credentials;

use super::account::endpoint::{Endpoint, Place, s3_config};
use super::options::ConnectOptions;
use super::sign::sigv4::Key;
use super::sign::template::Template;
use super::sign::{Signer, presigned};

/// How long before their end credentials are renewed.
const RENEWAL: Duration = Duration::from_mins(5);
/// A clock that differs by less than this is right: what a reply takes on its way makes a difference too.
const TOLERANCE: i64 = 30;

/// What a session is made from.
#[derive(Debug, Clone)]
pub struct Facts {
    pub region: String,
    /// Seconds by which the server's clock is ahead.
    pub clock: i64,
    /// `None` for requests without a signature.
    pub credentials: Option<Credentials>,
    /// When the credentials were loaded, by the local clock.
    pub loaded: SystemTime,
    /// How often the credentials were replaced.
    pub n_renewals: u64,
}

/// Everything that makes requests for keys of the bucket.
#[derive(Debug)]
pub struct Session {
    pub facts: Facts,
    /// `host:port`.
    pub server: String,
    pub is_https: bool,
    signer: Signer,
    /// When new credentials should be asked for, in seconds since 1970 by the server's clock; `u64::MAX` for never.
    renew_at: u64,
    /// When the credentials end, as above.
    end: u64,
}

/// Where a session is with its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// They serve, but not for long.
    Ending,
    Over,
}

impl Session {
    /// # Errors
    /// Why no request can be made from these facts.
    pub async fn new(
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
        let template = Template::new(&endpoint, options.requester_pays);
        let signer = match &facts.credentials {
            None => Signer::Anonymous(template),
            Some(credentials) if options.is_presigned() => {
                let config = s3_config(sdk_config, &place)
                    // Without a time of their own, which the SDK would look at.
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

    /// Now by the server's clock, in seconds since 1970.
    pub fn now(&self) -> u64 {
        seconds(SystemTime::now()).saturating_add_signed(self.facts.clock)
    }

    pub fn freshness(&self, now: u64) -> Freshness {
        if now < self.renew_at {
            Freshness::Fresh
        } else if now < self.end {
            Freshness::Ending
        } else {
            Freshness::Over
        }
    }

    pub fn signer(&self) -> &Signer {
        &self.signer
    }
}

impl Facts {
    /// The facts with the server's clock in them, if that is another one than was known.
    pub fn with_server_time(&self, server: SystemTime) -> Option<Self> {
        let local = i64::try_from(seconds(SystemTime::now())).ok()?;
        let clock = i64::try_from(seconds(server)).ok()? - local;
        ((clock - self.clock).abs() > TOLERANCE).then(|| Self {
            clock,
            ..self.clone()
        })
    }
}

/// When to renew credentials that were loaded and end at these times: ahead of the end, but not in the first half of their
/// time, so that short-lived ones are not asked for all the time.
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
