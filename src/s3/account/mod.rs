//! Reads the AWS configuration: credentials, profile, region and endpoint.

pub(super) mod credentials;
pub(super) mod endpoint;
pub(super) mod profile;
pub(super) mod region;
