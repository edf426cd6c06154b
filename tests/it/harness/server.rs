//! The test server: S3's protocol by `s3s`, signatures really checked, faults as scripted, and a log of every request.
//! Tests never wait by sleeping: they wait for the log or at a gate.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::command::S3pull;
use super::faults::{Fault, FaultyBody, Flow, Gate};
use super::store::{ACCESS_KEY, Object, Quirks, SECRET_KEY, Store};

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_mins(3);

/// A server on a port of its own, gone when dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    // Dropped last: ends every connection.
    _runtime: tokio::runtime::Runtime,
    scheme: &'static str,
}

struct State {
    store: &'static Store,
    service: S3Service,
    faults: Mutex<HashMap<String, VecDeque<Option<Fault>>>>,
    gates: Mutex<HashMap<String, Gate>>,
    log: Mutex<Vec<Logged>>,
    changed: Condvar,
    /// Bytes of bodies, by key.
    flows: Mutex<HashMap<String, Arc<Flow>>>,
    /// More requests than this at once are answered with 503.
    capacity: AtomicUsize,
    /// How long each answer takes, in milliseconds.
    latency: AtomicU64,
    n_refused: AtomicUsize,
    holds_until_refused: AtomicBool,
    /// What every request for a part gets, and every other one.
    part_fault: Mutex<Option<Fault>>,
    whole_fault: Mutex<Option<Fault>>,
    /// Chooses a fault for each request that is not scripted.
    chance: Mutex<Option<Chance>>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
    /// Each change breaks all connections; until the time that it holds none is taken.
    down_until: watch::Sender<Option<tokio::time::Instant>>,
}

/// Faults at random; `None` serves well.
type Chance = Box<dyn FnMut() -> Option<Fault> + Send>;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Logged {
    pub method: String,
    pub key: String,
    pub headers: http::HeaderMap,
    /// As it stood in the request: a path, or all of it on the way through a proxy.
    pub uri: String,
}

impl Logged {
    /// A value of the signature's, which is in a header or in the URL.
    fn signature_value(&self, header: &str, parameter: &str) -> String {
        if let Some(value) = self.headers.get(header) {
            return value.to_str().unwrap().to_owned();
        }
        let (_, query) = self.uri.split_once('?').unwrap();
        let value = query.split('&').find_map(|pair| {
            pair.strip_prefix(parameter)
                .and_then(|rest| rest.strip_prefix('='))
        });
        value.unwrap().replace("%2F", "/")
    }

    /// The region that the request is signed for.
    pub fn region(&self) -> String {
        let authorization = self.signature_value("authorization", "X-Amz-Credential");
        let scope = authorization.split_once("Credential=");
        let scope = scope.map_or(authorization.as_str(), |(_, scope)| scope);
        scope.split('/').nth(2).unwrap().to_owned()
    }

    /// When it was signed: `20240131T235959Z`.
    pub fn date(&self) -> String {
        self.signature_value("x-amz-date", "X-Amz-Date")
    }

    pub fn session_token(&self) -> String {
        self.signature_value("x-amz-security-token", "X-Amz-Security-Token")
    }
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Speaks TLS with this configuration.
    pub fn start_tls(config: tokio_rustls::rustls::ServerConfig) -> Self {
        Self::start_with(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store: &'static Store = Box::leak(Box::default());
        let mut builder = S3ServiceBuilder::new(store);
        if !super::is_unsigned() {
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        }
        let state = Arc::new(State {
            store,
            service: builder.build(),
            faults: Mutex::default(),
            gates: Mutex::default(),
            log: Mutex::default(),
            changed: Condvar::new(),
            flows: Mutex::default(),
            capacity: AtomicUsize::new(usize::MAX),
            latency: AtomicU64::new(0),
            n_refused: AtomicUsize::new(0),
            holds_until_refused: AtomicBool::new(false),
            part_fault: Mutex::default(),
            whole_fault: Mutex::default(),
            chance: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            down_until: watch::Sender::new(None),
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(async { listening(bound(address)) });
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        runtime.spawn(listen(listener, tls, Arc::clone(&state)));
        Self {
            address,
            state,
            _runtime: runtime,
            scheme,
        }
    }

    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The binary, pointed at this server.
    pub fn s3pull(&self) -> S3pull {
        S3pull::new()
            .args(["--bucket", super::BUCKET])
            .args(super::signing())
            .env("AWS_ENDPOINT_URL_S3", &self.url())
    }

    /// A shell that runs `command`, in which `s3pull` is the binary, pointed at this server.
    pub fn shell(&self, command: &str) -> S3pull {
        S3pull::shell(command).env("AWS_ENDPOINT_URL_S3", &self.url())
    }

    pub fn put(&self, key: &str, mut object: Object) {
        // Once for all requests.
        object.etag = Some(object.etag());
        self.state
            .store
            .objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), object);
    }

    /// Puts a version of the object, which from now on is its latest.
    pub fn put_version(&self, key: &str, version: Object) {
        let id = version.version_id.clone().unwrap();
        self.put(&super::version_of(key, &id), version.clone());
        self.put(key, version);
    }

    /// Puts objects of `length` bytes, each of its own pattern.
    pub fn put_patterns<'a>(&self, keys: impl IntoIterator<Item = &'a str>, length: usize) {
        for key in keys {
            self.put(key, Object::new(super::pattern(key, length)));
        }
    }

    /// The next requests for `key` get these faults in turn; later ones are served well.
    pub fn script(&self, key: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().map(Some);
        self.state
            .faults
            .lock()
            .unwrap()
            .entry(key.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Every request for a part gets this fault.
    pub fn spoil_parts(&self, fault: Fault) {
        *self.state.part_fault.lock().unwrap() = Some(fault);
    }

    /// Every request for a whole object gets this fault.
    pub fn spoil_wholes(&self, fault: Fault) {
        *self.state.whole_fault.lock().unwrap() = Some(fault);
    }

    /// The next `n` requests for `key` are served well.
    pub fn skip(&self, key: &str, n: usize) {
        self.state
            .faults
            .lock()
            .unwrap()
            .entry(key.to_owned())
            .or_default()
            .extend(std::iter::repeat_n(None, n));
    }

    /// From now on requests for `key` are served well.
    pub fn unscript(&self, key: &str) {
        self.state.faults.lock().unwrap().remove(key);
    }

    /// Holds every request for `key` before it is answered.
    pub fn gate(&self, key: &str) -> Gate {
        let gate = Gate::closed();
        let mut gates = self.state.gates.lock().unwrap();
        gates.insert(key.to_owned(), gate.clone());
        gate
    }

    pub fn log(&self) -> Vec<Logged> {
        self.state.log.lock().unwrap().clone()
    }

    /// How many requests for `key` came in.
    pub fn n_requests(&self, key: &str) -> usize {
        self.state
            .log
            .lock()
            .unwrap()
            .iter()
            .filter(|logged| logged.key == key)
            .count()
    }

    /// Waits until `n` requests came in since the start.
    pub fn wait_for_requests(&self, n: usize) {
        self.wait_for_log(n, |_| true);
    }

    /// Waits until `n` requests for `key` came in since the start.
    pub fn wait_for_requests_of(&self, key: &str, n: usize) {
        self.wait_for_log(n, |logged| logged.key == key);
    }

    fn wait_for_log(&self, n: usize, counts: impl Fn(&Logged) -> bool) {
        let count = |log: &[Logged]| log.iter().filter(|logged| counts(logged)).count();
        let log = self.state.log.lock().unwrap();
        let (log, timed_out) = self
            .state
            .changed
            .wait_timeout_while(log, PATIENCE, |log| count(log) < n)
            .unwrap();
        assert!(
            !timed_out.timed_out(),
            "only {} of {n} requests came",
            count(&log)
        );
    }

    fn flow(&self, key: &str) -> Arc<Flow> {
        let mut flows = self.state.flows.lock().unwrap();
        Arc::clone(flows.entry(key.to_owned()).or_default())
    }

    /// Lets no more than about `n` bytes of `key`'s bodies out, in all: then they wait.
    pub fn dam(&self, key: &str, n: u64) {
        self.flow(key).dam.store(n, SeqCst);
    }

    /// Bytes of `key`'s bodies that were handed to connections, in all.
    pub fn bytes_sent(&self, key: &str) -> u64 {
        self.flow(key).n_sent.load(SeqCst)
    }

    /// Waits until `n` bytes of `key`'s bodies were handed to connections.
    pub fn wait_for_bytes(&self, key: &str, n: u64) {
        let started = std::time::Instant::now();
        while self.bytes_sent(key) < n {
            assert!(
                started.elapsed() < PATIENCE,
                "only {} of {n} bytes went out",
                self.bytes_sent(key)
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes `n` requests at once, answers each after `latency`, and refuses more with 503.
    pub fn limit_to(&self, n: usize, latency: Duration) {
        self.state.capacity.store(n, SeqCst);
        self.state
            .latency
            .store(latency.as_millis().try_into().unwrap(), SeqCst);
    }

    /// Answers the first requests once one was refused, so that [`Server::limit_to`] is a limit however slow the client is.
    pub fn refuse_one_first(&self) {
        self.state.holds_until_refused.store(true, SeqCst);
    }

    /// Takes `rate` requests per second, with a burst of half a second's, and refuses more with 503.
    pub fn limit_rate_to(&self, rate: f64) {
        let burst = (rate / 2.0).max(1.0);
        let (mut tokens, mut refilled) = (burst, std::time::Instant::now());
        let state = Arc::downgrade(&self.state);
        self.by_chance(move || {
            tokens = (tokens + rate * refilled.elapsed().as_secs_f64()).min(burst);
            refilled = std::time::Instant::now();
            if tokens >= 1.0 {
                tokens -= 1.0;
                return None;
            }
            state.upgrade()?.n_refused.fetch_add(1, SeqCst);
            Some(Fault::Status(503, "SlowDown"))
        });
    }

    /// Requests that were refused by the limit.
    pub fn n_refused(&self) -> usize {
        self.state.n_refused.load(SeqCst)
    }

    /// Each request that is not scripted gets the fault that `chance` says.
    pub fn by_chance(&self, chance: impl FnMut() -> Option<Fault> + Send + 'static) {
        *self.state.chance.lock().unwrap() = Some(Box::new(chance));
    }

    /// Breaks all connections of the moment; new ones are taken.
    pub fn break_connections(&self) {
        self.state.down_until.send_replace(None);
    }

    /// As a server that is restarted: all connections break, and for `duration` the port refuses new ones.
    pub fn restart(&self, duration: Duration) {
        let until = tokio::time::Instant::now() + duration;
        self.state.down_until.send_replace(Some(until));
    }

    /// For `duration` from the next one on every request that is not scripted is answered with 503.
    pub fn refuse_for(&self, duration: Duration) {
        let mut started = None;
        self.by_chance(move || {
            let started = started.get_or_insert_with(std::time::Instant::now);
            (started.elapsed() < duration).then_some(Fault::Status(503, "SlowDown"))
        });
    }

    /// Every request is served well from now on.
    pub fn heal(&self) {
        *self.state.chance.lock().unwrap() = None;
    }

    pub fn quirks(&self, quirks: Quirks) {
        *self.state.store.quirks.lock().unwrap() = quirks;
    }

    /// The most requests that were being answered at one time.
    pub fn peak(&self) -> usize {
        self.state.peak.load(SeqCst)
    }
}

/// Takes connections, but for the times when the server is down.
async fn listen(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, state: Arc<State>) {
    let address = listener.local_addr().unwrap();
    let mut down_until = state.down_until.subscribe();
    let mut listener = listener;
    loop {
        tokio::select! {
            () = accept(&listener, tls.as_ref(), &state) => {}
            _ = down_until.changed() => {}
        }
        let until = *down_until.borrow_and_update();
        if let Some(until) = until {
            // Bound before the other one is closed, so that no other test gets the port.
            let port = bound(address);
            drop(listener);
            tokio::time::sleep_until(until).await;
            listener = listening(port);
        }
    }
}

/// A socket that refuses connections until it listens; another one may be bound to its port to take its place.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
    }
    #[cfg(windows)]
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn listening(socket: TcpSocket) -> TcpListener {
    socket.listen(1024).unwrap()
}

/// A port at which nothing listens, and nothing else will for as long as this lives.
pub struct RefusingPort(TcpSocket);

impl RefusingPort {
    pub fn new() -> Self {
        Self(bound(SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

async fn accept(
    listener: &TcpListener,
    tls: Option<&tokio_rustls::TlsAcceptor>,
    state: &Arc<State>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (state, tls) = (Arc::clone(state), tls.cloned());
        let mut broken = state.down_until.subscribe();
        tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            // A client that goes away, or a scripted cut, ends the connection: no failure of the server.
            let serving = async {
                match tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(TokioIo::new(stream), state).await;
                        }
                    }
                    None => serve(TokioIo::new(stream), state).await,
                }
            };
            tokio::select! {
                () = serving => {}
                _ = broken.changed() => {}
            }
        });
    }
}

async fn serve<S: hyper::rt::Read + hyper::rt::Write + Unpin>(stream: S, state: Arc<State>) {
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&state), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(stream, service);
    let _ = connection.await;
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<FaultyBody>, std::io::Error> {
    let guard = InFlight::new(&state);
    let key = key_of(request.uri().path());
    let logged = Logged {
        method: request.method().to_string(),
        key: key.clone(),
        headers: request.headers().clone(),
        uri: request.uri().to_string(),
    };
    state.log.lock().unwrap().push(logged);
    state.changed.notify_all();
    let gate = state.gates.lock().unwrap().get(&key).cloned();
    if let Some(gate) = gate {
        gate.pass().await;
    }
    let fault = state
        .faults
        .lock()
        .unwrap()
        .get_mut(&key)
        .and_then(VecDeque::pop_front)
        .flatten();
    let is_part = request.headers().contains_key(http::header::RANGE);
    let of_kind = if is_part {
        &state.part_fault
    } else {
        &state.whole_fault
    };
    let fault = fault.or_else(|| of_kind.lock().unwrap().clone());
    let fault = fault.or_else(|| {
        state
            .chance
            .lock()
            .unwrap()
            .as_mut()
            .and_then(|chance| chance())
    });
    let fault = match fault {
        None if guard.1 > state.capacity.load(SeqCst) => {
            state.n_refused.fetch_add(1, SeqCst);
            Some(Fault::Status(503, "SlowDown"))
        }
        fault => fault,
    };
    if fault.is_none() && state.holds_until_refused.load(SeqCst) {
        state.until_one_is_refused().await;
    }
    let latency = state.latency.load(SeqCst);
    if fault.is_none() && latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    if let Some(Fault::Hang) = fault {
        std::future::pending::<()>().await;
    }
    if let Some(response) = fault.as_ref().and_then(Fault::answer) {
        return Ok(response.map(|body| body.guarded(Box::new(guard))));
    }
    if let Some(Fault::Replace(object)) = &fault {
        state
            .store
            .objects
            .lock()
            .unwrap()
            .insert(key.clone(), (**object).clone());
    }
    let flow = Arc::clone(state.flows.lock().unwrap().entry(key).or_default());
    let request = request.map(s3s::Body::from);
    let mut response = state
        .service
        .call(request)
        .await
        .map_err(std::io::Error::other)?;
    if let Some(fault) = &fault {
        response = fault.spoil(response).await;
    }
    let length = response.headers().get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(response
        .map(|body| FaultyBody::new(body, fault, Some(Box::new(guard))).counted(flow, length)))
}

impl State {
    async fn until_one_is_refused(&self) {
        let started = std::time::Instant::now();
        while self.n_refused.load(SeqCst) == 0 && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Counts a request until its body was sent, and how many there were with it when it came.
struct InFlight(Arc<State>, usize);

impl InFlight {
    fn new(state: &Arc<State>) -> Self {
        let n = state.in_flight.fetch_add(1, SeqCst) + 1;
        state.peak.fetch_max(n, SeqCst);
        Self(Arc::clone(state), n)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

/// The key of a path-style URL's path.
fn key_of(path: &str) -> String {
    let key = path
        .trim_start_matches('/')
        .split_once('/')
        .map_or("", |(_, key)| key);
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = std::str::from_utf8(tail.get(..2).unwrap_or_default())
            .ok()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}
