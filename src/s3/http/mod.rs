//! Sends HTTP requests: one pool of HTTP/1.1 connections for everything, with its resolver, proxies and TLS.

pub mod address;
pub mod dns;
pub mod opening;
pub mod pool;
pub mod proxy;
pub mod sdk;
pub mod tls;
