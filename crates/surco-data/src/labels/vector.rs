//! Points and polygons with a class or a name each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use surco_core::Georef;
use surco_raster::projection::{CrsError, Projection};
use surco_raster::rasterise;
use surco_raster::vector::{Collection, Shape};

use super::columns::Dates;
use super::dates::{season_of, words};
use super::left_out::{LeftOut, Reason, is_at_zero, place_of};
use super::{Kind, LabelError, LabelledGround, Labels, LeftOutPixels, PointLabel};

/// Classes named in a sentence.
const NAMED: usize = 8;

/// Shapes, each with its class or name; none if it is not used.
#[derive(Clone, Debug)]
pub(super) struct Places {
    path: PathBuf,
    shapes: Vec<Shape>,
    names: Vec<Option<String>>,
    projection: Projection,
    /// Whether the names are classes, of which a place has one.
    exclusive: bool,
}

impl Places {
    pub(super) fn new(
        path: &Path,
        collection: &Collection,
        names: Vec<Option<String>>,
    ) -> Result<Self, LabelError> {
        let projection = Projection::from_epsg(collection.epsg)
            .map_err(|source| LabelError::Crs { path: path.into(), source })?;
        let shapes = collection.features.iter().map(|f| f.shape.clone()).collect();
        Ok(Self { path: path.into(), shapes, names, projection, exclusive: true })
    }

    /// Places that may share ground, as their names are no classes.
    pub(super) fn called(self) -> Self {
        Self { exclusive: false, ..self }
    }

    /// Number of features in the file.
    pub(super) fn total(&self) -> usize {
        self.shapes.len()
    }

    /// Number of features that are used.
    pub(super) fn count(&self) -> usize {
        self.names.iter().flatten().count()
    }

    /// Leaves out what has no class, no place, or no fix of the receiver.
    pub(super) fn leave_out_unplaced(&mut self, left_out: &mut LeftOut) {
        for i in 0..self.total() {
            let reason = match (&self.shapes[i], &self.names[i]) {
                (shape, _) if shape.bounds().is_none() => Reason::NoPlace,
                (shape, _) if is_at_zero(shape) => Reason::AtZero,
                (_, None) => Reason::NoClass,
                (_, Some(_)) => continue,
            };
            self.leave_out(i, reason, left_out);
        }
    }

    /// Leaves out what is dated outside the season of the images; says which season was taken for granted.
    pub(super) fn leave_out_other_seasons(
        &mut self,
        dates: Option<Dates<'_>>,
        images: (i32, i32),
        left_out: &mut LeftOut,
    ) -> Result<String, LabelError> {
        let Some(dates) = dates else {
            let images = words(images);
            return Ok(format!(
                "labels have no date: they are of the season of the images, {images}"
            ));
        };
        let (from, to) = season_of(images);
        let is_off = |span: &(i32, i32)| span.0 > to || span.1 < from;
        let used: Vec<usize> = (0..self.total()).filter(|&i| self.names[i].is_some()).collect();
        let off: Vec<usize> =
            used.iter().copied().filter(|&i| dates.days[i].as_ref().is_some_and(is_off)).collect();
        let known = used.iter().filter_map(|&i| dates.days[i]);
        let all = known.clone().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let dated = known.count();
        if let (Some(all), true) = (all, !off.is_empty() && off.len() == dated) {
            return Err(LabelError::OtherSeason {
                path: self.path.clone(),
                labels: words(all),
                column: dates.column.into(),
                images: words(images),
            });
        }
        off.iter().for_each(|&i| self.leave_out(i, Reason::OtherSeason, left_out));
        let silent = used.len() - dated;
        let rest = if silent > 0 {
            format!("; {silent} without a date that is understood are of the images' season")
        } else {
            String::new()
        };
        let told = all.map_or("no date".into(), words);
        Ok(format!("column `{}` says when labels are of: {told}{rest}", dates.column))
    }

    /// Leaves out all but the first of labels with the same place and class, and all of those that contradict another.
    pub(super) fn leave_out_repeated(&mut self, left_out: &mut LeftOut) {
        let mut at: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
        for i in (0..self.total()).filter(|&i| self.names[i].is_some()) {
            at.entry(place_of(&self.shapes[i])).or_default().push(i);
        }
        for same in at.into_values() {
            let agree = same.iter().all(|&i| self.names[i] == self.names[same[0]]);
            let (skipped, reason) =
                if agree { (1, Reason::Repeated) } else { (0, Reason::Contradicted) };
            same.into_iter().skip(skipped).for_each(|i| self.leave_out(i, reason, left_out));
        }
    }

    fn leave_out(&mut self, i: usize, reason: Reason, left_out: &mut LeftOut) {
        self.names[i] = None;
        left_out.add(reason, i);
    }

    /// What is odd about kinds of shapes, in words.
    pub(super) fn kinds_of_shapes(&self) -> Option<String> {
        let used = self.shapes.iter().zip(&self.names).filter(|(_, name)| name.is_some());
        let polygons = used.filter(|(shape, _)| matches!(shape, Shape::Polygons(_))).count();
        let points = self.count() - polygons;
        (points > 0 && polygons > 0)
            .then(|| format!("{points} points and {polygons} polygons are labels alike"))
    }

    /// What looks odd about names of classes, in words.
    pub(super) fn looks(&self) -> Vec<String> {
        let mut told = Vec::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let names = self.names.iter().filter_map(|name| name.as_deref());
        names.for_each(|name| *counts.entry(name).or_default() += 1);
        let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        counts.keys().for_each(|name| alike.entry(name.to_lowercase()).or_default().push(name));
        for names in alike.values().filter(|names| names.len() > 1) {
            let names = names.join("`, `");
            told.push(format!("`{names}` differ in capitals alone and are classes of their own"));
        }
        let single: Vec<&str> =
            counts.iter().filter(|(_, n)| **n == 1).map(|(name, _)| *name).collect();
        if !single.is_empty() {
            let (named, more) =
                (single[..single.len().min(NAMED)].join(", "), single.len() > NAMED);
            let (noun, more) =
                (if single.len() == 1 { "class" } else { "classes" }, if more { " …" } else { "" });
            told.push(format!("{} {noun} with a single label stay: {named}{more}", single.len()));
        }
        told
    }

    /// The labels, if any is left.
    pub(super) fn into_labels(
        self,
        assumed: Vec<String>,
        left_out: LeftOut,
    ) -> Result<Labels, LabelError> {
        if self.count() == 0 {
            let reasons = left_out.told(self.total()).join("; ");
            return Err(LabelError::NothingLeft { path: self.path, reasons });
        }
        Ok(Labels {
            path: self.path.clone(),
            kind: Kind::Vector(Box::new(self)),
            assumed,
            left_out,
            left_out_pixels: LeftOutPixels::default(),
            named: None,
        })
    }

    /// The shapes on a grid; nothing for one that has no place in the grid's system.
    fn moved(&self, grid: &Georef) -> Result<Vec<Option<Shape>>, LabelError> {
        let crs = |source| LabelError::Crs { path: self.path.clone(), source };
        let to = Projection::from_epsg(grid.epsg).map_err(crs)?;
        let same = self.projection.epsg() == grid.epsg;
        let shapes = self.shapes.iter().map(|shape| {
            if same {
                return Ok(Some(shape.clone()));
            }
            match shape.clone().moved(&self.projection, &to) {
                Ok(shape) => Ok(Some(shape)),
                Err(CrsError::OutOfRange { .. }) => Ok(None),
                Err(source) => Err(crs(source)),
            }
        });
        shapes.collect()
    }

    /// The pixels of a grid that places lie on, each pixel once.
    pub(super) fn on(
        &self,
        grid: &Georef,
        size: (usize, usize),
    ) -> Result<LabelledGround, LabelError> {
        // Number of the label of a pixel, counted from 1.
        let mut taken = ndarray::Array2::<usize>::zeros(size);
        let mut points: Vec<PointLabel> = Vec::new();
        let mut contradicted = BTreeSet::new();
        for (feature, (shape, name)) in self.moved(grid)?.iter().zip(&self.names).enumerate() {
            let (Some(shape), Some(class)) = (shape, name) else { continue };
            let mut take = |row: usize, col: usize| match taken[[row, col]] {
                0 => {
                    points.push(PointLabel { row, col, class: class.clone(), feature });
                    taken[[row, col]] = points.len();
                }
                label => {
                    if self.exclusive && points[label - 1].class != *class {
                        contradicted.insert((row, col));
                    }
                }
            };
            match shape {
                Shape::Point(_) | Shape::Points(_) => {
                    for &[x, y] in shape.points() {
                        let (row, col) = grid.row_col(x, y);
                        let inside =
                            row >= 0.0 && col >= 0.0 && row < size.0 as f64 && col < size.1 as f64;
                        if inside {
                            take(row as usize, col as usize);
                        }
                    }
                }
                Shape::Polygons(polygons) => {
                    for run in polygons.iter().flat_map(|p| rasterise::runs(p, grid, size)) {
                        run.cols.for_each(|col| take(run.row, col));
                    }
                }
            }
        }
        points.retain(|point| !contradicted.contains(&(point.row, point.col)));
        Ok(LabelledGround { points, contradicted: contradicted.len() })
    }

    /// Notes which labels gave no pixel: those beside all grids, and those that hold no centre of a pixel.
    pub(super) fn leave_out_unused(
        &self,
        used: &BTreeSet<usize>,
        grids: &[(Georef, (usize, usize))],
        left_out: &mut LeftOut,
    ) {
        let mut meets = vec![false; self.total()];
        for (grid, (rows, cols)) in grids {
            let (height, width) = (*rows as f64, *cols as f64);
            for (i, shape) in self.moved(grid).unwrap_or_default().iter().enumerate() {
                let Some([west, south, east, north]) = shape.as_ref().and_then(Shape::bounds)
                else {
                    continue;
                };
                let ((top, left), (bottom, right)) =
                    (grid.row_col(west, north), grid.row_col(east, south));
                meets[i] |= bottom >= 0.0 && right >= 0.0 && top < height && left < width;
            }
        }
        for i in (0..self.total()).filter(|i| self.names[*i].is_some() && !used.contains(i)) {
            left_out.add(if meets[i] { Reason::NoPixel } else { Reason::Outside }, i);
        }
    }

    /// The same with x and y swapped.
    pub(super) fn swapped(&self) -> Self {
        let swap = |[x, y]: &[f64; 2]| [*y, *x];
        let mut other = self.clone();
        for shape in &mut other.shapes {
            match shape {
                Shape::Point(point) => *point = swap(point),
                Shape::Points(points) => points.iter_mut().for_each(|p| *p = swap(p)),
                Shape::Polygons(polygons) => polygons
                    .iter_mut()
                    .flat_map(|polygon| polygon.rings.iter_mut().flatten())
                    .for_each(|p| *p = swap(p)),
            }
        }
        other
    }
}
