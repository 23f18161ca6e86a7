//! Every scene that the catalogs of a request have.
//!
//! A catalog is the root of a STAC API, a file of items, or an index of items in `GeoParquet`.

mod api;
mod boxes;
mod index;
mod items;
mod sink;

use std::path::Path;
use std::sync::Arc;

use surco_core::Progress;

pub(crate) use self::sink::Found;
use self::sink::{Sink, Wanted};
use crate::fetch::{FetchError, Hub};
use crate::href::{Href, Place};
use crate::signing::is_loopback;
use crate::{CollectError, CollectRequest};

/// What a catalog is.
enum Kind {
    Api,
    Items,
    Index,
}

impl Kind {
    fn of(place: &Place) -> Self {
        let named = |path: &str| match path.rsplit('.').next() {
            Some("parquet" | "geoparquet") => Self::Index,
            _ => Self::Items,
        };
        match place {
            Place::File(path) if path.is_dir() => Self::Index,
            Place::File(path) => named(&path.to_string_lossy()),
            Place::Http(url) => {
                let path = url.path();
                let file = [".json", ".geojson", ".parquet", ".geoparquet"];
                if file.iter().any(|end| path.ends_with(end)) { named(path) } else { Self::Api }
            }
        }
    }
}

/// Every scene of the catalogs that may be wanted; the caller looks closer.
pub(crate) async fn scenes(
    request: &CollectRequest,
    bands: &[usize],
    hub: &Arc<Hub>,
    progress: &dyn Progress,
) -> Result<Found, CollectError> {
    hub.watched(progress, CollectError::Stopped, all(request, bands, hub, progress)).await
}

async fn all(
    request: &CollectRequest,
    bands: &[usize],
    hub: &Arc<Hub>,
    progress: &dyn Progress,
) -> Result<Found, CollectError> {
    let wanted = Wanted::of(request);
    let mut found = Found::default();
    for (turn, catalog) in request.catalogs.iter().enumerate() {
        let place = Place::of(catalog).map_err(|reason| unreadable(catalog, reason))?;
        let kind = Kind::of(&place);
        let rank = turn * (wanted.collections.len() + 1);
        // Items of a user's own file can be corrected; those of a service cannot.
        let strict = matches!(kind, Kind::Items);
        let name = name_of(&place);
        let mut sink = Sink::new(&wanted, bands, (&name, rank, strict), progress, &mut found);
        match kind {
            Kind::Api => api::search(&place, hub, &mut sink).await?,
            Kind::Items => items::read(&place, hub, &mut sink).await?,
            Kind::Index => index::read(&place, hub, &mut sink).await?,
        }
        sink.finish()?;
    }
    Ok(found)
}

/// A file of a catalog that gives no items.
fn unreadable(place: impl AsRef<Path>, reason: impl Into<String>) -> CollectError {
    CollectError::CatalogFile { path: place.as_ref().into(), reason: reason.into() }
}

/// A fetch error as the whole collection's.
pub(crate) fn network(place: &Href, error: &FetchError) -> CollectError {
    let url = place.to_string();
    match error {
        FetchError::Changed => CollectError::Changed { url },
        FetchError::Gone(reason) => {
            CollectError::Network { url, attempts: 1, reason: reason.clone() }
        }
        FetchError::Down { attempts, reason } => {
            CollectError::Network { url, attempts: *attempts, reason: reason.clone() }
        }
    }
}

/// The host of a catalog, or `local`: the store must not depend on a loopback port or a path.
fn name_of(place: &Place) -> String {
    match place {
        Place::Http(url) if !is_loopback(url) => url.host_str().unwrap_or("local").into(),
        Place::Http(_) | Place::File(_) => "local".into(),
    }
}
