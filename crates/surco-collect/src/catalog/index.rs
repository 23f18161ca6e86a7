//! An index of items in `GeoParquet` (stac-geoparquet), as rustac and the mirrors of Earth Search write it.
//!
//! Only the columns that collecting needs are read, row group by row group; groups whose statistics show
//! that they hold nothing of the area and the dates are passed over. Behind HTTP only these parts are
//! fetched.

mod columns;
mod groups;
mod remote;
mod rows;
mod wkb;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use self::remote::Remote;
use super::sink::Sink;
use super::unreadable;
use crate::CollectError;
use crate::fetch::Hub;
use crate::href::{Base, Place};
use std::sync::Arc;

pub(super) async fn read(
    place: &Place,
    hub: &Arc<Hub>,
    sink: &mut Sink<'_>,
) -> Result<(), CollectError> {
    match place {
        Place::File(path) => {
            for path in files(path)? {
                let file = File::open(&path).map_err(|e| unreadable(&path, e.to_string()))?;
                let base = Base::of(&Place::File(path.clone()));
                let mut index = Index::open(file, base, path, sink)?;
                for group in 0..index.groups() {
                    if index.wants(group, sink) {
                        index.take(group, sink)?;
                    }
                }
            }
            Ok(())
        }
        Place::Http(_) => {
            let remote = Remote::open(place, hub).await?;
            let path = PathBuf::from(place.to_string());
            let mut index = Index::open(remote.chunks(), Base::of(place), path, sink)?;
            for group in 0..index.groups() {
                if index.wants(group, sink) {
                    remote.fetch(&index.ranges(group)).await?;
                    index.take(group, sink)?;
                    remote.forget();
                }
            }
            Ok(())
        }
    }
}

/// The files of an index: itself, or those of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, CollectError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let bad = |e: std::io::Error| unreadable(path, e.to_string());
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(bad)? {
        let file = entry.map_err(bad)?.path();
        let end = file.extension().and_then(|end| end.to_str());
        if matches!(end, Some("parquet" | "geoparquet")) {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(unreadable(path, "a folder without .parquet files; give a file of items")),
        false => Ok(files),
    }
}

/// One file of an index.
struct Index<R: ChunkReader> {
    reader: SerializedFileReader<R>,
    base: Base,
    path: PathBuf,
    /// The columns of items, and those that tell which service they are from.
    items: Type,
    links: Option<Type>,
}

impl<R: ChunkReader + 'static> Index<R> {
    fn open(chunks: R, base: Base, path: PathBuf, sink: &Sink<'_>) -> Result<Self, CollectError> {
        let reader =
            SerializedFileReader::new(chunks).map_err(|e| unreadable(&path, e.to_string()))?;
        let schema = reader.metadata().file_metadata().schema();
        let (items, links) =
            columns::needed(schema, sink.bands).map_err(|reason| unreadable(&path, reason))?;
        Ok(Self { reader, base, path, items, links })
    }

    fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Whether a row group may hold something that is wanted.
    fn wants(&self, group: usize, sink: &Sink<'_>) -> bool {
        groups::may_hold(self.reader.metadata().row_group(group), sink.wanted)
    }

    /// Where the needed columns of a row group lie.
    fn ranges(&self, group: usize) -> Vec<std::ops::Range<u64>> {
        let group = self.reader.metadata().row_group(group);
        let needed = |path: &[String]| {
            let links = self.links.as_ref().is_some_and(|links| columns::holds(links, path));
            links || columns::holds(&self.items, path)
        };
        let columns = group.columns().iter().filter(|c| needed(c.column_path().parts()));
        columns
            .map(|column| column.byte_range())
            .map(|(start, length)| start..start.saturating_add(length))
            .collect()
    }

    /// Takes the items of a row group.
    fn take(&mut self, group: usize, sink: &mut Sink<'_>) -> Result<(), CollectError> {
        let bad = |e: parquet::errors::ParquetError| unreadable(&self.path, e.to_string());
        let group = self.reader.get_row_group(group).map_err(bad)?;
        if let Some(links) = self.links.take() {
            let first = rows_of(&*group, links).map_err(bad)?.next().transpose().map_err(bad)?;
            let links = first.map(rows::links).unwrap_or_default();
            self.base = self.base.clone().signed_by(&links);
        }
        for row in rows_of(&*group, self.items.clone()).map_err(bad)? {
            let item =
                rows::item(row.map_err(bad)?).map_err(|reason| unreadable(&self.path, reason))?;
            let bounds = item.bbox.as_deref().and_then(rows::bounds);
            if bounds.is_none_or(|bounds| sink.wanted.reaches(bounds)) {
                sink.take(item, &self.base)?;
            }
        }
        sink.report()
    }
}

fn rows_of(
    group: &dyn RowGroupReader,
    columns: Type,
) -> Result<RowIter<'_>, parquet::errors::ParquetError> {
    RowIter::from_row_group(Some(columns), group)
}
