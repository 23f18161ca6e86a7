//! An index of items in `GeoParquet` (stac-geoparquet), as rustac and the mirrors of Earth Search write it.
//!
//! Only the columns that collecting needs are read, row group by row group; groups whose statistics show
//! that they hold nothing of the area and the dates are passed over. Behind HTTP only these parts are
//! fetched.

mod columns;
mod groups;
mod rows;
mod source;
mod wkb;

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use self::source::{Chunks, Source};
use super::sink::Sink;
use super::unreadable;
use crate::CollectError;
use crate::fetch::Hub;
use crate::href::{Base, Place};
use crate::stac::{Item, Link};

/// Row groups that are unpacked at the same time; each holds a few hundred items.
const AT_A_TIME: usize = 8;
/// Items that are handed over together, and how many such hands may wait.
const HAND: usize = 32;
const WAITING: usize = 16;

pub(super) async fn read(
    place: &Place,
    hub: &Arc<Hub>,
    sink: &mut Sink<'_>,
) -> Result<(), CollectError> {
    let places = match place {
        Place::File(path) => files(path)?.into_iter().map(Place::File).collect(),
        Place::Http(_) => vec![place.clone()],
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    for place in places {
        let source = Source::open(&place, hub).await?;
        let mut index = Index::open(source.chunks(), &place, sink)?;
        let wanted: Vec<usize> =
            (0..index.reader.num_row_groups()).filter(|&g| index.wants(g, sink)).collect();
        for groups in wanted.chunks(cores.min(AT_A_TIME)) {
            for &group in groups {
                source.fetch(&index.ranges(group)).await?;
            }
            index.take(groups, sink)?;
            source.forget();
        }
    }
    Ok(())
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
struct Index {
    reader: SerializedFileReader<Chunks>,
    base: Base,
    path: PathBuf,
    /// The columns of items, and those that tell which service they are from.
    items: Type,
    links: Option<Type>,
}

impl Index {
    fn open(chunks: Chunks, place: &Place, sink: &Sink<'_>) -> Result<Self, CollectError> {
        let path = PathBuf::from(place.to_string());
        let reader =
            SerializedFileReader::new(chunks).map_err(|e| unreadable(&path, e.to_string()))?;
        let columns = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
        if !columns.into_iter().all(groups::is_sound) {
            return Err(unreadable(&path, "its footer is broken; fetch the file again"));
        }
        let schema = reader.metadata().file_metadata().schema();
        let (items, links) = columns::needed(schema, &sink.wanted.request.sensor, sink.bands)
            .map_err(|reason| unreadable(&path, reason))?;
        Ok(Self { reader, base: Base::of(place), path, items, links })
    }

    /// Whether a row group may hold something that is wanted.
    fn wants(&self, group: usize, sink: &Sink<'_>) -> bool {
        groups::may_hold(self.reader.metadata().row_group(group), sink.wanted)
    }

    /// Where the needed columns of a row group lie.
    fn ranges(&self, group: usize) -> Vec<Range<u64>> {
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

    /// Takes the items of row groups: unpacked side by side, taken in their order.
    fn take(&mut self, groups: &[usize], sink: &mut Sink<'_>) -> Result<(), CollectError> {
        if let (Some(links), Some(&first)) = (self.links.take(), groups.first()) {
            let links = self.first_links(first, links).map_err(|e| self.bad(&e))?;
            self.base = self.base.clone().signed_by(&links);
        }
        let index = &*self;
        thread::scope(|scope| {
            let mut unpacking = Vec::new();
            for &group in groups {
                let (sender, items) = sync_channel(WAITING);
                unpacking.push((scope.spawn(move || index.unpack(group, &sender)), items));
            }
            for (unpacker, items) in unpacking {
                for hand in items {
                    for item in hand? {
                        let bounds = item.bbox.as_deref().and_then(rows::bounds);
                        if bounds.is_none_or(|bounds| sink.wanted.reaches(bounds)) {
                            sink.take(item, &index.base)?;
                        }
                    }
                }
                // The reader of rows panics on some broken bytes.
                let broken = "a row group is broken; fetch the file again";
                unpacker.join().map_err(|_| unreadable(&index.path, broken))?;
                sink.report()?;
            }
            Ok(())
        })
    }

    /// Hands over the items of a row group, until nobody takes them any more.
    fn unpack(&self, group: usize, to: &SyncSender<Result<Vec<Item>, CollectError>>) {
        if let Err(error) = self.try_unpack(group, to) {
            let _ = to.send(Err(error));
        }
    }

    fn try_unpack(
        &self,
        group: usize,
        to: &SyncSender<Result<Vec<Item>, CollectError>>,
    ) -> Result<(), CollectError> {
        let group = self.reader.get_row_group(group).map_err(|e| self.bad(&e))?;
        let mut hand = Vec::with_capacity(HAND);
        for row in rows_of(&*group, self.items.clone()).map_err(|e| self.bad(&e))? {
            let row = row.map_err(|e| self.bad(&e))?;
            hand.push(rows::item(row).map_err(|reason| unreadable(&self.path, reason))?);
            if hand.len() == HAND && to.send(Ok(std::mem::take(&mut hand))).is_err() {
                return Ok(());
            }
        }
        let _ = to.send(Ok(hand));
        Ok(())
    }

    /// The links of the first item of a row group.
    fn first_links(&self, group: usize, links: Type) -> Result<Vec<Link>, ParquetError> {
        let group = self.reader.get_row_group(group)?;
        let first = rows_of(&*group, links)?.next().transpose()?;
        Ok(first.map(rows::links).unwrap_or_default())
    }

    fn bad(&self, error: &ParquetError) -> CollectError {
        unreadable(&self.path, error.to_string())
    }
}

fn rows_of(group: &dyn RowGroupReader, columns: Type) -> Result<RowIter<'_>, ParquetError> {
    RowIter::from_row_group(Some(columns), group)
}
