//! Rows of `surco evaluate fewshot` and `pixels` for meta-trained models that learn each support by steps of gradients.

use std::path::Path;
use std::sync::Arc;

use surco_core::Window;
use surco_data::{Chips, Cube, SeriesWindow, SpectralBand, read_cube};
use surco_eval::fewshot::{Episode, FewShotError, Row, Shot, score_answers};
use surco_learn::{AnyLearner, FewLabels, LearnError, MeteorLearner};
use surco_net::Device;
use surco_store::Store;

use crate::compare::Comparison;
use crate::exit::{BadInput, Usage};
use crate::learning::Labelled;
use crate::screen::Screen;

/// A meta-trained model and the name of its row.
pub(super) struct Named<'a> {
    name: &'a str,
    learns: AnyLearner,
}

/// What learners are asked.
pub(super) struct Asked<'a> {
    pub(super) set: &'a Comparison<'a>,
    pub(super) bands: &'a [SpectralBand],
    pub(super) window: (i32, i32),
    pub(super) episodes: &'a [Episode],
    /// What was seen around the points, where that is known.
    pub(super) images: Option<&'a Images<'a>>,
}

/// Labelled pixels with the cubes they lie in.
pub(super) struct Images<'a> {
    labelled: &'a Labelled,
    cubes: Vec<Arc<Cube>>,
}

impl<'a> Images<'a> {
    /// Reads the cubes of labelled pixels, if any of the learners looks at images.
    pub(super) fn of(
        labelled: &'a Labelled,
        store: &Path,
        learners: &[Named<'_>],
    ) -> anyhow::Result<Self> {
        let mut cubes = Vec::new();
        if learners.iter().any(|learner| learner.images().is_some()) {
            let store = Store::open(store)?;
            for cell in &labelled.cells {
                let reader = store.cell(cell)?;
                let window = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
                let at = SeriesWindow { cell: cell.clone(), window };
                cubes.push(Arc::new(read_cube(&store, &at, None)?));
            }
        }
        Ok(Self { labelled, cubes })
    }

    /// The chips around all labelled pixels, in their order, as a learner takes them.
    fn chips(&self, learner: &MeteorLearner) -> Result<Chips, LearnError> {
        let mut chips = Chips::new(learner.learning.chip_px);
        for (cell, cube) in self.cubes.iter().enumerate() {
            let bands = learner.model.config.places(&cube.band_names)?;
            chips.add(cube.clone(), bands, self.labelled.in_cell(cell));
        }
        Ok(chips)
    }
}

/// Reads what `--learner` names.
pub(super) fn read<'a>(given: &'a [String], device: &Device) -> anyhow::Result<Vec<Named<'a>>> {
    let mut learners: Vec<Named<'a>> = Vec::new();
    for text in given {
        let (name, folder) = super::named_folder("--learner", text)?;
        if learners.iter().any(|learner| learner.name == name) {
            return Err(Usage(format!("--learner {text}: the name {name} is given twice")).into());
        }
        learners.push(Named { name, learns: AnyLearner::load(Path::new(folder), device)? });
    }
    Ok(learners)
}

impl Named<'_> {
    /// The learner, if it looks at images.
    fn images(&self) -> Option<&MeteorLearner> {
        match &self.learns {
            AnyLearner::Series(_) => None,
            AnyLearner::Images(learner) => Some(learner),
        }
    }

    /// What is said where a set has no images for it.
    fn lacks_images(&self, set: &str) -> BadInput {
        BadInput(format!(
            "--learner {}: METEOR learns images, and the series of points of the set {set} have none; measure it on the labelled \
             pixels of a store, by `surco evaluate pixels`",
            self.name
        ))
    }

    /// Fails on what the learner cannot be asked, and says what is assumed of what it can.
    pub(super) fn check(&self, asked: &Asked<'_>, screen: &Screen) -> anyhow::Result<()> {
        let Some(learner) = self.images() else { return Ok(()) };
        let Some(images) = asked.images else {
            return Err(self.lacks_images(asked.set.name).into());
        };
        let chips = images.chips(learner)?;
        let view = asked.set.view();
        let shots = view.shots(asked.episodes)?;
        let tasks: Vec<FewLabels<'_>> = shots.iter().map(task_of).collect();
        let side = chips.side_px();
        let (never, places) = learner.never_whole(&chips, &tasks);
        if never > 0 {
            let text = format!(
                "--learner {}: {never} of {places} labelled pixels asked about or learned from have no date on which all {side} × {side} \
                 pixels around them were seen; meta-train it with a smaller chip_px than {side}, or give labels where there are such dates",
                self.name
            );
            return Err(BadInput(text).into());
        }
        if chips.mirrored() > 0 {
            screen.say(&format!(
                "assumed: {}: the chips around {} of {} labelled pixels stick out of their cell and are mirrored at its edge",
                self.name,
                chips.mirrored(),
                chips.len()
            ));
        }
        Ok(())
    }

    /// Learns the support of each episode and is scored on its queries, whose labels it does not see.
    pub(super) fn rows(&self, asked: &Asked<'_>, screen: &Screen) -> anyhow::Result<Vec<Row>> {
        let view = asked.set.view();
        let shots = view.shots(asked.episodes)?;
        let tasks: Vec<FewLabels<'_>> = shots.iter().map(task_of).collect();
        let answers = match (&self.learns, asked.images) {
            (AnyLearner::Series(learner), _) => {
                if asked.bands.is_empty() {
                    let text = format!(
                        "--learner {}: the set {} has no column with a wavelength, nothing it can learn from",
                        self.name, asked.set.name
                    );
                    return Err(BadInput(text).into());
                }
                let spec = learner.model.config.spec(asked.bands, asked.window);
                learner.answers(asked.set.samples, &spec, &tasks, screen)
            }
            (AnyLearner::Images(learner), Some(images)) => {
                learner.answers(&images.chips(learner)?, &tasks, screen)
            }
            (AnyLearner::Images(_), None) => {
                return Err(self.lacks_images(asked.set.name).into());
            }
        };
        let answers = answers.ok_or(FewShotError::Stopped)?;
        Ok(score_answers(&view, asked.episodes, self.name, &answers)?)
    }
}

/// What a learner is given of an episode.
fn task_of<'a>(shot: &'a Shot<'_>) -> FewLabels<'a> {
    let Episode { support, query, classes, .. } = shot.episode;
    FewLabels { support, labels: &shot.support_labels, classes: classes.len(), query }
}
