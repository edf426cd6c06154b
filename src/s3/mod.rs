//! The one client. This module alone knows the SDK's types: what leaves it is [`GetResponse`] and [`GetError`].

mod class;
mod connect;
mod connector;
mod credentials;
mod dns;
mod get;
mod proxy;
mod region;

pub use connect::{Client, ConnectError, ConnectOptions};
pub use get::{Body, Checksum, ChecksumAlgorithm, GetError, GetRequest, GetResponse, Part};
