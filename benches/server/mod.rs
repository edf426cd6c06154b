//! A server that uses almost no CPU, so that the cost of a download is that of the client. It serves constant bytes from
//! memory over keep-alive connections, and does not check signatures.
//!
//! A key is `SIZE/…`, where SIZE is the size of its object in bytes. Ranges are served; every object has an ETag and a
//! CRC-64/NVME. A bucket `list-N` has a listing of N keys.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;

/// Bytes per write to a connection.
const PIECE: usize = 256 * 1024;
static BYTES: [u8; PIECE] = [0x5a; PIECE];

/// A server that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    sent: Arc<Sent>,
    /// Dropping it ends every connection.
    _runtime: tokio::runtime::Runtime,
}

/// What the server can do at most; zero is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Bytes per second, over all connections.
    pub bandwidth: u64,
    /// Requests at once; more are refused with 503.
    pub slots: usize,
}

/// What was sent so far.
#[derive(Debug, Default)]
pub struct Sent {
    /// Bodies that were sent to their end.
    pub n_bodies: AtomicU64,
    pub bytes: AtomicU64,
    pub n_refused: AtomicU64,
}

#[derive(Clone)]
struct State {
    limits: Limits,
    sent: Arc<Sent>,
    /// When the next byte may be sent, where bandwidth is limited.
    next: Arc<Mutex<Instant>>,
    n_at_once: Arc<AtomicUsize>,
    /// The wait before each response.
    latency: Duration,
    /// The checksums of objects, by size.
    checksums: Arc<Mutex<HashMap<u64, HeaderValue>>>,
}

impl Server {
    pub fn start(latency: Duration, tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let sent = Arc::<Sent>::default();
        let state = State {
            limits,
            sent: Arc::clone(&sent),
            next: Arc::new(Mutex::new(Instant::now())),
            n_at_once: Arc::default(),
            latency,
            checksums: Arc::default(),
        };
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (state, tls) = (state.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), state).await;
                            }
                        }
                        None => serve(TokioIo::new(stream), state).await,
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            sent,
            _runtime: runtime,
        }
    }

    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }
}

async fn serve<S: hyper::rt::Read + hyper::rt::Write + Unpin>(stream: S, state: State) {
    let service = hyper::service::service_fn(move |request| answer(state.clone(), request));
    // A client that disconnects is not an error of the server.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn answer(
    state: State,
    request: Request<Incoming>,
) -> Result<Response<Either<Constant, Full<Bytes>>>, Infallible> {
    let n_at_once = state.n_at_once.fetch_add(1, Relaxed);
    let is_refused = state.limits.slots > 0 && n_at_once >= state.limits.slots;
    if !state.latency.is_zero() && !is_refused {
        tokio::time::sleep(state.latency).await;
    }
    state.n_at_once.fetch_sub(1, Relaxed);
    if is_refused {
        state.sent.n_refused.fetch_add(1, Relaxed);
        let mut response = Response::new(Either::Left(Constant::new(0, &state)));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(response);
    }
    if let Some(page) = page(request.uri()) {
        return Ok(Response::new(Either::Right(Full::from(page))));
    }
    let path = request.uri().path();
    let Some(size) = path.split('/').nth(2).and_then(|size| size.parse().ok()) else {
        let mut response = Response::new(Either::Left(Constant::new(0, &state)));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let range = range(request.headers(), size);
    let bytes = range.clone().unwrap_or(0..size);
    let mut response = Response::new(Either::Left(Constant::new(bytes.end - bytes.start, &state)));
    let headers = response.headers_mut();
    headers.insert("etag", HeaderValue::from_static("\"5a5a\""));
    headers.insert(
        "last-modified",
        HeaderValue::from_static("Tue, 02 Jan 2024 03:04:05 GMT"),
    );
    if let Some(range) = range {
        let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert("content-range", value.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    } else {
        headers.insert("x-amz-checksum-crc64nvme", state.checksum(size));
        headers.insert(
            "x-amz-checksum-type",
            HeaderValue::from_static("FULL_OBJECT"),
        );
    }
    Ok(response)
}

/// A page of the listing of a bucket `list-N`; the token is the number of the page's first key.
fn page(url: &http::Uri) -> Option<String> {
    const PAGE: u64 = 1_000;
    let n_keys: u64 = url
        .path()
        .strip_prefix("/list-")?
        .trim_end_matches('/')
        .parse()
        .ok()?;
    let parameter = |name: &str| {
        let mut pairs = url
            .query()?
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let first: u64 = parameter("continuation-token").map_or(0, |token| token.parse().unwrap());
    let end = (first + PAGE).min(n_keys);
    let mut page = String::with_capacity(400 * 1_000);
    let truncated = if end < n_keys {
        format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        )
    } else {
        "<IsTruncated>false</IsTruncated>".to_owned()
    };
    write!(
        page,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix><KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>{truncated}",
        end - first
    )
    .unwrap();
    for n in first..end {
        write!(
            page,
            "<Contents><Key>data/2024/{:04}/{n:08}.json</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            n / 10_000,
            n % 100_000
        )
        .unwrap();
    }
    page.push_str("</ListBucketResult>");
    Some(page)
}

fn range(headers: &HeaderMap, size: u64) -> Option<Range<u64>> {
    let text = headers.get("range")?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last: u64 = last.parse().unwrap_or(u64::MAX);
    Some(first.parse().ok()?..(last.saturating_add(1)).min(size))
}

impl State {
    fn checksum(&self, size: u64) -> HeaderValue {
        let mut checksums = self.checksums.lock().unwrap();
        let value = checksums.entry(size).or_insert_with(|| {
            let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
            let mut left = size;
            while left > 0 {
                let piece = piece(left);
                crc.update(&piece);
                left -= piece.len() as u64;
            }
            let sum = crc.finalize().to_be_bytes();
            base64_simd::STANDARD.encode_to_string(sum).parse().unwrap()
        });
        value.clone()
    }
}

fn piece(left: u64) -> Bytes {
    let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    Bytes::from_static(&BYTES[..length])
}

/// A body of `left` bytes.
struct Constant {
    left: u64,
    state: State,
    /// Until the next piece may be sent.
    wait: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Constant {
    fn new(left: u64, state: &State) -> Self {
        Self {
            left,
            state: state.clone(),
            wait: None,
        }
    }
}

impl Body for Constant {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        let piece = piece(self.left);
        let length = piece.len() as u64;
        self.left -= length;
        self.state.sent.bytes.fetch_add(length, Relaxed);
        if self.left == 0 {
            self.state.sent.n_bodies.fetch_add(1, Relaxed);
        }
        if let Some(nanos) = (length * 1_000_000_000).checked_div(self.state.limits.bandwidth) {
            let until = {
                let mut next = self.state.next.lock().unwrap();
                *next = (*next).max(Instant::now()) + Duration::from_nanos(nanos);
                *next
            };
            self.wait = Some(Box::pin(tokio::time::sleep_until(until.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
