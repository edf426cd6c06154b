//! The one client. This module alone knows the SDK's types: what leaves it is [`GetResponse`] and [`GetError`].

mod body;
mod class;
mod connect;
mod connector;
mod credentials;
mod dns;
mod error;
mod get;
mod proxy;
mod region;

pub use body::Body;
pub use connect::{Client, ConnectError, ConnectOptions};
pub use error::GetError;
pub use get::{Checksum, ChecksumAlgorithm, GetRequest, GetResponse, Part};
