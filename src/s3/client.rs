//! The one client, shared by everything that is downloaded.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
use tokio::sync::Mutex;

use super::account::profile::Profile;
use super::account::{credentials, endpoint, region};
use super::body::{Body, read_beginning};
use super::error::{Asked, GetError, Lesson};
use super::get::{Framing, GetRequest, GetResponse};
use super::http::pool::Pool;
use super::http::proxy::Proxies;
use super::http::sdk::SdkClient;
use super::http::tls::{self, Tls, Trust, TrustError};
use super::session::{Facts, Freshness, Session};
use crate::config::AddressingStyle;
use crate::outcome::{Class, ErrorCode};

/// Corrections that one request may lead to; more would be a server that sends us round in circles.
const MAX_CORRECTIONS: u32 = 4;
/// How long to wait before credentials are asked for again that could not be renewed ahead of their end.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// Secrets of fewer bytes are not masked: they would be found in any text.
const MIN_SECRET: usize = 4;

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
    pub trust: Trust,
    pub addressing_style: AddressingStyle,
    /// Name look-up, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// The longest silence before an answer or between bytes.
    pub timeout: Duration,
}

impl ConnectOptions {
    /// Whether the SDK makes the requests: for directory buckets (S3 Express), and where `S3PULL_SIGNER=presigned` says so.
    pub(super) fn is_presigned(&self) -> bool {
        let is_directory = ["--x-s3", "--xa-s3"]
            .iter()
            .any(|suffix| self.bucket.ends_with(suffix));
        is_directory || std::env::var("S3PULL_SIGNER").is_ok_and(|signer| signer == "presigned")
    }
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
    #[error("not signed in to SSO for the profile `{profile}`")]
    NotSignedIn { profile: String },
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
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl ConnectError {
    /// What to do about it, where its text does not say so.
    pub fn hint(&self) -> Option<String> {
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
            Self::HalfPair => "set both, or neither and name a profile with `--profile NAME`",
            Self::Unclean(_) => "copy it again, without blanks and line ends around it",
            Self::NoProfile { .. } => "`aws configure list-profiles` shows those that there are",
            Self::Region { .. } => "give a region such as `--region eu-west-1`, or leave it out",
            Self::Endpoint(_) => {
                "it comes from `--endpoint-url`, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's `endpoint_url`"
            }
            Self::Trust(TrustError::Variable { .. }) => {
                "correct the variable or unset it, or give `--ca-bundle FILE`"
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
                Err(error) => error,
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

    /// What a reply with an error's status means, without secrets of ours in it.
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
        let mut error = GetError::of_reply(head, body, &asked);
        if error.is_of_s3 {
            self.0.is_known_as_s3.store(true, Relaxed);
        }
        let credentials = session.facts.credentials.as_ref();
        let secrets = credentials.into_iter().flat_map(|credentials| {
            [
                Some(credentials.secret_access_key()),
                credentials.session_token(),
            ]
        });
        let proxies = self.0.secrets_of_proxies.iter().map(String::as_str);
        let secrets = secrets.flatten().chain(proxies);
        let secrets: Vec<_> = secrets
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
            Freshness::Ending => {
                if let Ok(renewing) = Arc::clone(&self.0.renewing).try_lock_owned() {
                    let client = self.clone();
                    tokio::spawn(async move {
                        let _renewing = renewing;
                        client.renew_in_time().await;
                    });
                }
            }
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

    /// Asks for new credentials until there are some, or the old ones are over.
    async fn renew_in_time(&self) {
        loop {
            let session = self.session();
            if session.freshness(session.now()) != Freshness::Ending {
                return;
            }
            // The old ones serve meanwhile, so that a failure is nothing to report.
            let _ = self.load_credentials().await;
            let session = self.session();
            if session.freshness(session.now()) == Freshness::Fresh {
                return;
            }
            tokio::time::sleep(RENEWAL_INTERVAL).await;
        }
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
