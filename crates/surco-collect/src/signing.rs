//! Which files need a token, and where it is given.
//!
//! Planetary Computer's files lie on Azure, which refuses them without a token. Tokens are given freely by
//! a service beside the catalog, one for each container. Where a catalog lies tells whether it is one of
//! these, so that a copy of the service elsewhere works without a setting.

use reqwest::Url;

use crate::stac::Link;

/// One kind of service.
struct TokenRule {
    /// What the path of the catalog's root ends in.
    catalog: &'static str,
    /// What stands there instead in the path of the token service.
    tokens: &'static str,
    /// Hosts of the files: an account and this.
    files: &'static str,
}

/// # Source
/// Planetary Computer, *Using tokens for data access*: `/api/sas/v1/token/{account}/{container}`.
const RULES: [TokenRule; 1] = [TokenRule {
    catalog: "/api/stac/v1",
    tokens: "/api/sas/v1/token",
    files: ".blob.core.windows.net",
}];

/// The token service of one catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Signing {
    /// Account and container come behind it.
    pub(crate) endpoint: String,
    files: &'static str,
    /// A copy for tests: its files lie on loopback too, as `/account/container/…`.
    loopback: bool,
}

impl Signing {
    /// The token service beside a catalog, if it is of a kind that has one.
    pub(crate) fn of_catalog(root: &Url) -> Option<Self> {
        RULES.iter().find_map(|rule| {
            let at = root.path().find(rule.catalog)?;
            let behind = &root.path()[at + rule.catalog.len()..];
            if !(behind.is_empty() || behind.starts_with('/')) {
                return None;
            }
            let mut endpoint = root.clone();
            endpoint.set_query(None);
            endpoint.set_fragment(None);
            endpoint.set_path(&format!("{}{}", &root.path()[..at], rule.tokens));
            Some(Self { endpoint: endpoint.into(), files: rule.files, loopback: is_loopback(root) })
        })
    }

    /// The token service of the catalog that an item says it is from.
    pub(crate) fn of_links(links: &[Link]) -> Option<Self> {
        let of = |rel: &str| links.iter().find(|link| link.rel == rel);
        let link = of("root").or_else(|| of("self")).or_else(|| of("collection"))?;
        Self::of_catalog(&Url::parse(&link.href).ok()?)
    }

    /// Account and container of a file, if it needs a token.
    pub(crate) fn container(&self, file: &Url) -> Option<(String, String)> {
        let mut path = file.path_segments()?;
        if let Some(account) = file.host_str()?.strip_suffix(self.files) {
            return Some((account.into(), path.next().filter(|c| !c.is_empty())?.into()));
        }
        if !self.loopback || !is_loopback(file) {
            return None;
        }
        Some((path.next()?.into(), path.next()?.into()))
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|h| h == "localhost" || h.starts_with("127.") || h == "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn planetary_computer_and_its_copies_have_tokens_and_others_have_none() {
        let real =
            Signing::of_catalog(&url("https://planetarycomputer.microsoft.com/api/stac/v1/"));
        let real = real.unwrap();
        assert_eq!(real.endpoint, "https://planetarycomputer.microsoft.com/api/sas/v1/token");
        let blob = url("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/13/T/B04.tif");
        let container = ("sentinel2l2a01".to_string(), "sentinel2-l2".to_string());
        assert_eq!(real.container(&blob), Some(container));
        assert_eq!(real.container(&url("http://127.0.0.1:8080/a/b/c.tif")), None);
        let copy = Signing::of_catalog(&url("http://127.0.0.1:8080/x/api/stac/v1/search")).unwrap();
        assert_eq!(copy.endpoint, "http://127.0.0.1:8080/x/api/sas/v1/token");
        let container = ("a".to_string(), "b".to_string());
        assert_eq!(copy.container(&url("http://127.0.0.1:99/a/b/c.tif")), Some(container));
        assert_eq!(Signing::of_catalog(&url("https://earth-search.aws.element84.com/v1")), None);
        assert_eq!(Signing::of_catalog(&url("https://x.org/api/stac/v10")), None);
    }

    #[test]
    fn an_item_in_a_file_still_says_who_signs_it() {
        let link = |rel: &str, href: &str| {
            serde_json::from_value(serde_json::json!({ "rel": rel, "href": href })).unwrap()
        };
        let root = link("root", "https://planetarycomputer.microsoft.com/api/stac/v1/");
        let signing = Signing::of_links(&[link("license", "https://x.org"), root]).unwrap();
        assert_eq!(signing.endpoint, "https://planetarycomputer.microsoft.com/api/sas/v1/token");
        assert_eq!(Signing::of_links(&[link("self", "./item.json")]), None);
    }
}
