//! Compares the requests that are sent with those that the SDK would send.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{Region, StalledStreamProtectionConfig};
use aws_sdk_s3::types::{ChecksumMode, RequestPayer};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;

use super::sigv4::Key;
use super::template::{Template, range};
use super::*;
use crate::etag::ETag;
use crate::options::AddressingStyle;
use crate::outcome::{Class, ErrorCode};
use crate::s3::account::endpoint::{Endpoint, Place, s3_config};
use crate::s3::get::{Method, Part, Purpose};

/// 2024-02-29 23:59:59 UTC.
pub(super) const NOW: u64 = 1_709_251_199;

pub(super) fn credentials() -> Credentials {
    Credentials::new(
        "AKIDEXAMPLE",
        "s/e+c r€t",
        Some("to/k+en==".into()),
        None,
        "test",
    )
}

fn sdk_config(region: &str) -> aws_types::sdk_config::Builder {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

pub(super) fn whole(key: &str) -> GetRequest<'_> {
    GetRequest {
        method: Method::Get,
        purpose: Purpose::Object,
        bucket: None,
        key,
        version_id: None,
        if_modified_since: None,
        part: None,
        has_failed: false,
    }
}

pub(super) fn template(authority: &'static str) -> Template {
    let endpoint = Endpoint {
        scheme: Scheme::HTTP,
        authority: Authority::from_static(authority),
        prefix: "/b/".to_owned(),
        region: "eu-west-1".to_owned(),
        service: "s3".to_owned(),
    };
    Template::new(&endpoint, true)
}

/// Keeps the request that the SDK would send.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Option<Request<()>>>>);

impl HttpClient for Capture {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Capture {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = request.try_into_http1x().unwrap().map(|_| ());
        *self.0.lock().unwrap() = Some(request);
        HttpConnectorFuture::ready(Err(ConnectorError::io("captured".into())))
    }
}

async fn sdk_request(config: &SdkConfig, place: &Place<'_>, get: &GetRequest<'_>) -> Request<()> {
    let capture = Capture::default();
    let config = s3_config(config, place)
        .credentials_provider(credentials())
        .http_client(capture.clone())
        .build();
    let part = get.part.as_ref();
    let since = get.if_modified_since.map(aws_smithy_types::DateTime::from);
    aws_sdk_s3::Client::from_conf(config)
        .get_object()
        .bucket(place.bucket)
        .key(get.key)
        .checksum_mode(ChecksumMode::Enabled)
        .request_payer(RequestPayer::Requester)
        .set_version_id(get.version_id.map(str::to_owned))
        .set_range(part.map(|part| range(part.range.start, part.range.end)))
        .set_if_match(part.map(|part| part.etag.to_string()))
        .set_if_modified_since(since)
        .send()
        .await
        .unwrap_err();
    capture
        .0
        .lock()
        .unwrap()
        .take()
        .expect("a request was made")
}

async fn our_request(
    config: &SdkConfig,
    place: &Place<'_>,
    get: &GetRequest<'_>,
) -> Request<Full<Bytes>> {
    let endpoint = Endpoint::find(config, place).await.unwrap();
    let key = Key::new(&credentials(), &endpoint.region, &endpoint.service).unwrap();
    let signer = Signer::SigV4(Template::new(&endpoint, true), key);
    signer.request(get, NOW).await.unwrap()
}

/// The signature's scope without its date, and the names of the signed headers except those about the SDK itself.
fn scope_and_signed(headers: &HeaderMap) -> (String, Vec<String>) {
    let authorization = headers["authorization"].to_str().unwrap();
    let field = |name: &str| {
        let rest = authorization.split_once(name).unwrap().1;
        rest.split(',').next().unwrap().to_owned()
    };
    let scope = field("Credential=")
        .split('/')
        .skip(2)
        .collect::<Vec<_>>()
        .join("/");
    let names = field("SignedHeaders=");
    let names = names.split(';').filter(|name| {
        !name.starts_with("amz-sdk-") && *name != "x-amz-user-agent" && *name != "accept-encoding"
    });
    (scope, names.map(str::to_owned).collect())
}

/// A URL without the parameter that only the SDK adds.
fn without_operation(uri: &Uri) -> String {
    let text = uri.to_string().replace("x-id=GetObject", "");
    text.replace("?&", "?")
        .trim_end_matches(['?', '&'])
        .to_owned()
}

async fn compare(config: &SdkConfig, place: &Place<'_>, get: &GetRequest<'_>) -> String {
    let ours = our_request(config, place, get).await;
    let theirs = sdk_request(config, place, get).await;
    assert_eq!(
        without_operation(ours.uri()),
        without_operation(theirs.uri()),
        "{place:?} {get:?}"
    );
    assert_eq!(
        scope_and_signed(ours.headers()),
        scope_and_signed(theirs.headers()),
        "{place:?} {get:?}"
    );
    for (name, value) in theirs.headers() {
        let is_of_conditions = matches!(name.as_str(), "range" | "if-match" | "if-modified-since");
        let is_of_object = name.as_str().starts_with("x-amz-")
            && name != "x-amz-date"
            && name != "x-amz-user-agent";
        if is_of_conditions || is_of_object {
            assert_eq!(ours.headers().get(name), Some(value), "{name}");
        }
    }
    assert!(!ours.uri().to_string().contains("x-id"));
    assert_eq!(ours.headers()["accept-encoding"], "identity");
    ours.uri().to_string()
}

const ACCESS_POINT: &str = "arn:aws:s3:eu-central-1:123456789012:accesspoint/mine";
const LAMBDA: &str = "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/mine";
const OUTPOST: &str =
    "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/mine";

/// SDK settings besides the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    Nothing,
    Fips,
    DualStack,
}

use AddressingStyle::{Auto, Path, Virtual};
use Extra::{DualStack, Fips, Nothing};

/// SDK settings, bucket, region, endpoint URL, style, and the resulting URL of the key `k`.
type Case = (
    Extra,
    &'static str,
    &'static str,
    Option<&'static str>,
    AddressingStyle,
    &'static str,
);

#[rustfmt::skip]
const PLACES: [Case; 15] = [
    (Nothing, "b-1", "eu-west-1", None, Auto, "https://b-1.s3.eu-west-1.amazonaws.com/k"),
    (Nothing, "b-1", "eu-west-1", None, Path, "https://s3.eu-west-1.amazonaws.com/b-1/k"),
    (Nothing, "b.with.dots", "eu-west-1", None, Auto, "https://s3.eu-west-1.amazonaws.com/b.with.dots/k"),
    (Nothing, "Under_Score", "us-east-1", None, Auto, "https://s3.us-east-1.amazonaws.com/Under_Score/k"),
    (Fips, "b-1", "us-gov-west-1", None, Auto, "https://b-1.s3-fips.us-gov-west-1.amazonaws.com/k"),
    (DualStack, "b-1", "eu-west-1", None, Auto, "https://b-1.s3.dualstack.eu-west-1.amazonaws.com/k"),
    (Nothing, "b-1", "cn-north-1", None, Auto, "https://b-1.s3.cn-north-1.amazonaws.com.cn/k"),
    (Nothing, ACCESS_POINT, "eu-west-1", None, Auto, "https://mine-123456789012.s3-accesspoint.eu-central-1.amazonaws.com/k"),
    (Nothing, LAMBDA, "eu-west-1", None, Auto, "https://mine-123456789012.s3-object-lambda.eu-west-1.amazonaws.com/k"),
    (Nothing, OUTPOST, "us-west-2", None, Auto, "https://mine-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com/k"),
    (Nothing, "b", "garage", Some("http://127.0.0.1:9000/"), Auto, "http://127.0.0.1:9000/b/k"),
    (Nothing, "b-1", "eu-west-1", Some("http://s3.example:80/"), Virtual, "http://b-1.s3.example/k"),
    (Nothing, "b", "eu-west-1", Some("https://example.com/store/s3/"), Auto, "https://example.com/store/s3/b/k"),
    (Nothing, "b", "eu-west-1", Some("http://[::1]:9000/"), Auto, "http://[::1]:9000/b/k"),
    (Nothing, "b-1", "eu-west-1", Some("https://s3.eu-west-1.amazonaws.com/"), Auto, "https://b-1.s3.eu-west-1.amazonaws.com/k"),
];

#[tokio::test]
async fn hosts_and_paths_are_the_sdk_s() {
    for (extra, bucket, region, url, style, expected) in PLACES {
        let config = sdk_config(region)
            .use_fips(extra == Fips)
            .use_dual_stack(extra == DualStack)
            .build();
        let place = Place {
            bucket,
            region,
            url,
            style,
        };
        let made = compare(&config, &place, &whole("k")).await;
        assert_eq!(made.replace(":80/", "/"), expected);
    }
}

#[tokio::test]
async fn keys_versions_and_conditions_are_written_as_the_sdk_does() {
    let config = sdk_config("us-east-1").build();
    let place = Place {
        bucket: "b",
        region: "us-east-1",
        url: Some("http://localhost:9000/"),
        style: AddressingStyle::Path,
    };
    let ascii: String = (1..=127_u8).map(char::from).collect();
    let long = "é/".repeat(341);
    for key in [
        "a b", "a//b", "/a", "a/", ".", "..", "a/../b", "./a", "a+b", "a%2Fb", "%", "?x=y", "#",
        "ü", "日本", "a&b=c", "'\"", &ascii, &long,
    ] {
        compare(&config, &place, &whole(key)).await;
    }
    // The SDK treats this key as unset.
    let blank = our_request(&config, &place, &whole(" ")).await;
    assert_eq!(blank.uri().path(), "/b/%20");
    let get = GetRequest {
        method: Method::Get,
        purpose: Purpose::Object,
        bucket: None,
        key: "k",
        version_id: Some("3/L4+kqtJ lcpXroDTDmJ=&"),
        if_modified_since: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
        part: Some(Part {
            range: 5..10,
            etag: &ETag::of_header("\"a  b\""),
            size: 20,
            last_modified: None,
        }),
        has_failed: false,
    };
    compare(&config, &place, &get).await;
    let headers = our_request(&config, &place, &get)
        .await
        .into_parts()
        .0
        .headers;
    assert_eq!(headers["range"], "bytes=5-9");
    assert_eq!(
        headers["if-modified-since"],
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
}

#[test]
fn a_key_that_no_url_can_hold_fails_alone() {
    let error = template("localhost")
        .request(&whole(&"k".repeat(70_000)))
        .unwrap_err();
    assert_eq!(
        (error.class, error.code),
        (Class::Permanent, ErrorCode::InvalidKey)
    );
}
