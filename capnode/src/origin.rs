//! The pages that may open a WebSocket here, by their origin.
//!
//! A browser lets any page open a WebSocket to any server, and sends the cookies of that server. It also sends the
//! `Origin` of the page, which no page can forge.

use std::net::Ipv4Addr;

/// The allowed origins, beside those of the same host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    pub(crate) fn add(&mut self, origin: &str) {
        self.allowed.push(origin.trim_end_matches('/').to_ascii_lowercase());
    }

    /// Returns `true` if a request may be served, by its `Origin` and `Host` headers, and by its use of `tls`, if that
    /// is known. A request without an origin comes from no page.
    pub(crate) fn allow(&self, origin: Option<&str>, host: Option<&str>, tls: Option<bool>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        let same = origin.split_once("://").is_some_and(|(scheme, authority)| {
            let (is_tls, default) = match scheme {
                "http" => (false, ":80"),
                "https" => (true, ":443"),
                _ => return false,
            };
            let same_host = host.is_some_and(|host| {
                let host = host.to_ascii_lowercase();
                authority == host || host.strip_suffix(default) == Some(authority)
            });
            same_host && tls.is_none_or(|tls| tls == is_tls)
        });
        same || self.lists(&origin)
    }

    /// Returns `true` for one of the allowed origins, whoever is asked.
    pub(crate) fn lists(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }

    /// Returns `true` if a `Host` header cannot be a name that a stranger has made point to this machine: it is one that
    /// only means this machine, or an address, or the host of an allowed origin.
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = name_of(&host);
        let is_fixed = name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<Ipv4Addr>().is_ok()
            || name.starts_with('[');
        let is_allowed = |allowed: &String| {
            allowed == "*" || allowed.split_once("://").is_some_and(|(_, allowed)| name_of(allowed) == name)
        };
        is_fixed || self.allowed.iter().any(is_allowed)
    }
}

/// Returns the name in a `host:port`, without the dot at its end.
fn name_of(host: &str) -> &str {
    let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    let name = port.map_or(host, |at| &host[..at]);
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_host_or_of_an_allowed_origin_are_let_in() {
        let mut origins = Origins::default();
        origins.add("https://App.example/");
        let allow = |origin, host| origins.allow(Some(origin), Some(host), None);
        assert!(allow("http://localhost:8080", "localhost:8080"));
        assert!(allow("https://site.example", "site.example:443"));
        assert!(allow("https://app.example", "api.example"));
        assert!(!allow("https://evil.example", "api.example"));
        assert!(!allow("https://api.example.evil.example", "api.example"));
        assert!(!allow("http://localhost:9090", "localhost:8080"));
        assert!(!allow("null", "api.example"));
        assert!(!origins.allow(Some("https://api.example"), None, None));
        assert!(origins.allow(None, Some("api.example"), None));
        origins.add("*");
        assert!(origins.allow(Some("null"), Some("api.example"), None));
    }

    #[test]
    fn the_same_origin_has_the_scheme_by_which_it_came() {
        let allow = |origin, tls| Origins::default().allow(Some(origin), Some("site.example"), Some(tls));
        assert!(allow("http://site.example", false));
        assert!(allow("https://site.example", true));
        assert!(!allow("https://site.example", false));
        assert!(!allow("http://site.example", true));
        assert!(!allow("ftp://site.example", false));
    }

    #[test]
    fn names_that_strangers_can_own_are_no_names_of_this_machine() {
        let mut origins = Origins::default();
        origins.add("https://App.example:8443");
        for known in [
            "localhost",
            "LOCALHOST:5004",
            "localhost.:5004",
            "app.localhost",
            "127.0.0.1:5004",
            "192.168.1.5",
            "[::1]:5004",
            "[::1]",
            "app.example",
            "APP.example:5004",
        ] {
            assert!(origins.knows_host(known), "{known}");
        }
        for foreign in [
            "evil.example:5004",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "",
            ":5004",
        ] {
            assert!(!origins.knows_host(foreign), "{foreign}");
        }
        origins.add("*");
        assert!(origins.knows_host("evil.example"));
    }
}
