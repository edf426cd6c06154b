//! The one client, shared by everything that is downloaded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{Region, ResponseChecksumValidation};
use http::StatusCode;
use hyper::body::Body as _;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::sync::Mutex;

use super::account::profile::Profile;
use super::account::{credentials, endpoint, region};
use super::body::{Body, read_beginning};
use super::error::GetError;
use super::get::{GetRequest, GetResponse};
use super::http::pool::Pool;
use super::http::proxy::Proxies;
use super::http::sdk::SdkClient;
use super::http::tls::{self, Tls, Trust};
use super::lesson::Lesson;
use super::options::{ConnectError, ConnectOptions};
use super::refusal::Asked;
use super::reply::Framing;
use super::session::{Facts, Freshness, Session};
use crate::outcome::{Class, ErrorCode};

/// Corrections that one request may lead to; more would be a server that sends us round in circles.
const MAX_CORRECTIONS: u32 = 4;
/// How long to wait before credentials are asked for again that could not be renewed ahead of their end.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// Secrets of fewer bytes are not masked: they would be found in any text.
const MIN_SECRET: usize = 4;

/// The one client. It knows the bucket, moves to the bucket's region when S3 names it, and renews credentials before they
/// end.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    options: ConnectOptions,
    http: SdkClient,
    profile: Profile,
    sdk_config: SdkConfig,
    /// The endpoint that was configured, if there is one.
    url: Option<String>,
    session: RwLock<Arc<Session>>,
    /// Held while the session is replaced.
    replacing: Mutex<()>,
    /// Held while credentials are loaded; holds the number of the renewal after which no newer ones were found.
    renewing: Arc<Mutex<Option<u64>>>,
    /// When credentials are asked for again that could not be renewed, in seconds since 1970 by the server's clock.
    renew_again_at: AtomicU64,
    /// Whether the server has answered as S3 does.
    is_known_as_s3: AtomicBool,
    secrets_of_proxies: Vec<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Reads the AWS configuration and loads the credentials; sends nothing to S3.
    ///
    /// # Errors
    /// [`ConnectError`] for all that is known to be wrong before the first request.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        if let Some(signer) = std::env::var("S3PULL_SIGNER")
            .ok()
            .filter(|signer| !signer.is_empty())
            && signer != "presigned"
        {
            return Err(ConnectError::Signer(signer));
        }
        let tls = Tls::new(&options.trust)?;
        let pool = Pool::new(options.connect_timeout, tls);
        let secrets_of_proxies = Proxies::secrets();
        let http = SdkClient {
            pool,
            timeout: options.timeout,
        };
        let profile = Profile::load(options.profile.as_deref()).await?;
        let (region, source) =
            region::find(options.region.as_deref(), options.profile.as_deref()).await;
        if !region::is_name(&region) {
            let source_name = source.unwrap_or("the default");
            return Err(ConnectError::Region {
                region,
                source_name,
            });
        }
        let sdk_config = sdk_config(&options, &region, &http).await;
        let url = endpoint::configured(options.endpoint_url.as_deref(), &sdk_config)
            .map_err(ConnectError::Endpoint)?;
        let credentials = if options.sign_requests {
            Some(credentials::load(&options, &region, &profile, &http).await?)
        } else {
            None
        };
        let facts = Facts {
            region,
            clock: 0,
            credentials,
            loaded: SystemTime::now(),
            n_renewals: 0,
        };
        let session = Session::new(&options, &sdk_config, url.as_deref(), facts).await;
        let session = session.map_err(|why| ConnectError::Bucket {
            bucket: options.bucket.clone(),
            why,
        })?;
        if session.is_https && options.trust == Trust::System {
            tls::check_environment()?;
        }
        Ok(Self(Arc::new(Shared {
            options,
            http,
            profile,
            sdk_config,
            url,
            session: RwLock::new(Arc::new(session)),
            replacing: Mutex::default(),
            renewing: Arc::default(),
            renew_again_at: AtomicU64::new(0),
            is_known_as_s3: AtomicBool::new(false),
            secrets_of_proxies,
        })))
    }

    /// Sends one GET. A wrong region, expired credentials and a wrong clock are corrected on the way.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub async fn get_object(&self, request: &GetRequest<'_>) -> Result<GetResponse, GetError> {
        let mut n_corrections = 0;
        loop {
            let session = self.fresh_session().await?;
            let error = match self.send(&session, request).await {
                Ok(response) => return Ok(response),
                Err(error) => self.masked(&session, error),
            };
            let Some(lesson) = error.lesson() else {
                return Err(error);
            };
            n_corrections += 1;
            if n_corrections > MAX_CORRECTIONS || !self.has_learned(&session, lesson).await {
                return Err(error);
            }
        }
    }

    async fn send(&self, session: &Session, get: &GetRequest<'_>) -> Result<GetResponse, GetError> {
        let Shared { options, http, .. } = &*self.0;
        let request = session.signer().request(get, session.now()).await?;
        let reply = http.pool.send(request, options.timeout).await;
        let reply = reply.map_err(|error| GetError::of_transport(&error))?;
        let (head, body) = reply.into_parts();
        if head.status.is_success() {
            let framing = Framing::of(&head, body.size_hint().exact());
            let response = GetResponse::read(&head, framing, get.part.as_ref())?;
            self.0.is_known_as_s3.store(true, Relaxed);
            return Ok(response.with(Body::new(body, options.timeout)));
        }
        // It has no body.
        let error_body = if head.status == StatusCode::NOT_MODIFIED {
            Vec::new()
        } else {
            read_beginning(body, options.timeout).await
        };
        Err(self.refusal(session, get, &head, &error_body))
    }

    /// What a reply with an error's status means.
    fn refusal(
        &self,
        session: &Session,
        get: &GetRequest<'_>,
        head: &http::response::Parts,
        body: &[u8],
    ) -> GetError {
        let scheme = if session.is_https { "https" } else { "http" };
        let url = format!("{scheme}://{}", session.server)
            .parse()
            .unwrap_or_default();
        let proxy = self.0.http.pool.proxy_of(&url);
        let asked = Asked {
            is_part: get.part.is_some(),
            server: &session.server,
            proxy: proxy.as_deref(),
            is_known_as_s3: self.0.is_known_as_s3.load(Relaxed),
        };
        let error = GetError::of_reply(head, body, &asked);
        if error.is_of_s3 {
            self.0.is_known_as_s3.store(true, Relaxed);
        }
        error
    }

    /// Takes our secrets out of what a server says, as they are and as they stand in URLs.
    fn masked(&self, session: &Session, mut error: GetError) -> GetError {
        let credentials = session.facts.credentials.as_ref();
        let of_credentials = credentials.into_iter().flat_map(|credentials| {
            let secret = Some(credentials.secret_access_key());
            [secret, credentials.session_token()]
        });
        let of_proxies = self.0.secrets_of_proxies.iter().map(String::as_str);
        let secrets: Vec<_> = of_credentials
            .flatten()
            .chain(of_proxies)
            .flat_map(|secret| {
                [
                    secret.to_owned(),
                    utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
                    percent_decode_str(secret).decode_utf8_lossy().into_owned(),
                ]
            })
            .filter(|secret| secret.len() >= MIN_SECRET)
            .collect();
        error.mask(&secrets);
        error
    }

    fn session(&self) -> Arc<Session> {
        let session = self
            .0
            .session
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&session)
    }

    /// The session to use now. Credentials that end soon are renewed in the background, and waited for only when they are
    /// over.
    async fn fresh_session(&self) -> Result<Arc<Session>, GetError> {
        let session = self.session();
        match session.freshness(session.now()) {
            Freshness::Fresh => {}
            Freshness::Ending => self.renew_in_background(session.now()),
            Freshness::Over => {
                let _renewing = self.0.renewing.lock().await;
                let session = self.session();
                if session.freshness(session.now()) != Freshness::Over {
                    return Ok(session);
                }
                if let Err(error) = self.load_credentials().await {
                    let message = format!("the AWS credentials have expired: {error}");
                    return Err(GetError::new(Class::Fatal, ErrorCode::Credentials, message));
                }
                return Ok(self.session());
            }
        }
        Ok(session)
    }

    /// Asks for new credentials, unless that is under way or failed just now.
    fn renew_in_background(&self, now: u64) {
        if now < self.0.renew_again_at.load(Relaxed) {
            return;
        }
        let Ok(renewing) = Arc::clone(&self.0.renewing).try_lock_owned() else {
            return;
        };
        let client = self.clone();
        tokio::spawn(async move {
            let _renewing = renewing;
            // The old ones serve meanwhile, so that a failure is nothing to report.
            if !client.load_credentials().await.unwrap_or(false) {
                let again_at = client.session().now() + RENEWAL_INTERVAL.as_secs();
                client.0.renew_again_at.store(again_at, Relaxed);
            }
        });
    }

    /// Asks the credential chain again, from its start. `true` if it has other ones than those in use.
    async fn load_credentials(&self) -> Result<bool, ConnectError> {
        let Shared {
            options,
            http,
            profile,
            ..
        } = &*self.0;
        let used = self.session();
        let new = credentials::load(options, &used.facts.region, profile, http).await?;
        let is_same = |old: &Credentials| {
            new.access_key_id() == old.access_key_id()
                && new.session_token() == old.session_token()
                && new.secret_access_key() == old.secret_access_key()
                && new.expiry() == old.expiry()
        };
        if used.facts.credentials.as_ref().is_some_and(is_same) {
            return Ok(false);
        }
        let replaced = self.replace(|facts| {
            Some(Facts {
                credentials: Some(new),
                loaded: SystemTime::now(),
                n_renewals: facts.n_renewals + 1,
                ..facts.clone()
            })
        });
        Ok(replaced.await)
    }

    /// Puts a session of other facts in the place of the present one.
    async fn replace(&self, change: impl FnOnce(&Facts) -> Option<Facts>) -> bool {
        let Shared {
            options,
            sdk_config,
            url,
            ..
        } = &*self.0;
        let _replacing = self.0.replacing.lock().await;
        let Some(facts) = change(&self.session().facts) else {
            return false;
        };
        let Ok(session) = Session::new(options, sdk_config, url.as_deref(), facts).await else {
            return false;
        };
        let mut place = self
            .0
            .session
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(session);
        true
    }

    /// Learns from the refusal of a request that `used` made. `true` if the same request may now be answered: it is sent
    /// again at once and without charge. Of many requests that are refused together, the first changes something.
    async fn has_learned(&self, used: &Session, lesson: &Lesson) -> bool {
        if lesson.was_head_too_large {
            return true;
        }
        if let Some(region) = lesson
            .region
            .as_ref()
            .filter(|name| **name != used.facts.region)
        {
            // Another request may have moved there meanwhile.
            if self.session().facts.region == *region {
                return true;
            }
            return self
                .replace(|facts| {
                    Some(Facts {
                        region: region.clone(),
                        ..facts.clone()
                    })
                })
                .await;
        }
        if lesson.are_credentials_expired {
            return self.has_renewed(used).await;
        }
        match lesson.time {
            Some(time) if used.facts.with_server_time(time).is_some() => {
                // Where it is known already, the same facts are left.
                self.replace(|facts| facts.with_server_time(time)).await
                    || self.session().facts.clock != used.facts.clock
            }
            _ => false,
        }
    }

    /// Asks for new credentials, once for all requests that were refused for the same ones.
    async fn has_renewed(&self, used: &Session) -> bool {
        if used.facts.credentials.is_none() {
            return false;
        }
        let mut renewing = self.0.renewing.lock().await;
        if self.session().facts.n_renewals != used.facts.n_renewals {
            return true;
        }
        if *renewing == Some(used.facts.n_renewals) {
            return false;
        }
        let is_renewed = self.load_credentials().await.unwrap_or(false);
        if !is_renewed {
            *renewing = Some(used.facts.n_renewals);
        }
        is_renewed
    }
}

/// The AWS configuration, with nothing in it that this program does itself: retries, timeouts of a body, checksums.
async fn sdk_config(options: &ConnectOptions, region: &str, http: &SdkClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .app_name(AppName::new("s3pull").expect("a valid name"))
        .region(Region::new(region.to_owned()))
        // Given here, so that the environment's values, some of which make the SDK panic, are not read.
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .read_timeout(options.timeout)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .no_credentials();
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}
