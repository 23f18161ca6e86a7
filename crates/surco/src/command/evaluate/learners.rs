//! Rows of `surco evaluate fewshot` for meta-trained models that learn each support by steps of gradients.

use std::path::Path;

use surco_core::Progress;
use surco_data::BatchSpec;
use surco_eval::fewshot::{Episode, FewShotError, Row, Shot, score_answers};
use surco_learn::{FewLabels, MetaLearner};
use surco_net::Device;

use crate::compare::Comparison;
use crate::exit::{BadInput, Usage};

/// A meta-trained model and the name of its row.
pub(super) struct Named<'a> {
    name: &'a str,
    pub(super) learns: MetaLearner,
}

/// Reads what `--learner` names.
pub(super) fn read<'a>(given: &'a [String], device: &Device) -> anyhow::Result<Vec<Named<'a>>> {
    let mut learners: Vec<Named<'a>> = Vec::new();
    for text in given {
        let (name, folder) = super::named_folder("--learner", text)?;
        if learners.iter().any(|learner| learner.name == name) {
            return Err(Usage(format!("--learner {text}: the name {name} is given twice")).into());
        }
        learners.push(Named { name, learns: MetaLearner::load(Path::new(folder), device)? });
    }
    Ok(learners)
}

impl Named<'_> {
    /// Learns the support of each episode and is scored on its queries, whose labels it does not see.
    pub(super) fn rows(
        &self,
        set: &Comparison<'_>,
        spec: &BatchSpec,
        episodes: &[Episode],
        progress: &dyn Progress,
    ) -> anyhow::Result<Vec<Row>> {
        if spec.bands.is_empty() {
            let text = format!(
                "--learner {}: the set {} has no column with a wavelength, nothing it can learn from",
                self.name, set.name
            );
            return Err(BadInput(text).into());
        }
        let view = set.view();
        let shots = view.shots(episodes)?;
        let tasks: Vec<FewLabels<'_>> = shots.iter().map(task_of).collect();
        let answers = self.learns.answers(set.samples, spec, &tasks, progress);
        let answers = answers.ok_or(FewShotError::Stopped)?;
        Ok(score_answers(&view, episodes, self.name, &answers)?)
    }
}

/// What a learner is given of an episode.
fn task_of<'a>(shot: &'a Shot<'_>) -> FewLabels<'a> {
    let Episode { support, query, classes, .. } = shot.episode;
    FewLabels { support, labels: &shot.support_labels, classes: classes.len(), query }
}
