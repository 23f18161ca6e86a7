//! Rows of `surco evaluate fewshot` for encoders that others made: frozen under a logistic regression, and under our adapter; through
//! the lens that `surco meta` trained behind one, where it has one.

use std::path::Path;

use ndarray::Array2;
use surco_data::Sample;
use surco_eval::fewshot::{Row, run_linear};
use surco_learn::{AdapterFeatures, Features, Lens};
use surco_net::{AnyModel, Device, Model};

use super::learners::Asked;
use crate::compare::adapted;
use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

/// An encoder and the name that its rows begin with.
pub(super) struct Peer<'a> {
    name: &'a str,
    model: AnyModel,
    lens: Option<Lens>,
}

/// Reads what `--peer` names.
pub(super) fn read<'a>(given: &'a [String], device: &Device) -> anyhow::Result<Vec<Peer<'a>>> {
    let mut peers: Vec<Peer<'a>> = Vec::new();
    for text in given {
        let (name, folder) = super::named_folder("--peer", text)?;
        if peers.iter().any(|peer| peer.name == name) {
            return Err(Usage(format!("--peer {text}: the name {name} is given twice")).into());
        }
        let folder = Path::new(folder);
        let (model, sha256) = AnyModel::load(folder, device)?;
        peers.push(Peer { name, model, lens: Lens::beside(folder, &sha256, device)? });
    }
    Ok(peers)
}

impl Peer<'_> {
    /// `NAME_lr` and `NAME_adapter`; none where it cannot read the set, which is said. The values that the adapter reads beside
    /// the embedding are those that it reads beside ours.
    pub(super) fn rows(
        &self,
        asked: &Asked<'_>,
        ours: &Model,
        screen: &Screen,
    ) -> anyhow::Result<Vec<Row>> {
        let samples: Vec<&Sample> = asked.set.samples.iter().collect();
        let embedding = match self.model.embed(&samples, asked.bands, asked.window) {
            Ok(embedding) => embedding,
            Err(error) => {
                screen.say(&format!("{} cannot read {}: {error}", self.name, asked.set.name));
                return Ok(Vec::new());
            }
        };
        let embedding = match &self.lens {
            Some(lens) if lens.width() != embedding.ncols() => {
                let (lens, width) = (lens.width(), embedding.ncols());
                let text = format!(
                    "--peer {}: its lens is {lens} wide, its embedding {width}: meta-train it again",
                    self.name
                );
                return Err(BadInput(text).into());
            }
            Some(lens) => lens.apply(&embedding),
            None => embedding,
        };
        let wide: Array2<f64> = embedding.mapv(f64::from);
        let (view, device) = (asked.set.view(), ours.device());
        let name = format!("{}_lr", self.name);
        let mut rows = run_linear(&view, asked.episodes, &name, &wide, screen)?;
        let kind = AdapterFeatures::Values;
        let values = Features::new(kind, ours, &samples, &asked.set.spec, &device);
        let features = Features { embedding, ..values };
        let name = format!("{}_adapter", self.name);
        rows.extend(adapted(asked.set, &features, &name, asked.episodes, screen)?);
        Ok(rows)
    }
}
