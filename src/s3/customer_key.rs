//! The key of objects that are encrypted with keys of the customer's own (SSE-C). It is sent with each request for an
//! object, over TLS only, and never shown.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64_simd::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest, Md5};

pub(super) const ALGORITHM_HEADER: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
pub(super) const KEY_HEADER: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-key");
pub(super) const MD5_HEADER: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5");

/// The only algorithm (S3 API reference, "GetObject").
pub(super) const ALGORITHM: &str = "AES256";

/// Bytes of a key.
const LENGTH: usize = 32;
/// More bytes than a file with a key has, in any of its forms.
const MAX_FILE: u64 = 1024;

/// A key of 256 bits.
#[derive(Clone)]
pub struct CustomerKey {
    /// In base64.
    key: HeaderValue,
    /// The MD5 of the key's bytes, in base64, by which the server notices a key that was damaged on its way.
    md5: HeaderValue,
}

/// Why a file holds no key that can be used. Its content is never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum CustomerKeyError {
    #[error("cannot read the customer key `{}`: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "`{}` holds no customer key: it must be 32 bytes, as they are, in base64 or in hex",
        .0.display()
    )]
    NotAKey(PathBuf),
    /// The path is not shown: it is most likely the key.
    #[error(
        "the value is itself a customer key: put it into a file that nobody else can read, and name the file"
    )]
    KeyAsPath,
}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerKey")
    }
}

impl CustomerKey {
    /// Reads the key in the file at `path`: 32 bytes as they are, or their base64 or hex, perhaps with a line end.
    ///
    /// # Errors
    /// When there is no such file, or no key in it.
    pub fn read(path: &Path) -> Result<Self, CustomerKeyError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        if let Err(source) = read {
            let text = path.as_os_str().as_encoded_bytes();
            if text.len() > LENGTH && Self::parse(text).is_some() {
                return Err(CustomerKeyError::KeyAsPath);
            }
            let path = path.to_owned();
            return Err(CustomerKeyError::Unreadable { path, source });
        }
        Self::parse(&bytes).ok_or_else(|| CustomerKeyError::NotAKey(path.to_owned()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() == LENGTH {
            return Self::of(bytes);
        }
        let text = bytes.trim_ascii();
        let decoded = match text.len() {
            n if n == 2 * LENGTH => from_hex(text),
            _ => STANDARD.decode_to_vec(text).ok(),
        }?;
        Self::of(&decoded).filter(|_| decoded.len() == LENGTH)
    }

    fn of(key: &[u8]) -> Option<Self> {
        let header = |bytes: &[u8]| HeaderValue::try_from(STANDARD.encode_to_string(bytes)).ok();
        let (mut encoded, mut md5) = (header(key)?, header(&Md5::digest(key))?);
        encoded.set_sensitive(true);
        md5.set_sensitive(true);
        Some(Self { key: encoded, md5 })
    }

    /// Adds the headers that a request for an object has.
    pub(super) fn insert_into(&self, headers: &mut HeaderMap) {
        headers.insert(ALGORITHM_HEADER, HeaderValue::from_static(ALGORITHM));
        headers.insert(KEY_HEADER, self.key.clone());
        headers.insert(MD5_HEADER, self.md5.clone());
    }

    /// The key in base64.
    pub(super) fn base64(&self) -> &str {
        self.key.to_str().unwrap_or_default()
    }

    /// The MD5 of the key in base64.
    pub(super) fn md5(&self) -> &str {
        self.md5.to_str().unwrap_or_default()
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, _) = text.as_chunks::<2>();
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? * 16 + digit(low)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8; LENGTH] = b"0123456789abcdefghijklmnopqrstuv";
    const BASE64: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
    /// As `openssl md5 -binary | base64` says.
    const MD5: &str = "qkvGcbTBx6OOKYAPUO9jRg==";
    const HEX: &str = "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576";

    fn read(content: &[u8]) -> Result<CustomerKey, CustomerKeyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, content).unwrap();
        CustomerKey::read(&path)
    }

    #[test]
    fn a_key_is_read_as_it_is_or_in_base64_or_hex() {
        for content in [
            RAW.to_vec(),
            BASE64.into(),
            format!("{BASE64}\n").into(),
            HEX.into(),
            format!("{}\r\n", HEX.to_uppercase()).into(),
        ] {
            let key = read(&content).unwrap();
            assert_eq!(key.base64(), BASE64);
            assert_eq!(key.md5(), MD5);
        }
        // 32 bytes are the key, whatever they look like.
        let blank = read(&[b'\n'; LENGTH]).unwrap();
        assert_eq!(blank.base64(), STANDARD.encode_to_string([b'\n'; LENGTH]));
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_never_shown() {
        for content in [
            &b""[..],
            &RAW[..31],
            &[b'x'; 33],
            b"MDEyMzQ1Njc4OWFiY2RlZg==",
            &[b'g'; 64],
            &[b'a'; 2_000],
        ] {
            let message = read(content).unwrap_err().to_string();
            assert!(message.contains("holds no customer key"), "{message}");
            assert!(
                !message.contains("MDEy") && !message.contains("gggg"),
                "{message}"
            );
        }
        for typed in [BASE64, HEX] {
            let error = CustomerKey::read(Path::new(typed)).unwrap_err();
            assert!(matches!(error, CustomerKeyError::KeyAsPath), "{error:?}");
            assert!(!format!("{error:?} {error}").contains(&typed[..8]));
        }
        let missing = CustomerKey::read(Path::new("no-such-key")).unwrap_err();
        assert!(missing.to_string().contains("`no-such-key`"), "{missing}");
        assert_eq!(format!("{:?}", read(RAW).unwrap()), "CustomerKey");
    }
}
