//! The TCP stream of a connection, with what is known about it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A TCP stream that knows whether requests on it must name the whole URL, as a proxy needs.
pub(crate) struct Stream {
    pub io: TokioIo<TcpStream>,
    pub is_proxied: bool,
    pub served: Served,
}

/// Whether a reply has arrived on a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served(Arc<AtomicBool>);

impl Served {
    /// A reply has arrived.
    pub(super) fn note(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn has_served(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = self.io.connected().proxy(self.is_proxied);
        connected.extra(self.served.clone())
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
