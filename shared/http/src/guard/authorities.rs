//! Who may vouch for a server, besides those whom the system trusts.

use std::fmt;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

/// Certificate authorities of the operator's own. None, unless there is need.
#[derive(Clone, Default)]
pub struct Authorities(Vec<Authority>);

/// One certificate: as our requests need it, and as every other protocol does.
#[derive(Clone)]
struct Authority {
    of_requests: Certificate,
    der: CertificateDer<'static>,
}

/// A bundle that is of no use. Says which certificate is wrong, and nothing that is in it.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthorities {
    /// Not PEM, or only the beginning of it.
    #[error("certificate {number} is not in PEM")]
    Pem {
        /// From 1.
        number: usize,
        /// The refusal.
        #[source]
        source: pem::Error,
    },
    /// PEM, but not of a certificate of X.509.
    #[error("certificate {number} is malformed")]
    Certificate {
        /// From 1.
        number: usize,
        /// The refusal.
        #[source]
        source: rustls::Error,
    },
    /// PEM or not, but without a certificate.
    #[error("there is no certificate in it")]
    Empty,
}

impl Authorities {
    /// The certificates of a bundle in PEM; what else is in it is passed over.
    ///
    /// # Errors
    /// When there are none, or one of them cannot be an authority's.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, InvalidAuthorities> {
        let certificates = CertificateDer::pem_slice_iter(bundle)
            .zip(1..)
            .map(|(certificate, number)| {
                let certificate =
                    certificate.map_err(|source| InvalidAuthorities::Pem { number, source })?;
                authority(certificate)
                    .map_err(|source| InvalidAuthorities::Certificate { number, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(InvalidAuthorities::Empty);
        }
        Ok(Self(certificates))
    }

    /// Whether only the system is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.0.iter().map(|authority| authority.of_requests.clone())
    }

    /// The same, in DER.
    pub(super) fn ders(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        self.0.iter().map(|authority| authority.der.clone())
    }
}

/// Reads it here, where its number is known: the client would refuse all of them together.
fn authority(der: CertificateDer<'static>) -> Result<Authority, rustls::Error> {
    RootCertStore::empty().add(der.clone())?;
    let malformed = |error: reqwest::Error| rustls::Error::General(error.to_string());
    let of_requests = Certificate::from_der(&der).map_err(malformed)?;
    Ok(Authority { of_requests, der })
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("count", &self.0.len()).finish()
    }
}
