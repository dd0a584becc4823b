//! Connecting to what a signed reference names, which may come from a stranger.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::reconnect::{PROBE, Reconnecting, reconnecting};
use super::{Connect, Node};
use crate::cap::Cap;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::interface::client::Client;
use crate::runtime::{self, Instant};
use crate::signed::{Link, PublicKey, Signer, Verifier};
use crate::sturdy::reference::prove;
use crate::sturdy::{GatekeeperClient, Signed, Sturdy};
use crate::transport::Address;
use crate::transport::address::NOT_PUBLIC;

/// The key and the origins of one of which whoever answers has to prove that it is the owner. Without, none is asked for a proof.
type Proof = Option<(PublicKey, Vec<String>)>;

/// Says what a program connects to for a signed reference or a sturdy text. Who made that may have been a stranger, and has named the
/// addresses.
///
/// By default it connects only to public addresses, by `wss://`, to the host of the target, whose certificate has to be
/// trusted. Of several addresses it takes the first at which the owner has proved who it is. Whoever answers has to reach the owner: a program in between can pass the owner's nonce on, and then has what
/// is signed. Only `wss://` to the host of the target keeps it out.
#[derive(Clone, Debug)]
#[must_use = "`redeem` uses it"]
pub struct Reach {
    owner: Option<PublicKey>,
    private: bool,
    time: Duration,
    /// `true` to find out by itself that a peer is gone.
    probes: bool,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            owner: None,
            private: false,
            time: Duration::from_secs(30),
            probes: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Reach {
    /// Redeems references and texts of this owner alone, and connects for references to any host that the owner has signed, and by
    /// `tcp://` and `ws://` as well; by `unix:` with [`private`](Self::private).
    pub fn owner(mut self, key: PublicKey) -> Self {
        self.owner = Some(key);
        self
    }

    /// Connects to addresses of private networks and of this machine as well.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Takes at most this long for all of it, instead of 30 seconds. Each address has an equal share of the time that is left.
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

    /// [Connects](Self::connect) to the owner, and redeems the reference there.
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
        let began = Instant::now();
        let gatekeeper = self.connect(signed.link(), now).await?;
        self.rest(began, signed.redeem(&gatekeeper, signer, now)).await
    }

    /// Connects to the first of the owner's addresses that may be reached and at which the owner is. Returns the gatekeeper
    /// there, which has proved that it is the owner's. The time that its answers take after that is for the caller to limit.
    ///
    /// # Errors
    ///
    /// With [`ErrorKind::Refused`], if the owner is another or none of its addresses may be reached; with [`ErrorKind::Timeout`],
    /// if it takes too long; otherwise that of the last address. With
    /// [`Rule::Signature`](crate::signed::Rule::Signature) as the source if another has answered there.
    pub async fn connect(&self, link: &Link, now: SystemTime) -> Result<GatekeeperClient, Error> {
        Ok(self.open(link, now).await?.index())
    }

    /// Makes a durable reference to the gatekeeper: each of its connections is made as by [`connect`](Self::connect), within
    /// the same rules and 30 seconds at most. When the link has ended, and the owner is named, none is made any more.
    ///
    /// ```no_run
    /// use capnode::signed::PublicKey;
    /// use capnode::sturdy::{GatekeeperClient, Signed};
    /// # #[capnode::interface]
    /// # trait Note { async fn text(&self) -> String; }
    ///
    /// # async fn example(note: &Signed<NoteClient>, owner: PublicKey) -> Result<(), capnode::Error> {
    /// let gatekeeper: GatekeeperClient = capnode::Reach::default().owner(owner).reconnecting(note.link()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reconnecting(&self, link: &Link) -> Reconnecting<GatekeeperClient> {
        let (reach, link) = (Arc::new(Self { probes: true, ..self.clone() }), Arc::new(link.clone()));
        reconnecting(move || {
            let (reach, link) = (reach.clone(), link.clone());
            async move { reach.open(&link, SystemTime::now()).await }
        })
    }

    /// Connects to the first address of a sturdy text that may be and can be reached, and redeems the text there. It names no
    /// owner and no host: any `wss://` will do, and nothing else.
    ///
    /// With an [`owner`](Self::owner) named, the text is handed to none that has not proved to be that owner, with the host of
    /// the address as its origin: `https://node.example`, with or without the port. An owner that takes no signed documents
    /// cannot prove it.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect) and [`Sturdy::redeem`].
    pub async fn redeem_text(&self, text: &Sturdy) -> Result<Cap, Error> {
        let began = Instant::now();
        let connection =
            self.first(text.addresses(), "the text", |address| self.allows_text(address)).await?;
        self.rest(began, async { Ok(text.redeem(&connection.index()).await?) }).await
    }

    /// Does what is left to do when the owner was reached.
    async fn rest<T>(
        &self,
        began: Instant,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let left = self.time.saturating_sub(began.elapsed());
        runtime::timeout(left, work).await.map_err(|_| self.late("has not answered"))?
    }

    fn late(&self, what: &str) -> Error {
        let time = self.time;
        Error::new(ErrorKind::Timeout, format!("the owner {what} within {time:?}: see `Reach::time`"))
    }

    async fn open(&self, link: &Link, now: SystemTime) -> Result<Connection, Error> {
        if let Some(owner) = self.owner {
            self.check_owner(link, owner, now)?;
        }
        let owner: PublicKey = link.owner().parse()?;
        let allows = |address: &Address| {
            self.allows(link, address).map(|()| Some((owner, vec![link.origin().to_owned()])))
        };
        self.first(link.endpoints(), "the link", allows).await
    }

    /// Connects to the first address that is allowed and at which the proof is given.
    async fn first(
        &self,
        addresses: &[String],
        of: &str,
        allows: impl Fn(&Address) -> Result<Proof, &'static str>,
    ) -> Result<Connection, Error> {
        runtime::check()?;
        let began = Instant::now();
        let mut last = refused(format!("{of} names no address"));
        let mut ways = Vec::new();
        for url in addresses {
            match url.parse::<Address>() {
                Ok(address) => match allows(&address) {
                    Ok(proof) => ways.push((url, proof)),
                    Err(why) => last = refused(format!("`{url}` may not be reached: {why}")),
                },
                Err(error) => last = refused(error.message().to_owned()),
            }
        }
        for (others, (url, proof)) in (1..=ways.len()).rev().zip(ways) {
            // None uses up the time of those that come after it.
            let left = self.time.saturating_sub(began.elapsed());
            let share = left / u32::try_from(others).unwrap_or(u32::MAX);
            last = match runtime::timeout(share, self.dial(url, proof)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => self.late("was not reached"),
            };
        }
        Err(last)
    }

    async fn dial(&self, url: &str, proof: Proof) -> Result<Connection, Error> {
        let node = Node::empty();
        let mut connect: Connect<Connection> = node.connect(url).public_only(!self.private);
        if self.probes {
            connect.set_probe(PROBE);
        }
        #[cfg(feature = "tls")]
        let connect = if let Some(config) = &self.tls { connect.tls(config.clone()) } else { connect };
        let connection = connect.await.map_err(|error| {
            if !error.message().ends_with(NOT_PUBLIC) {
                return error;
            }
            Error::new(error.kind(), format!("{}: `Reach::private` allows others", error.message()))
                .with_public_message("cannot connect")
        })?;
        if let Some((owner, origins)) = proof {
            prove(&connection.index(), &owner, &origins).await?;
        }
        Ok(connection)
    }

    /// Checks that the owner has signed the addresses, before any of them is used.
    fn check_owner(&self, link: &Link, owner: PublicKey, now: SystemTime) -> Result<(), Error> {
        if owner.to_string() != link.owner() {
            let named = link.owner();
            return Err(refused(format!("the reference is of {named}, and `Reach::owner` names another")));
        }
        let verifier = Verifier::new(owner, link.origin(), now);
        let checked =
            verifier.and_then(|verifier| verifier.longest(Duration::MAX).check_link(&link.to_string(), now));
        checked.map(drop).map_err(|refusal| refused(refusal.to_string()))
    }

    /// Says why an address of a link is none to connect to.
    fn allows(&self, link: &Link, address: &Address) -> Result<(), &'static str> {
        let of_target = |host: &str| {
            // A target has its port only if it is not the usual one.
            let target = link.origin().strip_prefix("https://");
            target.is_some_and(|target| target == name(host) || name(target) == name(host))
        };
        match address {
            Address::Http { .. } => Err("batches of HTTP are never used"),
            Address::Unix(_) if self.owner.is_some() && !self.private => {
                Err("it is of this machine: `Reach::private` allows it")
            }
            _ if self.owner.is_some() => Ok(()),
            Address::Ws { tls: true, host, .. } if of_target(host) => Ok(()),
            _ => Err(
                "it is no `wss://` to the host of the target: `Reach::owner` allows other hosts and transports",
            ),
        }
    }

    /// Returns what is to be proved at an address of a text, or why it is none to connect to.
    fn allows_text(&self, address: &Address) -> Result<Proof, &'static str> {
        let Address::Ws { tls: true, host, .. } = address else {
            return Err("it is no `wss://`, and whoever reads a text can use it");
        };
        let origins = || [host, name(host)].map(|host| format!("https://{host}")).to_vec();
        Ok(self.owner.map(|owner| (owner, origins())))
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Refused, why)
}

/// Returns the host without its port.
fn name(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
