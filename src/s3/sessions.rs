//! The session in use. It is replaced when its credentials are about to expire, and when a refusal names another region
//! or clock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, RwLock};
use std::time::{Duration, Instant, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use tokio::sync::Mutex;

use super::account::credentials::{self, LoadError};
use super::account::profile::Profile;
use super::error::GetError;
use super::http::sdk::SdkClient;
use super::lesson::Lesson;
use super::options::{ConnectError, ConnectOptions};
use super::session::{Facts, Freshness, Session};
use crate::locks;
use crate::outcome::{Class, ErrorCode};

/// How long to wait between attempts to renew credentials that are about to expire.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// The session in use, and everything needed to make its successor.
pub(super) struct Sessions {
    options: ConnectOptions,
    account: Arc<Account>,
    session: RwLock<Arc<Session>>,
    /// Held while the session is replaced.
    replacing: Mutex<()>,
    /// Held while credentials are loaded. Its value is the number of the renewal after which no newer ones were found.
    renewing: Arc<Mutex<Option<u64>>>,
    /// Not before this time is another renewal attempted after one that failed, in seconds since 1970 by the server's
    /// clock.
    renew_again_at: AtomicU64,
    /// Whether a request was answered well: the credentials were good.
    were_accepted: AtomicBool,
    /// When credentials that were over could not be renewed last, and why.
    not_renewed: StdMutex<Option<(Instant, GetError)>>,
}

/// What the sessions of all buckets have in common.
struct Account {
    http: SdkClient,
    profile: Profile,
    sdk_config: SdkConfig,
    /// The configured endpoint, if any.
    url: Option<String>,
    /// The region of the first session.
    first_region: String,
}

impl Sessions {
    /// Loads the credentials and makes the first session, for `region`.
    ///
    /// # Errors
    /// When there are no credentials, or no request can be made for the bucket.
    pub(super) async fn new(
        options: ConnectOptions,
        http: SdkClient,
        profile: Profile,
        sdk_config: SdkConfig,
        url: Option<String>,
        region: String,
    ) -> Result<Self, ConnectError> {
        if options.is_multi_region() {
            return Err(ConnectError::MultiRegion(options.bucket));
        }
        let credentials = if options.sign_requests {
            let loading = credentials::load(&options, &region, &profile, &http);
            Some(loading.await.map_err(|error| error.why)?)
        } else {
            None
        };
        let facts = Facts {
            region: region.clone(),
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
        let account = Account {
            http,
            profile,
            sdk_config,
            url,
            first_region: region,
        };
        Ok(Self::beginning_with(session, options, Arc::new(account)))
    }

    fn beginning_with(session: Session, options: ConnectOptions, account: Arc<Account>) -> Self {
        Self {
            options,
            account,
            session: RwLock::new(Arc::new(session)),
            replacing: Mutex::default(),
            renewing: Arc::default(),
            renew_again_at: AtomicU64::new(0),
            were_accepted: AtomicBool::new(false),
            not_renewed: StdMutex::default(),
        }
    }

    /// The bucket that requests go to.
    pub(super) fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// Sessions for another bucket of the same account. They begin in the region that these began in.
    ///
    /// # Errors
    /// The reason, when no request can be made for the bucket.
    pub(super) async fn of_bucket(&self, bucket: &str) -> Result<Self, String> {
        let options = ConnectOptions {
            bucket: bucket.to_owned(),
            ..self.options.clone()
        };
        if options.is_multi_region() {
            return Err(ConnectError::MultiRegion(options.bucket).to_string());
        }
        let facts = Facts {
            region: self.account.first_region.clone(),
            ..self.current().facts.clone()
        };
        let Account {
            sdk_config, url, ..
        } = &*self.account;
        let session = Session::new(&options, sdk_config, url.as_deref(), facts).await?;
        let sessions = Self::beginning_with(session, options, Arc::clone(&self.account));
        let were_accepted = AtomicBool::new(self.were_accepted.load(Relaxed));
        Ok(Self {
            were_accepted,
            ..sessions
        })
    }

    pub(super) fn current(&self) -> Arc<Session> {
        let session = locks::read(&self.session);
        Arc::clone(&session)
    }

    /// A request was answered well.
    pub(super) fn were_accepted(&self) {
        self.were_accepted.store(true, Relaxed);
    }

    /// The session to use now. Credentials that expire soon are renewed in the background; once they have expired, this
    /// waits for new ones.
    ///
    /// # Errors
    /// When the credentials have expired and cannot be renewed: a transient error where that may pass.
    pub(super) async fn fresh(self: &Arc<Self>) -> Result<Arc<Session>, GetError> {
        let session = self.current();
        match session.freshness(session.now()) {
            Freshness::Fresh => {}
            Freshness::Ending => self.renew_in_background(session.now()),
            Freshness::Over => {
                let asked = Instant::now();
                let _renewing = self.renewing.lock().await;
                let session = self.current();
                if session.freshness(session.now()) != Freshness::Over {
                    return Ok(session);
                }
                if let Some(error) = self.not_renewed_since(asked) {
                    return Err(error);
                }
                return match self.load_credentials().await {
                    Ok(_) => Ok(self.current()),
                    Err(error) => {
                        let error = self.not_renewed(&error);
                        let now = Some((Instant::now(), error.clone()));
                        *self.last_failure() = now;
                        Err(error)
                    }
                };
            }
        }
        Ok(session)
    }

    /// What the requests that need new credentials fail with. Credentials that were good before are waited for, unless
    /// their source refuses: not every source says whether its trouble passes.
    fn not_renewed(&self, error: &LoadError) -> GetError {
        let why = &error.why;
        if error.may_pass && self.were_accepted.load(Relaxed) {
            return GetError::without_credentials(format!(
                "the AWS credentials have expired and cannot be renewed: {why}"
            ));
        }
        let cure = why
            .hint()
            .map_or_else(String::new, |cure| format!("; {cure}"));
        let message = format!("the AWS credentials have expired: {why}{cure}");
        GetError::new(Class::Fatal, ErrorCode::Credentials, message)
    }

    /// The last renewal's failure, if it is from later than `asked`: then whoever asked before does not ask again.
    fn not_renewed_since(&self, asked: Instant) -> Option<GetError> {
        let failed = self.last_failure();
        let (at, error) = failed.as_ref()?;
        (*at >= asked).then(|| error.clone())
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<(Instant, GetError)>> {
        locks::lock(&self.not_renewed)
    }

    /// Starts to renew the credentials, unless a renewal is under way or has just failed.
    fn renew_in_background(self: &Arc<Self>, now: u64) {
        if now < self.renew_again_at.load(Relaxed) {
            return;
        }
        let Ok(renewing) = Arc::clone(&self.renewing).try_lock_owned() else {
            return;
        };
        let sessions = Arc::clone(self);
        tokio::spawn(async move {
            let _renewing = renewing;
            // A failure is not reported: the present credentials are still valid.
            if !sessions.load_credentials().await.unwrap_or(false) {
                let again_at = sessions.current().now() + RENEWAL_INTERVAL.as_secs();
                sessions.renew_again_at.store(again_at, Relaxed);
            }
        });
    }

    /// Asks the credential chain again, from its start. `true` if it returned other credentials than those in use.
    async fn load_credentials(&self) -> Result<bool, LoadError> {
        let Self {
            options, account, ..
        } = self;
        let used = self.current();
        let new =
            credentials::load(options, &used.facts.region, &account.profile, &account.http).await?;
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

    /// Replaces the session by one made from changed facts.
    async fn replace(&self, change: impl FnOnce(&Facts) -> Option<Facts>) -> bool {
        let Self {
            options, account, ..
        } = self;
        let _replacing = self.replacing.lock().await;
        let Some(facts) = change(&self.current().facts) else {
            return false;
        };
        let Ok(session) =
            Session::new(options, &account.sdk_config, account.url.as_deref(), facts).await
        else {
            return false;
        };
        let mut place = locks::write(&self.session);
        *place = Arc::new(session);
        true
    }

    /// Applies the lesson of the refusal of a request that `used` made. `true` if the same request may now succeed: it is
    /// sent again at once, and that does not count as an attempt. Of many requests that are refused together, only the
    /// first changes something.
    ///
    /// # Errors
    /// When the credentials cannot be renewed at the moment.
    pub(super) async fn has_learned(
        &self,
        used: &Session,
        lesson: &Lesson,
    ) -> Result<bool, GetError> {
        if lesson.was_head_too_large || lesson.was_closed_idle {
            return Ok(true);
        }
        if let Some(region) = lesson
            .region
            .as_ref()
            .filter(|name| **name != used.facts.region)
        {
            // Another request may have changed the region already.
            if self.current().facts.region == *region {
                return Ok(true);
            }
            let replaced = self.replace(|facts| {
                Some(Facts {
                    region: region.clone(),
                    ..facts.clone()
                })
            });
            return Ok(replaced.await);
        }
        if lesson.are_credentials_expired {
            return self.has_renewed(used).await;
        }
        Ok(match lesson.time {
            Some(time) if used.facts.with_server_time(time).is_some() => {
                // Another request may have corrected the clock already, in which case nothing is replaced.
                self.replace(|facts| facts.with_server_time(time)).await
                    || self.current().facts.clock != used.facts.clock
            }
            _ => false,
        })
    }

    /// Asks for new credentials, once for all requests that were refused with the same ones.
    async fn has_renewed(&self, used: &Session) -> Result<bool, GetError> {
        if used.facts.credentials.is_none() {
            return Ok(false);
        }
        let asked = Instant::now();
        let mut renewing = self.renewing.lock().await;
        if self.current().facts.n_renewals != used.facts.n_renewals {
            return Ok(true);
        }
        if *renewing == Some(used.facts.n_renewals) {
            return Ok(false);
        }
        if let Some(error) = self.not_renewed_since(asked) {
            return Err(error);
        }
        let is_renewed = match self.load_credentials().await {
            Ok(is_renewed) => is_renewed,
            Err(error) if error.may_pass && self.were_accepted.load(Relaxed) => {
                let error = self.not_renewed(&error);
                *self.last_failure() = Some((Instant::now(), error.clone()));
                return Err(error);
            }
            Err(_) => false,
        };
        if !is_renewed {
            *renewing = Some(used.facts.n_renewals);
        }
        Ok(is_renewed)
    }
}
