//! Where a store is to lie, as a user writes it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a store lies: a folder, or a URL such as `s3://bucket/prefix`.
///
/// Text or a path with `://` in it is a URL, anything else is a folder. What stands before an `@` in a
/// URL could be a password and is never shown.
///
/// # Example
/// ```
/// use surco_store::Destination;
/// assert!(Destination::from("s3://harvest/cubes/2023").url().is_some());
/// assert!(Destination::from("/data/cubes").url().is_none());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    text: PathBuf,
}

impl Destination {
    /// The URL, if it is one.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.text.to_str().filter(|text| text.contains("://"))
    }

    /// The folder, or the URL as text.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.text
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Some(url) => f.write_str(&shown(url)),
            None => write!(f, "{}", self.text.display()),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

/// A URL without what stands before an `@` or after a `?`.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    format!("{scheme}://{rest}")
}

impl From<PathBuf> for Destination {
    fn from(text: PathBuf) -> Self {
        Self { text }
    }
}

impl From<&Path> for Destination {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

impl From<&PathBuf> for Destination {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&str> for Destination {
    fn from(text: &str) -> Self {
        PathBuf::from(text).into()
    }
}

impl From<String> for Destination {
    fn from(text: String) -> Self {
        PathBuf::from(text).into()
    }
}

impl From<&String> for Destination {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&Destination> for Destination {
    fn from(destination: &Destination) -> Self {
        destination.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_password_is_not_shown() {
        let destination = Destination::from("s3://AKIA:geheim@bucket/cubes?token=geheim");
        assert_eq!(destination.to_string(), "s3://bucket/cubes");
        assert_eq!(format!("{destination:?}"), "Destination(s3://bucket/cubes)");
    }

    #[test]
    fn only_text_with_a_scheme_is_a_url() {
        for folder in ["/data/cubes", "cubes", "C:\\cubes", "s3:/cubes"] {
            assert_eq!(Destination::from(folder).url(), None, "{folder}");
        }
        assert_eq!(Destination::from(PathBuf::from("s3://b/p")).url(), Some("s3://b/p"));
    }
}
