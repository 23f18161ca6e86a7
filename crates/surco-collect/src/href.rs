//! Where a file lies: on disk or behind HTTP.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::stac::Link;

/// A place that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Href {
    /// A local file.
    File(PathBuf),
    /// A file behind HTTP.
    Http(Url),
}

impl fmt::Display for Href {
    /// Without the query, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Http(url) => {
                let mut url = url.clone();
                url.set_query(None);
                write!(f, "{url}")
            }
        }
    }
}

impl Href {
    /// A path or URL as a user writes it.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Http(url)),
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map(Self::File).map_err(|()| format!("`{text}` is no path"))
            }
            // A drive letter is no scheme.
            Ok(url) if url.scheme().len() > 1 && text.contains("://") => {
                Err(format!("`{}:` cannot be read", url.scheme()))
            }
            _ => Ok(Self::File(text.into())),
        }
    }
}

/// What relative hrefs are relative to.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// The folder of a catalog file.
    Folder(PathBuf),
    /// The URL of a catalog file or of an API's answer.
    Url(Url),
}

impl Base {
    pub(crate) fn of(catalog: &Href) -> Self {
        match catalog {
            Href::File(path) => Self::Folder(path.parent().unwrap_or(Path::new("")).into()),
            Href::Http(url) => Self::Url(url.clone()),
        }
    }

    /// Where an href of an item leads; an item that knows its own place is its own base.
    pub(crate) fn resolve(&self, links: &[Link], href: &str) -> Result<Href, String> {
        if href.is_empty() {
            return Err("its href is empty".into());
        }
        if href.contains("://") {
            return Href::of(href);
        }
        let own = links.iter().find(|link| link.rel == "self");
        let own = own.and_then(|link| Url::parse(&link.href).ok());
        let join = |url: &Url| url.join(href).map(Href::Http).map_err(|e| e.to_string());
        match (self, own) {
            (Self::Folder(folder), _) => Ok(Href::File(folder.join(plain(href)))),
            (Self::Url(_), Some(url)) if matches!(url.scheme(), "http" | "https") => join(&url),
            (Self::Url(url), _) => join(url),
        }
    }
}

/// Without a leading `./`, so that the same file has one name.
fn plain(href: &str) -> &str {
    href.strip_prefix("./").unwrap_or(href)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hrefs_resolve_against_file_url_or_item() {
        let file = Base::of(&Href::of("/data/stack/items.json").unwrap());
        assert_eq!(file.resolve(&[], "./a.tif").unwrap().to_string(), "/data/stack/a.tif");
        let web = Base::of(&Href::of("http://host/x/items.json").unwrap());
        assert_eq!(web.resolve(&[], "a.tif").unwrap().to_string(), "http://host/x/a.tif");
        let signed = web.resolve(&[], "https://b/c.tif?sig=secret").unwrap();
        assert_eq!(signed.to_string(), "https://b/c.tif");
        assert!(file.resolve(&[], "s3://bucket/a.tif").is_err());
    }
}
