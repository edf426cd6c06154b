//! The one client, shared by everything that is downloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{Region, ResponseChecksumValidation};
use http::StatusCode;
use hyper::body::{Body as _, Incoming};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::account::profile::Profile;
use super::account::{endpoint, region};
use super::body::{Body, MAX_SMALL_BODY, read_beginning, read_bounded};
use super::buckets::Buckets;
use super::doubt::Doubt;
use super::error::GetError;
use super::error_body::is_error;
use super::get::{GetRequest, GetResponse, Method};
use super::http::opening::Opening;
use super::http::pool::Pool;
use super::http::proxy::Proxies;
use super::http::sdk::SdkClient;
use super::http::tls::{self, Tls, Trust};
use super::options::{ConnectError, ConnectOptions};
use super::refusal::Asked;
use super::reply::Framing;
use super::session::Session;
use super::sessions::Sessions;
use crate::outcome::ErrorCode;

/// The most corrections per request. A server that causes more is leading the client in circles.
pub(super) const MAX_CORRECTIONS: u32 = 4;
/// Secrets shorter than this many bytes are not masked: any text may contain them.
const MIN_SECRET: usize = 4;

/// The one client. It knows the bucket, switches to the bucket's region when S3 names it, and renews credentials before
/// they expire.
#[derive(Clone)]
pub(crate) struct Client(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub pool: Pool,
    pub timeout: Duration,
    pub sessions: Arc<Sessions>,
    /// Those of the buckets that requests name.
    buckets: Buckets,
    /// Whether the server has answered as an S3 server does.
    pub is_known_as_s3: AtomicBool,
    /// Of proxies and of objects.
    other_secrets: Vec<String>,
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
    /// [`ConnectError`] for everything that is known to be wrong before the first request.
    pub(crate) async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        if let Some(signer) = std::env::var("S3PULL_SIGNER")
            .ok()
            .filter(|signer| !signer.is_empty())
            && signer != "presigned"
        {
            return Err(ConnectError::Signer(signer));
        }
        let tls = Tls::new(&options.trust)?;
        let pool = Pool::new(options.connect_timeout, tls);
        let mut other_secrets = Proxies::secrets();
        let key = options.customer_key.as_ref();
        other_secrets.extend(key.map(|key| key.base64().to_owned()));
        let http = SdkClient {
            pool,
            timeout: options.timeout,
            last_status: Arc::default(),
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
        if key.is_some() && url.as_deref().is_some_and(endpoint::is_without_tls) {
            return Err(ConnectError::CustomerKeyWithoutTls);
        }
        let (timeout, is_of_system) = (options.timeout, options.trust == Trust::System);
        let sessions =
            Sessions::new(options, http.clone(), profile, sdk_config, url, region).await?;
        let url = sessions.current().url();
        if let Some(problem) = http.pool.proxy_problem(&url) {
            return Err(ConnectError::Proxy(problem.to_owned()));
        }
        if sessions.current().is_https && is_of_system {
            tls::check_environment()?;
        }
        Ok(Self(Arc::new(Shared {
            pool: http.pool,
            timeout,
            sessions: Arc::new(sessions),
            buckets: Buckets::default(),
            is_known_as_s3: AtomicBool::new(false),
            other_secrets,
        })))
    }

    /// Counts the connections that are being opened.
    pub(crate) fn opening(&self) -> Opening {
        self.0.pool.opening().clone()
    }

    /// Sends one GET. A wrong region, expired credentials and a wrong clock are corrected on the way.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub(crate) async fn get_object(
        &self,
        request: &GetRequest<'_>,
    ) -> Result<GetResponse, GetError> {
        let sessions = self.sessions(request.bucket).await?;
        let mut n_corrections = 0;
        loop {
            let session = sessions.fresh().await?;
            let error = match self.send(&session, request).await {
                Ok(response) => {
                    sessions.were_accepted();
                    return Ok(response);
                }
                Err(error) => self.masked(&session, error),
            };
            let error = match request.bucket {
                Some(_) => error.of_named_bucket(),
                None => error,
            };
            let Some(lesson) = error.lesson() else {
                return Err(error);
            };
            if lesson.was_closed_idle && request.has_failed {
                return Err(error);
            }
            n_corrections += 1;
            if n_corrections > MAX_CORRECTIONS || !sessions.has_learned(&session, lesson).await? {
                return Err(error);
            }
        }
    }

    /// The sessions of the bucket that a request names, if it names one.
    pub(super) async fn sessions(&self, bucket: Option<&str>) -> Result<Arc<Sessions>, GetError> {
        let first = &self.0.sessions;
        match bucket.filter(|bucket| *bucket != first.bucket()) {
            Some(bucket) => self.0.buckets.sessions(first, bucket).await,
            None => Ok(Arc::clone(first)),
        }
    }

    async fn send(&self, session: &Session, get: &GetRequest<'_>) -> Result<GetResponse, GetError> {
        let Shared { pool, timeout, .. } = &*self.0;
        let request = session.signer().request(get, session.now()).await?;
        let reply = pool.send(request, *timeout).await;
        let reply = reply.map_err(|error| GetError::of_transport(&error))?;
        let (head, body) = reply.into_parts();
        if head.status.is_success() {
            let length = body.size_hint().exact();
            let framing = match get.method {
                Method::Get => Framing::of(&head, length),
                Method::Head => Framing::of_absent(&head),
            };
            let body = match Doubt::of(&head) {
                Some(Doubt::Page) => {
                    let is_known_as_s3 = self.0.is_known_as_s3.load(Relaxed);
                    return Err(GetError::of_page(&session.server, is_known_as_s3));
                }
                Some(Doubt::Error) if get.method == Method::Get && length.is_some_and(is_small) => {
                    // Boxed, since such replies are rare.
                    let reading = Box::pin(self.unless_error(session, get, &head, body));
                    Body::read(reading.await?, *timeout)
                }
                _ => Body::new(body, *timeout),
            };
            let response = GetResponse::read(&head, framing, get.part.as_ref())?;
            self.0.is_known_as_s3.store(true, Relaxed);
            return Ok(response.with(body));
        }
        // A 304 has no body.
        let error_body = if head.status == StatusCode::NOT_MODIFIED {
            Vec::new()
        } else {
            read_beginning(body, *timeout).await
        };
        Err(self.refusal(session, get.part.is_some(), &head, &error_body))
    }

    /// The body of a reply with the status of success, unless it is an S3 error.
    async fn unless_error(
        &self,
        session: &Session,
        get: &GetRequest<'_>,
        head: &http::response::Parts,
        body: Incoming,
    ) -> Result<Vec<u8>, GetError> {
        let read = read_bounded(body, self.0.timeout).await;
        let bytes = read
            .map_err(|error| GetError::transient(ErrorCode::IncompleteBody, error.to_string()))?;
        if is_error(&bytes) {
            return Err(self.refusal(session, get.part.is_some(), head, &bytes));
        }
        Ok(bytes)
    }

    /// What a reply with an error's status means.
    pub(super) fn refusal(
        &self,
        session: &Session,
        is_part: bool,
        head: &http::response::Parts,
        body: &[u8],
    ) -> GetError {
        let proxy = self.0.pool.proxy_of(&session.url());
        let asked = Asked {
            is_part,
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

    /// Masks our secrets in a server's text, both plain and as encoded in URLs.
    pub(super) fn masked(&self, session: &Session, mut error: GetError) -> GetError {
        let credentials = session.facts.credentials.as_ref();
        let of_credentials = credentials.into_iter().flat_map(|credentials| {
            let secret = Some(credentials.secret_access_key());
            [secret, credentials.session_token()]
        });
        let others = self.0.other_secrets.iter().map(String::as_str);
        let secrets: Vec<_> = of_credentials
            .flatten()
            .chain(others)
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
}

/// Whether a body of this length may be an error's.
fn is_small(length: u64) -> bool {
    length <= MAX_SMALL_BODY as u64
}

/// The AWS configuration, with everything disabled that this program does itself: retries, timeouts of a body, checksums.
async fn sdk_config(options: &ConnectOptions, region: &str, http: &SdkClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .app_name(AppName::new("s3pull").expect("a valid name"))
        .region(Region::new(region.to_owned()))
        // Set explicitly, so that the SDK does not read the environment's values, some of which make it panic.
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
