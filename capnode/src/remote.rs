//! Remote addresses, by which the connections of one party are told from those of others.

use std::net::IpAddr;
#[cfg(feature = "host")]
use std::net::{Ipv6Addr, SocketAddr};

/// The party that the connections of a node are counted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "sockets are of tokio"))]
pub(crate) enum Remote {
    /// Each connection for itself: the program has opened its transport.
    #[default]
    Own,
    /// An IP address; of version 6, its first 64 bits.
    Address(IpAddr),
    /// A user of this machine.
    User(u32),
    /// A peer on a transport that has no address.
    Unknown,
}

#[cfg(feature = "host")]
impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Self {
        Remote::Address(match address.ip().to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            ip => ip,
        })
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_version_6_is_its_network() {
        let of = |address: &str| Remote::from(address.parse::<SocketAddr>().unwrap());
        assert_eq!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:2:ffff::9]:2"));
        assert_ne!(of("[2001:db8:1:2::1]:1"), of("[2001:db8:1:3::1]:1"));
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_eq!(of("10.0.0.1:1"), of("[::ffff:10.0.0.1]:1"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
    }
}
