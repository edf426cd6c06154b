//! What the AWS configuration says: who asks, in which region, and where.

pub mod credentials;
pub mod endpoint;
pub mod profile;
pub mod region;
