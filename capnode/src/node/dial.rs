//! Opening streams to an address.

use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(all(feature = "ws", not(feature = "tls")))]
use super::NEEDS_TLS;
use super::kind_of;
#[cfg(feature = "ws")]
use super::{HANDSHAKE, late_handshake};
use crate::error::{Error, ErrorKind};
use crate::remote::Remote;
use crate::transport::Address;
use crate::transport::address::{Io, dial};

/// A way to open streams to one address.
pub(super) struct Dial {
    pub(super) url: String,
    pub(super) address: Address,
    /// `true` to connect to none but public addresses.
    pub(super) public: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
}

impl Dial {
    /// Opens a stream, and does the handshake of TLS if the address needs one. Returns the stream and the party that it
    /// leads to.
    pub(super) async fn open(&self) -> Result<(Box<dyn Io>, Remote), Error> {
        let dialed = crate::runtime::with_io(dial(&self.address, self.public)).await;
        let (stream, remote) = dialed.map_err(|cause| self.error(kind_of(cause.kind()), &cause))?;
        match &self.address {
            #[cfg(feature = "ws")]
            Address::Ws { tls: true, host, .. } | Address::Http { tls: true, host, .. } => {
                let secured = crate::runtime::timeout(HANDSHAKE, self.secure(stream, host)).await;
                Ok((secured.map_err(|_| self.late())??, remote))
            }
            _ => Ok((stream, remote)),
        }
    }

    /// Returns the error of a failed attempt.
    pub(super) fn error(&self, kind: ErrorKind, cause: &dyn fmt::Display) -> Error {
        // The cause is in the message, so it is not the source as well.
        Error::new(kind, format!("cannot connect to {}: {cause}", self.url))
            .with_public_message("cannot connect")
    }

    #[cfg(feature = "ws")]
    pub(super) fn late(&self) -> Error {
        self.error(ErrorKind::Connect, &late_handshake())
    }

    /// Does the handshake of TLS.
    #[cfg(feature = "tls")]
    async fn secure(&self, stream: Box<dyn Io>, host: &str) -> Result<Box<dyn Io>, Error> {
        use tokio_rustls::rustls::pki_types::ServerName;

        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Connect, format!("cannot set up TLS with {host}: {error}"))
                .with_public_message("cannot set up TLS")
        };
        let server = ServerName::try_from(name.to_owned()).map_err(|error| failed(error.into()))?;
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => trust_the_web().map_err(|error| failed(error.into()))?,
        };
        let stream = tokio_rustls::TlsConnector::from(config).connect(server, stream).await;
        Ok(Box::new(stream.map_err(|error| failed(error.into()))?))
    }

    #[cfg(all(feature = "ws", not(feature = "tls")))]
    async fn secure(&self, _: Box<dyn Io>, _: &str) -> Result<Box<dyn Io>, Error> {
        Err(Error::new(ErrorKind::Unsupported, NEEDS_TLS))
    }
}

#[cfg(feature = "http")]
impl Dial {
    /// Returns the host and port of the address.
    pub(super) fn host(&self) -> &str {
        match &self.address {
            Address::Http { host, .. } => host,
            _ => "",
        }
    }

    /// Returns the path and query of the address.
    pub(super) fn path(&self) -> &str {
        match &self.address {
            Address::Http { path, .. } => path,
            _ => "/",
        }
    }

    /// Returns the error of an attempt that failed for another reason than the network.
    pub(super) fn failed(&self, cause: &dyn fmt::Display) -> Error {
        self.error(ErrorKind::Connect, cause)
    }
}

/// Trusts the usual authorities of the web, and shows no certificate.
#[cfg(feature = "tls")]
fn trust_the_web() -> Result<Arc<tokio_rustls::rustls::ClientConfig>, tokio_rustls::rustls::Error> {
    use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    // The provider is chosen here, since rustls panics if it has two to choose from: another library of the same
    // program may have brought the other.
    let provider =
        CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
