//! Connecting to what a signed reference names, which may come from a stranger.

use std::future::Future;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Node;
use crate::cap::Cap;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::interface::client::Client;
use crate::signed::{Link, PublicKey, Signer, Verifier};
use crate::sturdy::{GatekeeperClient, Signed, Sturdy};
use crate::transport::Address;

/// Says what a program connects to for a signed reference or a sturdy text. Who made that may have been a stranger, and has named the
/// addresses.
///
/// By default it connects only to public addresses, by `wss://`, to the host of the target, whose certificate has to be
/// trusted. Whoever answers has to reach the owner: a program in between can pass the owner's nonce on, and then has what
/// is signed. Only `wss://` to the host of the target keeps it out.
#[derive(Clone, Debug)]
#[must_use = "`redeem` uses it"]
pub struct Reach {
    owner: Option<PublicKey>,
    private: bool,
    time: Duration,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            owner: None,
            private: false,
            time: Duration::from_secs(30),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Reach {
    /// Redeems references of this owner alone, and connects for them to any host that the owner has signed, and by `tcp://`
    /// and `ws://` as well; by `unix:` with [`private`](Self::private).
    pub fn owner(mut self, key: PublicKey) -> Self {
        self.owner = Some(key);
        self
    }

    /// Connects to addresses of private networks and of this machine as well.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Takes at most this long for all of it, instead of 30 seconds.
    pub fn time(mut self, limit: Duration) -> Self {
        self.time = limit;
        self
    }

    /// Sets the trusted certificates: see [`Connect::tls`](super::Connect::tls).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Connects to the first of the owner's addresses that can be reached and may be, and redeems the reference there.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect) and [`Signed::redeem`].
    pub async fn redeem<C: Client>(
        &self,
        signed: &Signed<C>,
        signer: &impl Signer,
        now: SystemTime,
    ) -> Result<C, Error> {
        self.in_time(async {
            let gatekeeper = self.gatekeeper(signed.link(), now).await?;
            signed.redeem(&gatekeeper, signer, now).await
        })
        .await
    }

    /// Connects to the first of the owner's addresses that can be reached and may be. Returns the gatekeeper there, which has not
    /// proved yet that it is the owner's: what [`Signed`] does with it begins with that.
    ///
    /// # Errors
    ///
    /// With [`ErrorKind::Refused`], if the owner is another or none of its addresses may be reached; with [`ErrorKind::Timeout`],
    /// if it takes too long; otherwise that of the last address.
    pub async fn connect(&self, link: &Link, now: SystemTime) -> Result<GatekeeperClient, Error> {
        self.in_time(self.gatekeeper(link, now)).await
    }

    /// Connects to the first address of a sturdy text that can be reached and may be, and redeems the text there. Such a text
    /// names no owner and no host: any `wss://` will do, and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect) and [`Sturdy::redeem`].
    pub async fn redeem_text(&self, text: &Sturdy) -> Result<Cap, Error> {
        self.in_time(async {
            let is_safe = |address: &Address| matches!(address, Address::Ws { tls: true, .. });
            Ok(text.redeem(&self.first(text.addresses(), is_safe).await?).await?)
        })
        .await
    }

    async fn in_time<T>(&self, all: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| {
            let time = self.time;
            Error::new(ErrorKind::Timeout, format!("it has taken more than {time:?}: see `Reach::time`"))
        };
        crate::runtime::timeout(self.time, all).await.map_err(late)?
    }

    async fn gatekeeper(&self, link: &Link, now: SystemTime) -> Result<GatekeeperClient, Error> {
        if let Some(owner) = self.owner {
            self.check_owner(link, owner, now)?;
        }
        self.first(link.endpoints(), |address| self.allows(link, address)).await
    }

    /// Connects to the first address that is allowed and can be reached.
    async fn first(
        &self,
        addresses: &[String],
        allows: impl Fn(&Address) -> bool,
    ) -> Result<GatekeeperClient, Error> {
        let mut last = Error::new(
            ErrorKind::Refused,
            "none of the owner's addresses may be reached: of a signed reference, `Reach::owner` allows other hosts and transports",
        );
        for url in addresses {
            if !url.parse().is_ok_and(|address| allows(&address)) {
                continue;
            }
            let connect = Node::empty().connect(url).public_only(!self.private);
            #[cfg(feature = "tls")]
            let connect = if let Some(config) = &self.tls { connect.tls(config.clone()) } else { connect };
            match connect.await {
                Ok(connection) => return Ok(Connection::index(&connection)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Checks that the owner has signed the addresses, before any of them is used.
    fn check_owner(&self, link: &Link, owner: PublicKey, now: SystemTime) -> Result<(), Error> {
        let refused = |why: String| Error::new(ErrorKind::Refused, why);
        if owner.to_string() != link.owner() {
            let named = link.owner();
            return Err(refused(format!("the reference is of {named}, and `Reach::owner` names another")));
        }
        let verifier = Verifier::new(owner, link.origin(), now);
        let checked =
            verifier.and_then(|verifier| verifier.longest(Duration::MAX).check_link(&link.to_string(), now));
        checked.map(drop).map_err(|refusal| refused(refusal.to_string()))
    }

    fn allows(&self, link: &Link, address: &Address) -> bool {
        if self.owner.is_some() {
            return match address {
                Address::Http { .. } => false,
                Address::Unix(_) => self.private,
                _ => true,
            };
        }
        let name = |host: &str| host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
        let of_target = link.origin().strip_prefix("https://");
        match address {
            Address::Ws { tls: true, host, .. } => of_target.is_some_and(|target| {
                // A target has its port only if it is not the usual one.
                target == name(host) || name(target) == name(host)
            }),
            _ => false,
        }
    }
}
