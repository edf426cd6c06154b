//! Reads the AWS configuration: credentials, profile, region and endpoint.

pub mod credentials;
pub mod endpoint;
pub mod profile;
pub mod region;
