//! Sends HTTP requests: one pool of HTTP/1.1 connections for everything, with its resolver, proxies and TLS.

pub(super) mod address;
pub(super) mod dns;
pub(super) mod opening;
pub(super) mod pool;
pub(super) mod proxy;
mod proxy_url;
pub(super) mod sdk;
mod stream;
pub(super) mod tls;
