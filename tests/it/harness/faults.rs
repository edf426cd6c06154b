//! What a scripted request gets in place of a good answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;

use super::store::Object;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One request's fault.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An S3 error with this code, or a bodiless answer when the code is empty.
    Status(u16, &'static str),
    /// An S3 error with a header beside it.
    StatusWith(u16, &'static str, &'static str, String),
    /// An S3 error with this code and message.
    Message(u16, &'static str, &'static str),
    /// A wrong region: status, and the region that the bucket is in.
    Region(u16, &'static str),
    /// No answer at all, ever.
    Hang,
    /// The connection breaks after so many bytes of the body.
    Cut(u64),
    /// The body goes silent after so many bytes.
    Stall(u64),
    /// After so many bytes, or some more, the body goes on only once the gate is open.
    Hold(u64, Gate),
    /// The body comes a byte at a time, this often.
    Trickle(Duration),
    /// This long before each piece of the body.
    Slow(Duration),
    /// The byte at this offset is another one.
    Flip(u64),
    /// An answer of another kind of server.
    Html(u16),
    /// A good answer, but with this header in place of its own.
    Header(&'static str, &'static str),
    /// A good answer, but with this status in place of its own.
    As(u16),
    /// A good answer, but with this status, these bytes of the object, and the header that says so.
    Partial(u16, std::ops::Range<usize>),
    /// This status, and a body that never ends as an error's should.
    BadError(u16, BadBody),
    /// A good answer, but with the text of its body changed so.
    Edit(fn(&str) -> String),
    /// Another object is put under the key first.
    Replace(Box<Object>),
}

/// Requests, or a body, wait here until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub fn open(&self) {
        self.0.add_permits(1_000_000);
    }

    fn is_open(&self) -> bool {
        self.0.available_permits() > 0
    }

    pub async fn pass(&self) {
        let _permit = self.0.acquire().await;
    }
}

/// The bytes of all bodies of a key.
#[derive(Debug)]
pub struct Flow {
    /// How many were handed to connections.
    pub n_sent: AtomicU64,
    /// All bodies wait once it is as many.
    pub dam: AtomicU64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            n_sent: AtomicU64::new(0),
            dam: AtomicU64::new(u64::MAX),
        }
    }
}

/// How the body of an error goes on and on.
#[derive(Debug, Clone, Copy)]
pub enum BadBody {
    /// It begins, and never comes on.
    Stalls,
    /// A byte at a time.
    Trickles,
    /// As fast as it is read.
    IsEndless,
}

impl BadBody {
    fn body(self) -> s3s::Body {
        let begin = Bytes::from_static(b"<Error><Code>SlowDown</Code>");
        let piece = match self {
            Self::Stalls => None,
            Self::Trickles => Some((Bytes::from_static(b" "), Duration::from_millis(20))),
            Self::IsEndless => Some((Bytes::from(vec![b' '; 64 * 1024]), Duration::ZERO)),
        };
        let rest = futures::stream::unfold(piece, async |piece| {
            let (bytes, pause) = match piece {
                Some(piece) => piece,
                None => std::future::pending().await,
            };
            tokio::time::sleep(pause).await;
            Some((bytes.clone(), Some((bytes, pause))))
        });
        let bytes = futures::StreamExt::chain(futures::stream::iter([begin]), rest);
        let frames = futures::StreamExt::map(bytes, Ok::<_, std::io::Error>);
        s3s::Body::from(s3s::dto::StreamingBlob::wrap(frames))
    }
}

impl Fault {
    /// The answer that takes the place of S3's, if this fault is one.
    pub fn answer(&self) -> Option<Response<FaultyBody>> {
        let (status, body, region) = match self {
            Self::Status(status, "") => (*status, String::new(), None),
            Self::Status(status, code) | Self::StatusWith(status, code, ..) => {
                (*status, error_body(code, &format!("scripted {code}")), None)
            }
            Self::Message(status, code, message) => (*status, error_body(code, message), None),
            Self::Region(status, region) => {
                let code = "PermanentRedirect";
                (*status, error_body(code, "scripted"), Some(*region))
            }
            Self::Html(status) => (
                *status,
                "<html><body><h1>Bad Gateway</h1></body></html>".to_owned(),
                None,
            ),
            Self::BadError(status, body) => {
                let mut response = Response::new(FaultyBody::whole(body.body()));
                *response.status_mut() = StatusCode::from_u16(*status).unwrap();
                return Some(response);
            }
            _ => return None,
        };
        let mut response = Response::new(FaultyBody::whole(s3s::Body::from(body)));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
            .headers_mut()
            .insert("x-amz-request-id", HeaderValue::from_static("REQUEST-ID"));
        if let Self::StatusWith(_, _, name, value) = self {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(region) = region {
            response
                .headers_mut()
                .insert("x-amz-bucket-region", HeaderValue::from_static(region));
        }
        Some(response)
    }

    /// Changes a good answer.
    pub async fn spoil(&self, mut response: Response<s3s::Body>) -> Response<s3s::Body> {
        match self {
            Self::Header(name, value) => {
                response
                    .headers_mut()
                    .insert(*name, HeaderValue::from_static(value));
            }
            Self::As(status) => *response.status_mut() = StatusCode::from_u16(*status).unwrap(),
            Self::Edit(edit) => {
                use http_body_util::BodyExt;
                let (mut head, body) = response.into_parts();
                let text = body.collect().await.unwrap().to_bytes();
                let text = edit(std::str::from_utf8(&text).unwrap());
                head.headers.remove("content-length");
                return Response::from_parts(head, s3s::Body::from(text));
            }
            Self::Partial(status, range) => {
                use http_body_util::BodyExt;
                let (mut head, body) = response.into_parts();
                let whole = body.collect().await.unwrap().to_bytes();
                head.status = StatusCode::from_u16(*status).unwrap();
                let content_range =
                    format!("bytes {}-{}/{}", range.start, range.end - 1, whole.len());
                head.headers
                    .insert("content-range", content_range.parse().unwrap());
                head.headers.insert("content-length", range.len().into());
                return Response::from_parts(head, s3s::Body::from(whole.slice(range.clone())));
            }
            _ => {}
        }
        response
    }
}

fn error_body(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
}

/// A body that goes wrong as its fault says.
pub struct FaultyBody {
    inner: s3s::Body,
    fault: Option<Fault>,
    n_sent: u64,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Before it is cut.
    is_flushed: bool,
    /// Of all requests for the key.
    flow: Arc<Flow>,
    /// How many there are in all, if that is known.
    length: Option<u64>,
    /// Something to drop when the body is done with, which it is before its last byte can have been read.
    guard: Option<Box<dyn Send + Sync>>,
}

impl FaultyBody {
    pub fn whole(inner: s3s::Body) -> Self {
        Self::new(inner, None, None)
    }

    pub fn new(
        inner: s3s::Body,
        fault: Option<Fault>,
        guard: Option<Box<dyn Send + Sync>>,
    ) -> Self {
        Self {
            inner,
            fault,
            n_sent: 0,
            pause: None,
            is_flushed: false,
            flow: Arc::default(),
            length: None,
            guard,
        }
    }

    pub fn counted(mut self, flow: Arc<Flow>, length: Option<u64>) -> Self {
        (self.flow, self.length) = (flow, length);
        self
    }

    pub fn guarded(self, guard: Box<dyn Send + Sync>) -> Self {
        Self::new(self.inner, self.fault, Some(guard))
    }
}

impl FaultyBody {
    fn must_wait(&self) -> bool {
        let is_held = match &self.fault {
            Some(Fault::Hold(limit, gate)) => self.n_sent >= *limit && !gate.is_open(),
            _ => false,
        };
        is_held || self.flow.n_sent.load(SeqCst) >= self.flow.dam.load(SeqCst)
    }

    /// A byte of nothing, each `interval`, for as long as it is wanted.
    fn trickle(
        &mut self,
        interval: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        ready!(pause.as_mut().poll(context));
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

impl Body for FaultyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.fault {
            Some(Fault::Cut(limit)) if self.n_sent >= limit => {
                // What came before goes out first: a connection that breaks without an answer is another fault.
                if !std::mem::replace(&mut self.is_flushed, true) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err("scripted cut".into())));
            }
            Some(Fault::Stall(limit)) if self.n_sent >= limit => return Poll::Pending,
            _ => {}
        }
        while self.must_wait() {
            let pause = self
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(2))));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if let Some(Fault::Trickle(interval)) = self.fault {
            return self.trickle(interval, context);
        }
        if let Some(Fault::Slow(pause)) = self.fault {
            let pause = self
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let Ok(mut data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        let start = self.n_sent;
        match self.fault {
            Some(Fault::Cut(limit) | Fault::Stall(limit)) => {
                data.truncate(usize::try_from(limit - start).unwrap());
            }
            Some(Fault::Flip(offset)) if (start..start + data.len() as u64).contains(&offset) => {
                let mut flipped = data.to_vec();
                flipped[usize::try_from(offset - start).unwrap()] ^= 1;
                data = flipped.into();
            }
            _ => {}
        }
        self.n_sent += data.len() as u64;
        self.flow.n_sent.fetch_add(data.len() as u64, SeqCst);
        if self.length == Some(self.n_sent) {
            self.guard = None;
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.fault.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
