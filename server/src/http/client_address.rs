//! Who is on the other end: the address that a client is counted by.
//!
//! The address of a connection is that of a proxy where there is one, and what a proxy says of its own client
//! (`X-Forwarded-For`) is worth as much as the proxy: whoever calls can write that header, too. So it is read from its
//! end, the part that the nearest proxy wrote, and believed only as long as a trusted proxy vouches for it. What does not belong here:
//! what is done with the address (`quotas.rs`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies name their clients, the nearest last.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies whose word is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An entry of the list of trusted proxies that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct ProxyError(String);

impl TrustedProxies {
    /// Reads addresses and networks (`10.0.0.0/8`, `fd00::/8`), separated by spaces or commas.
    ///
    /// # Errors
    /// The first that is neither.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let networks = words.map(|word| {
            let network = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| ProxyError(word.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`: the last address, from the end of the chain, that no trusted proxy
    /// has. What is no address ends the chain: nothing before it can be vouched for.
    pub(super) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.include(client) {
            let Some(named) = hops.next().and_then(address) else { break };
            client = named;
        }
        client
    }
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// What one client is taken to be: an IPv4 address, or the /64 network of an IPv6 address, of which whoever has one
/// address has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientNetwork {
    /// One address.
    V4([u8; 4]),
    /// An address whose second half is 0.
    V6(u128),
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6(address.to_bits() >> 64 << 64),
        }
    }
}

/// `192.0.2.7`, `2001:db8::/64`.
impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(octets) => std::net::Ipv4Addr::from(*octets).fmt(f),
            Self::V6(bits) => write!(f, "{}/64", Ipv6Addr::from_bits(*bits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).expect("a header"));
        }
        let proxies = TrustedProxies::parse(trusted).expect("networks");
        proxies.client_of(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (trusted, peer, lines, expected) in [
            // Nobody is trusted, so nothing is read.
            ("", "192.0.2.1", &[&b"10.9.9.9"[..]][..], "192.0.2.1"),
            // The caller is no proxy, whatever it says.
            ("10.0.0.0/8", "192.0.2.1", &[b"10.0.0.2"], "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[b"192.0.2.7"], "192.0.2.7"),
            // What the client wrote before its proxy did is left of what the proxy wrote.
            ("10.0.0.0/8", "10.0.0.1", &[b"203.0.113.5, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.1", &[b"203.0.113.5", b"192.0.2.7"], "192.0.2.7"),
            // Several proxies of ours, one behind the other.
            ("10.0.0.0/8", "10.0.0.1", &[b"203.0.113.5, 192.0.2.7, 10.0.0.3"], "192.0.2.7"),
            ("10.0.0.1", "10.0.0.1", &[b"192.0.2.7, 10.0.0.3"], "10.0.0.3"),
            // All of them are ours: the first.
            ("10.0.0.0/8", "10.0.0.1", &[b"10.0.0.4, 10.0.0.3"], "10.0.0.4"),
            // What is no address ends the chain.
            ("10.0.0.0/8", "10.0.0.1", &[b"192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[b"192.0.2.7, , 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.0/8", "10.0.0.1", &[b"192.0.2.7,\xff"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[b""], "10.0.0.1"),
            // The forms in which proxies write them.
            ("10.0.0.0/8", "10.0.0.1", &[b"192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.1", &[b"[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.0/8", "10.0.0.1", &[b"[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.0/8", "10.0.0.1", &[b"\t2001:db8::7 "], "2001:db8::7"),
            // IPv4 within IPv6, as a listener on [::] sees it.
            ("10.0.0.0/8", "::ffff:10.0.0.1", &[b"::ffff:192.0.2.7"], "192.0.2.7"),
            ("fd00::/8 ::1", "::1", &[b"2001:db8::7, fd00::2"], "2001:db8::7"),
        ] {
            assert_eq!(client(trusted, peer, lines), expected, "{trusted} {peer} {lines:?}");
        }
    }

    #[test]
    fn a_list_of_proxies_has_addresses_and_networks() {
        let parsed = TrustedProxies::parse(" 10.0.0.0/8,192.0.2.1\n::1, fd00::/8 ").expect("networks");
        assert_eq!(parsed.0.len(), 4);
        for bad in ["10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.1:80", "/8"] {
            assert_eq!(TrustedProxies::parse(bad), Err(ProxyError(bad.to_owned())));
        }
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| ClientNetwork::from(text.parse::<IpAddr>().expect("an address"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    }
}
