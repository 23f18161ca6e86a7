//! Where a file lies: on disk or behind HTTP.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Url;

use crate::pool::Pool;
use crate::signing::Signing;
use crate::stac::Link;

/// A place that can be read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Href {
    /// A local file.
    File(PathBuf),
    /// A file behind HTTP.
    Http(Remote),
}

/// A URL in two parts: the files of a scene share their folder, those of a collection their names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    folder: Arc<Folder>,
    /// The last part of the path, and the query.
    name: Arc<str>,
}

/// Of the files of a scene.
#[derive(PartialEq, Eq)]
pub(crate) struct Folder {
    /// Up to the last slash of the path.
    url: Box<str>,
    signing: Option<Arc<Signing>>,
}

impl Remote {
    pub(crate) fn new(url: &Url) -> Self {
        let (folder, name) = split(url);
        Self { folder: Arc::new(Folder { url: folder.into(), signing: None }), name: name.into() }
    }

    /// The same with its parts shared, and with what signs it.
    fn pooled(url: &Url, signing: Option<&Arc<Signing>>, pool: &Pool) -> Self {
        let (folder, name) = split(url);
        let signing = signing.filter(|signing| signing.container(url).is_some());
        let same = |f: &Folder| *f.url == *folder && f.signing.as_ref() == signing;
        let folder = pool.folder(same, || Folder { url: folder.into(), signing: signing.cloned() });
        Self { folder, name: pool.name(name) }
    }

    pub(crate) fn url(&self) -> Result<Url, String> {
        Url::parse(&format!("{}{}", self.folder.url, self.name)).map_err(|e| e.to_string())
    }

    /// Who gives tokens for it, if it needs one.
    pub(crate) fn signing(&self) -> Option<&Arc<Signing>> {
        self.folder.signing.as_ref()
    }
}

/// Behind the last slash of the path.
fn split(url: &Url) -> (&str, &str) {
    let text = url.as_str();
    let path = text.find(['?', '#']).unwrap_or(text.len());
    text.split_at(text[..path].rfind('/').map_or(0, |slash| slash + 1))
}

impl fmt::Display for Remote {
    /// Without the query, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{}{name}", self.folder.url)
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Http(remote) => write!(f, "{remote}"),
        }
    }
}

impl fmt::Debug for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A catalog as a user names it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file or folder.
    File(PathBuf),
    /// A service, or a file behind HTTP.
    Http(Url),
}

impl Place {
    /// A path or URL as a user writes it.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Http(url)),
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map(Self::File).map_err(|()| format!("`{text}` is no path"))
            }
            // A drive letter is no scheme.
            Ok(url) if url.scheme().len() > 1 && text.contains("://") => {
                let scheme = url.scheme();
                Err(format!("`{scheme}:` cannot be read; give a path or an http(s) URL"))
            }
            _ => Ok(Self::File(text.into())),
        }
    }

    pub(crate) fn href(&self) -> Href {
        match self {
            Self::File(path) => Href::File(path.clone()),
            Self::Http(url) => Href::Http(Remote::new(url)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.href())
    }
}

/// What relative hrefs are relative to, and who signs what a catalog points at.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    root: Root,
    signing: Option<Arc<Signing>>,
}

#[derive(Clone, Debug)]
enum Root {
    /// The folder of a catalog file.
    Folder(PathBuf),
    /// The URL of a catalog file or of an API's answer.
    Url(Url),
}

impl Base {
    pub(crate) fn of(catalog: &Place) -> Self {
        match catalog {
            Place::File(path) => {
                let folder = path.parent().unwrap_or(Path::new("")).into();
                Self { root: Root::Folder(folder), signing: None }
            }
            Place::Http(url) => {
                let signing = Signing::of_catalog(url).map(Arc::new);
                Self { root: Root::Url(url.clone()), signing }
            }
        }
    }

    /// The same for items that name their service in these links.
    pub(crate) fn signed_by(mut self, links: &[Link]) -> Self {
        self.signing = Signing::of_links(links).map(Arc::new).or(self.signing);
        self
    }

    /// Where an href of an item leads; an item that knows its own place is its own base.
    pub(crate) fn resolve(&self, links: &[Link], href: &str, pool: &Pool) -> Result<Href, String> {
        if href.is_empty() {
            return Err("its href is empty".into());
        }
        let remote = |url: &Url| {
            let own = || Signing::of_links(links).map(|signing| pool.signing(signing));
            let signing = self.signing.clone().or_else(own);
            Href::Http(Remote::pooled(url, signing.as_ref(), pool))
        };
        if let Some(known) = beside(href, pool) {
            return Ok(known);
        }
        if href.contains("://") {
            return Ok(match Place::of(href)? {
                Place::File(path) => Href::File(path),
                Place::Http(url) => remote(&url),
            });
        }
        let own = links.iter().find(|link| link.rel == "self");
        let own = own.and_then(|link| Url::parse(&link.href).ok());
        let join = |url: &Url| url.join(href).map(|url| remote(&url)).map_err(|e| e.to_string());
        match (&self.root, own) {
            (Root::Folder(folder), _) => Ok(Href::File(folder.join(plain(href)))),
            (Root::Url(_), Some(url)) if matches!(url.scheme(), "http" | "https") => join(&url),
            (Root::Url(url), _) => join(url),
        }
    }
}

/// A URL in a folder that is known already: a country has two million, most of them this.
fn beside(href: &str, pool: &Pool) -> Option<Href> {
    let (folder, name) = href.split_at(href.rfind('/')? + 1);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !href.starts_with("http") || name.starts_with('.') || !name.bytes().all(plain) {
        return None;
    }
    let folder = pool.known_folder(|known| *known.url == *folder)?;
    Some(Href::Http(Remote { folder, name: pool.name(name) }))
}

/// Without a leading `./`, so that the same file has one name.
fn plain(href: &str) -> &str {
    href.strip_prefix("./").unwrap_or(href)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(catalog: &str) -> Base {
        Base::of(&Place::of(catalog).unwrap())
    }

    #[test]
    fn hrefs_resolve_against_file_url_or_item() {
        let pool = Pool::default();
        let file = base("/data/stack/items.json");
        assert_eq!(file.resolve(&[], "./a.tif", &pool).unwrap().to_string(), "/data/stack/a.tif");
        let web = base("http://host/x/items.json");
        assert_eq!(web.resolve(&[], "a.tif", &pool).unwrap().to_string(), "http://host/x/a.tif");
        assert!(file.resolve(&[], "s3://bucket/a.tif", &pool).is_err());
    }

    #[test]
    fn a_signature_in_an_href_is_kept_and_never_shown() {
        let pool = Pool::default();
        let web = base("http://host/x/items.json");
        let signed = web.resolve(&[], "https://b/c.tif?sig=secret/x", &pool).unwrap();
        assert_eq!(format!("{signed} {signed:?}"), "https://b/c.tif https://b/c.tif");
        let Href::Http(remote) = signed else { panic!("a URL") };
        assert_eq!(remote.url().unwrap().as_str(), "https://b/c.tif?sig=secret/x");
    }

    #[test]
    fn files_of_a_scene_share_their_folder() {
        let pool = Pool::default();
        let web = base("https://planetarycomputer.microsoft.com/api/stac/v1");
        let of = |href: &str| match web.resolve(&[], href, &pool).unwrap() {
            Href::Http(remote) => remote,
            Href::File(path) => panic!("{}", path.display()),
        };
        let blob = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/13/a/";
        let (red, blue) = (of(&format!("{blob}B04.tif")), of(&format!("{blob}B02.tif")));
        assert!(Arc::ptr_eq(&red.folder, &blue.folder));
        assert!(red.signing().is_some());
        assert!(of("https://elsewhere.org/a/B04.tif").signing().is_none());
    }
}
