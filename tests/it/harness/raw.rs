//! A server of raw replies: it sends bytes as they are, whatever HTTP says about them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::command::S3pull;

/// What a request gets.
pub struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

/// What follows the bytes.
enum Then {
    /// The connection goes on.
    Next,
    Close,
    /// Nothing, and the connection stays open.
    Silence,
    /// These bytes, this often, for as long as they are taken.
    Again(&'static [u8], Duration),
}

impl Reply {
    /// `head` is the status and the headers, a line each; `Content-Length` is added.
    pub fn new(head: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut reply = Self::raw(&format!("{head}\nContent-Length: {}", body.len()), body);
        reply.then = Then::Next;
        reply
    }

    /// As it stands, but for the ends of the head's lines; then the connection is closed.
    pub fn raw(head: &str, body: impl AsRef<[u8]>) -> Self {
        let mut bytes = format!("HTTP/1.1 {}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes();
        bytes.extend_from_slice(body.as_ref());
        Self {
            bytes,
            then: Then::Close,
        }
    }

    /// Nothing but these bytes and the end of a head.
    pub fn bytes(bytes: &str) -> Self {
        Self {
            bytes: format!("{bytes}\r\n\r\n").into_bytes(),
            then: Then::Close,
        }
    }

    /// Not even a head: the connection is closed.
    pub fn nothing() -> Self {
        Self {
            bytes: Vec::new(),
            then: Then::Close,
        }
    }

    pub fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
        Self::new(&format!("{status} Error"), body)
    }

    pub fn then_silence(mut self) -> Self {
        self.then = Then::Silence;
        self
    }

    pub fn then_again(mut self, bytes: &'static [u8], interval: Duration) -> Self {
        self.then = Then::Again(bytes, interval);
        self
    }
}

/// Answers every request as a closure says; gone when dropped.
pub struct RawServer {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    /// More connections than this are closed at once.
    max_connections: Arc<AtomicUsize>,
    /// How many were.
    n_closed: Arc<AtomicUsize>,
}

type Answer = dyn FnMut(&str) -> Reply + Send;

impl RawServer {
    /// `answer` is given each request's head.
    pub fn start(answer: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(answer));
        let (log, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let server = Self {
            address,
            log: Arc::clone(&log),
            is_over: Arc::clone(&is_over),
            max_connections: Arc::new(AtomicUsize::new(usize::MAX)),
            n_closed: Arc::default(),
        };
        let n_closed = Arc::clone(&server.n_closed);
        let most = Arc::clone(&server.max_connections);
        let open = Arc::new(());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(SeqCst) {
                    break;
                }
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let Ok(stream) = stream else { continue };
                if Arc::strong_count(&open) > most.load(SeqCst) {
                    n_closed.fetch_add(1, SeqCst);
                    continue;
                }
                let open = Arc::clone(&open);
                let (most, n_closed) = (Arc::clone(&most), Arc::clone(&n_closed));
                std::thread::spawn(move || {
                    let started = Instant::now();
                    while most.load(SeqCst) < usize::MAX
                        && n_closed.load(SeqCst) == 0
                        && started.elapsed() < Duration::from_mins(1)
                    {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    // A client that goes away ends the connection.
                    let _ = serve(stream, &answer, &log);
                    drop(open);
                });
            }
        });
        server
    }

    /// Answers each request with the next of `replies`, and the last one for ever.
    pub fn scripted(replies: impl IntoIterator<Item = fn() -> Reply>) -> Self {
        let replies: Vec<_> = replies.into_iter().collect();
        let mut turn = 0;
        Self::start(move |_| {
            let reply = replies[turn.min(replies.len() - 1)];
            turn += 1;
            reply()
        })
    }

    /// More connections than `n` are closed at once. The first ones are served once one was closed, so that there is such a
    /// limit however slow the client is.
    pub fn limit_connections_to(&self, n: usize) {
        self.max_connections.store(n, SeqCst);
    }

    /// Connections that were closed at once.
    pub fn n_closed(&self) -> usize {
        self.n_closed.load(SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of the requests so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The binary, pointed at this server.
    pub fn s3pull(&self) -> S3pull {
        S3pull::new()
            .args(["--bucket", super::BUCKET])
            .args(super::signing())
            .env("AWS_ENDPOINT_URL_S3", &self.url())
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &Mutex<Answer>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        log.lock().unwrap().push(head.clone());
        let reply = (answer.lock().unwrap())(&head);
        stream.write_all(&reply.bytes)?;
        match reply.then {
            Then::Next => {}
            Then::Close => return stream.shutdown(Shutdown::Both),
            Then::Silence => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest)?;
            }
            Then::Again(bytes, interval) => loop {
                stream.write_all(bytes)?;
                std::thread::sleep(interval);
            },
        }
    }
}
