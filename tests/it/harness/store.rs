//! The objects of the test server: in memory, with what S3 returns beside an object's bytes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use s3s::dto::{
    ChecksumType, ETag, ETagCondition, EncodingType, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    ServerSideEncryption, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What requests for a page of a listing are logged and scripted under, in place of a key.
pub const LISTING: &str = "";
pub const BUCKET: &str = "bucket";
pub const ACCESS_KEY: &str = "AKIDTEST";
pub const SECRET_KEY: &str = "secret";

/// An object, and what the server says of it.
#[derive(Debug, Clone)]
pub struct Object {
    pub body: Bytes,
    pub last_modified: SystemTime,
    /// The algorithms whose checksums are returned, by their header's last word.
    pub checksums: Vec<&'static str>,
    /// Returned as `x-amz-checksum-type`.
    pub checksum_type: Option<&'static str>,
    /// In place of the right values.
    pub wrong_checksum: Option<String>,
    /// Replaces one that depends on the body and is not an MD5.
    pub etag: Option<String>,
    /// `aws:kms`, for example.
    pub encryption: Option<&'static str>,
    pub version_id: Option<String>,
}

/// What this server does otherwise than S3.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a quirk that a server has or not"
)]
pub struct Quirks {
    pub ignores_if_match: bool,
    /// Sends the whole object whatever range is asked for.
    pub ignores_range: bool,
    pub ignores_if_modified_since: bool,
    /// Keys per page of a listing; 0 stands for S3's thousand.
    pub page_size: usize,
    /// Keys are listed as they are, whatever was asked for.
    pub lists_plain_keys: bool,
    /// Does not say of what time an object is that is not newer.
    pub is_silent_about_time: bool,
}

impl Object {
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000),
            checksums: vec!["crc64nvme"],
            checksum_type: Some("FULL_OBJECT"),
            wrong_checksum: None,
            etag: None,
            encryption: None,
            version_id: None,
        }
    }

    /// As an object whose uploader chose these algorithms.
    pub fn with_checksums(mut self, checksums: &[&'static str]) -> Self {
        self.checksums = checksums.to_vec();
        self
    }

    /// Claims the checksum of another object.
    pub fn wrong_checksum(mut self, other: &Self) -> Self {
        self.wrong_checksum = other
            .clone()
            .with_checksums(&self.checksums)
            .checksum(self.checksums[0]);
        self
    }

    fn checksum(&self, algorithm: &'static str) -> Option<String> {
        if !self.checksums.contains(&algorithm) {
            return None;
        }
        if let Some(wrong) = &self.wrong_checksum {
            return Some(wrong.clone());
        }
        let crc = |algorithm| crc_fast::checksum(algorithm, &self.body).to_be_bytes();
        let value = match algorithm {
            "crc64nvme" => crc(CrcAlgorithm::Crc64Nvme).to_vec(),
            "crc32c" => crc(CrcAlgorithm::Crc32Iscsi)[4..].to_vec(),
            "crc32" => crc(CrcAlgorithm::Crc32IsoHdlc)[4..].to_vec(),
            "sha1" => Sha1::digest(&self.body).to_vec(),
            "sha256" => Sha256::digest(&self.body).to_vec(),
            _ => panic!("no such algorithm: {algorithm}"),
        };
        Some(base64_simd::STANDARD.encode_to_string(value))
    }

    pub fn etag(&self) -> String {
        self.etag
            .clone()
            .unwrap_or_else(|| format!("{:016x}-2", crc_fast::crc64_nvme(&self.body)))
    }
}

/// `length` bytes that depend on `seed` and on their offset, so that neither a shifted nor a swapped part can pass: a block of
/// which no two words are the same, again and again, with the number of each kibibyte at its start.
pub fn pattern(seed: &str, length: usize) -> Vec<u8> {
    const BLOCK: usize = 64 * 1024;
    let seed = crc_fast::crc64_nvme(seed.as_bytes());
    let word = |n: u64| (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let first = length.min(BLOCK);
    let mut bytes: Vec<_> = (0..).flat_map(word).take(first).collect();
    bytes.reserve_exact(length - first);
    while bytes.len() < length {
        bytes.extend_from_within(..first.min(length - bytes.len()));
    }
    for (n, kibibyte) in (0..).zip(bytes.chunks_exact_mut(1024)) {
        kibibyte[..8].copy_from_slice(&word(!n));
    }
    bytes
}

/// What a version of `key` is stored under; one that is not there is the key's only object.
pub fn version_of(key: &str, version_id: &str) -> String {
    format!("{key}?versionId={version_id}")
}

/// What an object of another bucket than [`BUCKET`] is stored under. There is such a bucket if it has an object.
pub fn of_bucket(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

#[derive(Default)]
pub struct Store {
    pub objects: Mutex<HashMap<String, Object>>,
    pub quirks: Mutex<Quirks>,
}

impl Store {
    /// What the objects of a bucket are stored under before their key.
    fn bucket(&self, name: &str) -> S3Result<String> {
        if name == BUCKET {
            return Ok(String::new());
        }
        let stored = of_bucket(name, "");
        let objects = self.objects.lock().unwrap();
        if objects.keys().any(|key| key.starts_with(&stored)) {
            return Ok(stored);
        }
        Err(s3_error!(
            NoSuchBucket,
            "The specified bucket does not exist"
        ))
    }

    /// The keys of a page that are past `after`, in order, and whether there are more.
    fn page(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> (Vec<(String, Object)>, bool) {
        let objects = self.objects.lock().unwrap();
        let mut keys: Vec<_> = objects
            .keys()
            .filter_map(|key| key.strip_prefix(bucket))
            .filter(|key| key.starts_with(prefix) && !key.contains("?versionId="))
            .filter(|key| !bucket.is_empty() || !key.starts_with("s3://"))
            .filter(|key| after.is_none_or(|after| *key > after))
            .collect();
        keys.sort_unstable();
        let page_size = match self.quirks.lock().unwrap().page_size {
            0 => 1_000,
            size => size,
        };
        let page = keys.iter().take(page_size);
        let page = page.map(|key| {
            (
                (*key).to_owned(),
                objects[&format!("{bucket}{key}")].clone(),
            )
        });
        (page.collect(), keys.len() > page_size)
    }
}

#[async_trait::async_trait]
impl S3 for &'static Store {
    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &request.input;
        let get = GetObjectInput {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            version_id: input.version_id.clone(),
            checksum_mode: input.checksum_mode.clone(),
            ..GetObjectInput::default()
        };
        let got = self.get_object(request.map_input(|_| get)).await?.output;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: got.content_length,
            e_tag: got.e_tag,
            version_id: got.version_id,
            last_modified: got.last_modified,
            checksum_crc64nvme: got.checksum_crc64nvme,
            checksum_crc32c: got.checksum_crc32c,
            checksum_crc32: got.checksum_crc32,
            checksum_sha1: got.checksum_sha1,
            checksum_sha256: got.checksum_sha256,
            checksum_type: got.checksum_type,
            server_side_encryption: got.server_side_encryption,
            ..HeadObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let after = input
            .continuation_token
            .as_ref()
            .map(|token| token.strip_prefix("after ").unwrap());
        let (page, is_truncated) = self.page(&bucket, &prefix, after);
        let is_encoded = input
            .encoding_type
            .is_some_and(|encoding| encoding.as_str() == "url")
            && !self.quirks.lock().unwrap().lists_plain_keys;
        let shown = |key: &str| {
            if !is_encoded {
                return key.to_owned();
            }
            // As S3 does: a blank is a plus, and a slash stays.
            let encoded =
                percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
            encoded.to_string().replace("%20", "+").replace("%2F", "/")
        };
        let last = page.last().map(|(key, _)| format!("after {key}"));
        let contents = page.iter().map(|(key, object)| s3s::dto::Object {
            key: Some(shown(key)),
            size: Some(object.body.len().try_into().unwrap()),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(Timestamp::from(object.last_modified)),
            ..s3s::dto::Object::default()
        });
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(shown(&prefix)),
            key_count: Some(page.len().try_into().unwrap()),
            encoding_type: is_encoded.then(|| EncodingType::from_static(EncodingType::URL)),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            contents: Some(contents.collect()),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let object = {
            let objects = self.objects.lock().unwrap();
            let key = format!("{bucket}{}", input.key);
            let version = input
                .version_id
                .and_then(|id| objects.get(&version_of(&key, &id)));
            version.or_else(|| objects.get(&key)).cloned()
        };
        let object =
            object.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
        let quirks = *self.quirks.lock().unwrap();
        let etag = object.etag();
        let is_other = input
            .if_match
            .as_ref()
            .and_then(ETagCondition::as_etag)
            .is_some_and(|asked| asked.value() != etag);
        if is_other && !quirks.ignores_if_match {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        let is_old = input
            .if_modified_since
            .is_some_and(|since| Timestamp::from(object.last_modified) <= since);
        if is_old && !quirks.ignores_if_modified_since {
            let mut error = s3s::S3Error::new(s3s::S3ErrorCode::NotModified);
            error.set_status_code(http::StatusCode::NOT_MODIFIED);
            if !quirks.is_silent_about_time {
                let mut headers = http::HeaderMap::new();
                let time = Timestamp::from(object.last_modified);
                let mut text = Vec::new();
                time.format(TimestampFormat::HttpDate, &mut text).unwrap();
                headers.insert("last-modified", text.try_into().unwrap());
                error.set_headers(headers);
            }
            return Err(error);
        }
        let size = object.body.len() as u64;
        let asked = input
            .range
            .filter(|_| !quirks.ignores_range)
            .map(|range| range.check(size));
        let asked = asked
            .transpose()
            .map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
        let content_range = asked
            .as_ref()
            .map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        let range = asked.unwrap_or(0..size);
        let body = object
            .body
            .slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        // S3 returns the whole object's checksums with whole objects only.
        let is_asked = content_range.is_none()
            && input
                .checksum_mode
                .is_some_and(|mode| mode.as_str() == "ENABLED");
        let checksum = |algorithm| {
            if is_asked {
                object.checksum(algorithm)
            } else {
                None
            }
        };
        let content_length = body.len();
        let stream = futures::stream::iter((0..body.len()).step_by(64 * 1024).map(move |start| {
            Ok::<_, std::io::Error>(body.slice(start..body.len().min(start + 64 * 1024)))
        }));
        let mut response = S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(stream)),
            content_length: Some(content_length.try_into().unwrap()),
            e_tag: Some(ETag::Strong(etag)),
            version_id: object.version_id.clone(),
            last_modified: Some(Timestamp::from(object.last_modified)),
            checksum_crc64nvme: checksum("crc64nvme"),
            checksum_crc32c: checksum("crc32c"),
            checksum_crc32: checksum("crc32"),
            checksum_sha1: checksum("sha1"),
            checksum_sha256: checksum("sha256"),
            checksum_type: object
                .checksum_type
                .filter(|_| is_asked)
                .map(ChecksumType::from_static),
            server_side_encryption: object.encryption.map(ServerSideEncryption::from_static),
            ..GetObjectOutput::default()
        });
        if let Some(content_range) = content_range {
            response.output.content_range = Some(content_range);
            response.status = Some(http::StatusCode::PARTIAL_CONTENT);
        }
        Ok(response)
    }
}
