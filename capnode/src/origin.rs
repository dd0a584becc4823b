//! Which pages may open a WebSocket here.
//!
//! A browser lets any page open a WebSocket to anywhere, and sends the cookies of the place it goes
//! to. What it also sends, and no page can forge, is the `Origin` of the page.

/// The origins whose pages are let in beside those of the same host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    pub(crate) fn add(&mut self, origin: &str) {
        self.allowed.push(origin.trim_end_matches('/').to_ascii_lowercase());
    }

    /// Whether a request may be served, by its `Origin` and `Host` headers. One without an origin
    /// comes from no page.
    pub(crate) fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        let same_host = origin.split_once("://").is_some_and(|(scheme, authority)| {
            let default = if scheme == "https" { ":443" } else { ":80" };
            host.is_some_and(|host| {
                let host = host.to_ascii_lowercase();
                authority == host || host.strip_suffix(default) == Some(authority)
            })
        });
        same_host || self.allowed.iter().any(|allowed| allowed == "*" || *allowed == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_host_or_of_an_allowed_origin_are_let_in() {
        let mut origins = Origins::default();
        origins.add("https://App.example/");
        let allow = |origin, host| origins.allow(Some(origin), Some(host));
        assert!(allow("http://localhost:8080", "localhost:8080"));
        assert!(allow("https://site.example", "site.example:443"));
        assert!(allow("https://app.example", "api.example"));
        assert!(!allow("https://evil.example", "api.example"));
        assert!(!allow("https://api.example.evil.example", "api.example"));
        assert!(!allow("http://localhost:9090", "localhost:8080"));
        assert!(!allow("null", "api.example"));
        assert!(!origins.allow(Some("https://api.example"), None));
        assert!(origins.allow(None, Some("api.example")));
        origins.add("*");
        assert!(origins.allow(Some("null"), Some("api.example")));
    }
}
