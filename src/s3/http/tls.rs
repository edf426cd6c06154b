//! Decides which servers are trusted: by the system's certificate authorities or by a CA bundle.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Which servers to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    System,
    /// The certificates of a PEM file, in place of the system's.
    Bundle(PathBuf),
    /// Every server (`--no-verify-ssl`).
    Everyone,
}

/// Why the certificates to trust cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("cannot read the CA bundle `{path}`: {source}")]
    Bundle {
        path: String,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the CA bundle `{0}` holds no certificate")]
    EmptyBundle(String),
    #[error("cannot read the certificate authorities that {variable} names, `{path}`: {source}")]
    Variable {
        variable: &'static str,
        path: String,
        source: std::io::Error,
    },
}

/// The configuration of all TLS connections. The system's authorities are loaded with the first connection that needs
/// them: plain HTTP needs none.
#[derive(Debug, Clone)]
pub(crate) struct Tls(Arc<OnceLock<Arc<ClientConfig>>>);

impl Tls {
    /// # Errors
    /// [`TrustError`] when a bundle cannot be read.
    pub(crate) fn new(trust: &Trust) -> Result<Self, TrustError> {
        let config = match trust {
            Trust::System => return Ok(Self(Arc::default())),
            Trust::Bundle(path) => trusting_bundle(path)?,
            Trust::Everyone => with_verifier(Arc::new(Anyone {
                provider: provider(),
            })),
        };
        Ok(Self(Arc::new(OnceLock::from(Arc::new(config)))))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(self.0.get_or_init(|| Arc::new(trusting_system())))
    }
}

/// Checks that the files that the environment names in place of the system's authorities exist.
///
/// # Errors
/// [`TrustError::Variable`] for the first one that is not.
pub(crate) fn check_environment() -> Result<(), TrustError> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = named("SSL_CERT_FILE") {
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata());
        let found = opened.and_then(|metadata| {
            if metadata.is_dir() {
                Err(std::io::ErrorKind::IsADirectory.into())
            } else {
                Ok(())
            }
        });
        return found.map_err(|source| variable_error("SSL_CERT_FILE", &path, source));
    }
    let Some(folders) = named("SSL_CERT_DIR") else {
        return Ok(());
    };
    let mut problem = None;
    for folder in std::env::split_paths(&folders) {
        match std::fs::read_dir(&folder) {
            Ok(_) => return Ok(()),
            Err(source) => problem = problem.or(Some(source)),
        }
    }
    match problem {
        Some(source) => Err(variable_error("SSL_CERT_DIR", &folders, source)),
        None => Ok(()),
    }
}

fn variable_error(
    variable: &'static str,
    path: &std::ffi::OsStr,
    source: std::io::Error,
) -> TrustError {
    TrustError::Variable {
        variable,
        path: path.display().to_string(),
        source,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
}

fn with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// Authorities that cannot be read are ignored here; the connection to a server that needs them fails.
fn trusting_system() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn trusting_bundle(path: &Path) -> Result<ClientConfig, TrustError> {
    let shown = path.display().to_string();
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|source| TrustError::Bundle {
            path: shown.clone(),
            source,
        })?;
    let mut roots = RootCertStore::empty();
    let (n_added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    match authorities.build() {
        Ok(authorities) if n_added > 0 => Ok(with_verifier(Arc::new(Bundled {
            certificates,
            authorities,
        }))),
        _ => Err(TrustError::EmptyBundle(shown)),
    }
}

/// Trusts certificates signed by the bundle's authorities, and those in the bundle itself: `openssl req -x509` makes
/// self-signed certificates that are authorities too, which webpki refuses for a server (rustls/webpki#205).
#[derive(Debug)]
struct Bundled {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Bundled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = match self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        // Expiry is checked before these errors arise, so an expired certificate stays refused.
        let is_only_not_signed = matches!(
            &refused,
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
        );
        if !is_only_not_signed || !self.certificates.iter().any(|known| known == end_entity) {
            return Err(refused);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Trusts every server that holds the key of the certificate it presents.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
