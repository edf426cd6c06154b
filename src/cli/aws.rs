//! The options that the AWS CLI has too: where the bucket is, and who asks.

use std::path::PathBuf;

use clap::Args;

use crate::options::AddressingStyle;

/// The heading of `--help`.
const AWS: &str = "AWS";

#[derive(Debug, Args)]
pub struct Aws {
    /// Region of the bucket
    ///
    /// It is detected automatically if omitted or wrong.
    #[arg(long, value_name = "REGION", help_heading = AWS)]
    pub region: Option<String>,

    /// Profile in the AWS configuration files
    #[arg(long, value_name = "NAME", help_heading = AWS)]
    pub profile: Option<String>,

    /// URL of an S3-compatible server
    ///
    /// An example is `http://127.0.0.1:9000`. For a server that accepts only presigned URLs, set S3PULL_SIGNER to
    /// `presigned`.
    #[arg(long, value_name = "URL", help_heading = AWS)]
    pub endpoint_url: Option<String>,

    /// Send unsigned requests, for public buckets
    ///
    /// Credentials are not needed.
    #[arg(long, help_heading = AWS)]
    pub no_sign_request: bool,

    /// Agree to pay for a requester-pays bucket
    ///
    /// You pay for the requests and for the transfer.
    #[arg(
        long,
        value_name = "PAYER",
        num_args = 0..=1,
        default_missing_value = "requester",
        value_parser = ["requester"],
        hide_short_help = true,
        help_heading = AWS
    )]
    pub request_payer: Option<String>,

    /// File with the key of objects encrypted with SSE-C
    ///
    /// It holds 32 bytes, as they are, in base64 or in hex. The key is sent with each request for an object, by https
    /// only, and never for lists.
    #[arg(
        long,
        value_name = "FILE",
        env = "S3PULL_SSE_C_KEY",
        hide_short_help = true,
        help_heading = AWS
    )]
    pub sse_c_key: Option<PathBuf>,

    /// PEM file of the certificate authorities to trust
    ///
    /// They replace the authorities of the system.
    #[arg(
        long,
        value_name = "FILE",
        env = "AWS_CA_BUNDLE",
        hide_short_help = true,
        help_heading = AWS
    )]
    pub ca_bundle: Option<PathBuf>,

    /// Do not verify the certificates of servers
    ///
    /// Anyone on the network path can then read and change the objects. For a server with a self-signed certificate,
    /// `--ca-bundle` with that certificate is safe.
    #[arg(long, hide_short_help = true, help_heading = AWS)]
    pub no_verify_ssl: bool,

    /// Where URLs contain the bucket name
    ///
    /// It is either in the path or in front of the host.
    #[arg(
        long,
        value_name = "STYLE",
        value_enum,
        default_value_t,
        hide_short_help = true,
        help_heading = AWS
    )]
    pub addressing_style: AddressingStyle,
}
