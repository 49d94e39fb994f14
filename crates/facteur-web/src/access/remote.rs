//! From where a request comes: the peer of the connection, or, where that is a proxy of ours, whom it names.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What proxies add, and a client that is alone does not.
const PASSED_ON: [&str; 4] = [FORWARDED_FOR, "forwarded", "x-real-ip", "via"];

/// Who asks, behind the proxies that are trusted. `None` outside of a server.
pub(crate) fn client(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.extensions().get::<SocketAddr>()?.ip();
    Some(behind(peer, request.headers(), trusted))
}

/// Each proxy adds at the end whom it heard: the last one that is no proxy of ours is the client. What stands before
/// it anybody may have written.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| is_within(address, trusted);
    let mut client = peer;
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut named = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    while is_trusted(client) {
        let Some(next) = named.next().and_then(address) else { break };
        client = next;
    }
    client.to_canonical()
}

/// Whether the address may be a stranger's behind a proxy that is not trusted: one that stands for its own network, and
/// says that it passes on what it heard.
pub(crate) fn is_passed_on(request: &Request, trusted: &[IpNet]) -> bool {
    let peer = request.extensions().get::<SocketAddr>().map(SocketAddr::ip);
    let says_so = PASSED_ON.iter().any(|name| request.headers().contains_key(*name));
    says_so && peer.is_some_and(|peer| !is_within(peer, trusted))
}

/// Whether an address lies in one of these networks.
pub(crate) fn is_within(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_passes_on_that_is_not_trusted_is_not_its_networks() {
        let trusted: Vec<IpNet> = vec!["10.0.0.1/32".parse().unwrap()];
        let asked = |peer: &str, header: Option<&str>| {
            let request = header.iter().fold(Request::builder(), |it, name| it.header(*name, "203.0.113.9"));
            let mut request = request.body(axum::body::Body::empty()).unwrap();
            request.extensions_mut().insert(SocketAddr::from((peer.parse::<IpAddr>().unwrap(), 1)));
            is_passed_on(&request, &trusted)
        };
        for header in PASSED_ON {
            assert!(asked("10.0.0.2", Some(header)), "{header}");
            assert!(!asked("10.0.0.1", Some(header)), "{header}");
        }
        assert!(!asked("10.0.0.2", None));
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let rows: [(&str, &[&str], &str); 9] = [
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["[2001:db8::1]:99"], "2001:db8::1"),
            ("::1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ];
        for (peer, forwarded, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let client = behind(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }
}
