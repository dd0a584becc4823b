//! Addresses that lead out into the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `false` for this machine, its networks, and all that is set aside for other ends.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        [0 | 240.., ..] | [100, 64..128, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => true,
        _ => address.is_private() || address.is_loopback() || address.is_link_local(),
    };
    !is_special && !address.is_multicast() && !address.is_documentation()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Those in use are below 2000::/3. Some of them hold an address of IPv4, which may be any.
    let [first, second, ..] = address.segments();
    match (first, second) {
        (0x2001, 0..0x200 | 0xdb8) | (0x2002, _) | (0x3fff, ..0x1000) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_or_set_aside_is_not_public() {
        for near in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for far in
            ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2001:4860:4860::8888"]
        {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }
}
