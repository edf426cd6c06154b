//! Compares signatures with those of `aws-sigv4`.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use proptest::prelude::*;

use super::*;
use crate::etag::ETag;
use crate::s3::get::{GetRequest, Part};
use crate::s3::sign::template::Template;
use crate::s3::sign::tests::{NOW, credentials, template, whole};

/// Removes the signature from a request and has `aws-sigv4` sign it again.
fn signed_by_the_crate(mut request: Request<Full<Bytes>>, service: &str) -> Request<Full<Bytes>> {
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
    ] {
        request.headers_mut().remove(name);
    }
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.excluded_headers = Some(vec!["user-agent".into(), "accept-encoding".into()]);
    let identity = credentials().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(NOW))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let (uri, headers) = (request.uri().to_string(), request.headers().clone());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let signable = SignableRequest::new("GET", uri, headers, SignableBody::Bytes(b"")).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request
}

fn assert_signed_alike(template: &Template, service: &str, get: &GetRequest<'_>) {
    let key = Key::new(&credentials(), "eu-west-1", service).unwrap();
    let mut request = template.request(get).unwrap();
    key.sign(&mut request, NOW);
    let theirs = signed_by_the_crate(request.clone(), service);
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
    ] {
        assert_eq!(
            request.headers().get(name),
            theirs.headers().get(name),
            "{get:?}"
        );
    }
}

#[test]
fn signatures_are_those_of_the_crate() {
    let part = Part {
        range: 0..1,
        etag: &ETag::of_header("\"a   b\""),
        size: 2,
        last_modified: None,
    };
    let since = Some(UNIX_EPOCH + Duration::from_secs(1));
    for authority in [
        "localhost:9000",
        "example.com",
        "example.com:80",
        "[::1]:9000",
    ] {
        for service in ["s3", "s3-outposts"] {
            for (version_id, if_modified_since, part) in [
                (None, None, None),
                (Some("v 1"), since, None),
                (None, None, Some(part.clone())),
            ] {
                let get = GetRequest {
                    method: crate::s3::Method::Get,
                    purpose: crate::s3::Purpose::Object,
                    bucket: None,
                    key: "a b/ü/..//+%",
                    version_id,
                    if_modified_since,
                    part,
                    has_failed: false,
                };
                assert_signed_alike(&template(authority), service, &get);
            }
        }
    }
}

#[test]
fn the_headers_of_a_customer_key_are_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, [b'k'; 32]).unwrap();
    let key = crate::s3::CustomerKey::read(&path).unwrap();
    let template = template("localhost:9000").with_customer_key(Some(key));
    let request = template.request(&whole("k")).unwrap();
    assert!(!format!("{request:?}").contains("a2tr"), "{request:?}");
    assert_signed_alike(&template, "s3", &whole("k"));
    let of_list = GetRequest {
        purpose: crate::s3::Purpose::List,
        ..whole("k")
    };
    let headers = template.request(&of_list).unwrap().headers().clone();
    assert!(
        headers
            .keys()
            .all(|name| !name.as_str().contains("customer"))
    );
}

#[test]
fn the_day_s_key_follows_the_day() {
    let key = Key::new(&credentials(), "eu-west-1", "s3").unwrap();
    let authorization = |now| {
        let mut request = template("localhost:9000").request(&whole("k")).unwrap();
        key.sign(&mut request, now);
        request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let first = authorization(NOW);
    let next = authorization(NOW + 1);
    assert!(
        first.contains("/20240229/") && next.contains("/20240301/"),
        "{first}\n{next}"
    );
    assert_eq!(authorization(NOW), first);
}

proptest! {
    #[test]
    fn any_key_is_signed_alike(key in "\\PC{1,60}", version_id in proptest::option::of("[ -~]{1,20}")) {
        let get = GetRequest { version_id: version_id.as_deref(), ..whole(&key) };
        assert_signed_alike(&template("localhost:9000"), "s3", &get);
    }
}
