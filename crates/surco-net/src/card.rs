//! The README of a model folder: what the model is, what it saw, and what is not known of it.

use burn::module::Module;

use crate::peer::{Peer, Source};
use crate::{Card, Model, ModelConfig};

/// The card of a model of this family whose weights have this name and hash.
pub(crate) fn model_card(model: &Model, weights: &str, sha256: &str) -> String {
    let ModelConfig { size, normalisation, queries, max_dates, patch_px, card, .. } = &model.config;
    let bands: Vec<String> =
        normalisation.bands().iter().map(|band| format!("{:.0}", band.centre_nm)).collect();
    let patches: Vec<String> = patch_px.iter().map(ToString::to_string).collect();
    let rows = [
        (
            "what",
            format!(
                "encoder of irregular image time series, {} wide, {} layers, {} parameters",
                size.width(),
                size.layers(),
                model.encoder.num_params()
            ),
        ),
        (
            "input",
            format!(
                "any bands with their wavelengths, up to {max_dates} dates, patches of {} pixels; mean \
                 and deviation in `config.json`, measured at {} nm",
                patches.join(", "),
                bands.join(", ")
            ),
        ),
        (
            "output",
            format!(
                "{} numbers a series: {} parts of the window",
                queries.parts * size.width(),
                queries.parts
            ),
        ),
        ("data", listed(&card.data)),
        ("how", listed(&card.stages)),
        ("made with", format!("Surco {}", card.version)),
        ("weights", format!("`{weights}`, SHA-256 `{sha256}`")),
        (
            "licence",
            "not recorded: it is for whoever trained it to say, within those of the data".into(),
        ),
        (
            "figures",
            "not recorded: run `surco evaluate` on labels of your own before you trust it".into(),
        ),
    ];
    let limits = "Limits: it has seen the data above and nothing else; other climates, crops and sensors are \
                  outside of what it learnt.";
    written(&format!("surco-{size}"), None, &rows, limits)
}

/// The card of an imported encoder.
pub(crate) fn peer_card(peer: Peer, parameters: usize, source: &Source, sha256: &str) -> String {
    let (title, what, cite, left_out) = match peer {
        Peer::Presto => (
            "Presto (encoder)",
            "encoder of a pixel's months of Sentinel-1, Sentinel-2, ERA5, SRTM and Dynamic World",
            "Tseng et al. 2023, arXiv 2304.14065, github.com/nasaharvest/presto",
            "The decoder, which only pre-training needs, is left out.",
        ),
        Peer::Galileo => (
            "Galileo nano (encoder)",
            "encoder of windows of Sentinel-1, Sentinel-2, ERA5, TerraClimate, VIIRS, SRTM, Dynamic \
             World, WorldCereal and LandScan",
            "Tseng et al. 2025, arXiv 2502.09356, github.com/nasaharvest/galileo",
            "The decoder, which only pre-training needs, is a file of its own.",
        ),
    };
    let rows = [
        ("what", format!("{what}, {parameters} parameters")),
        ("input", "scaled as `config.json` says: `(value + add) / divide`".into()),
        ("output", "128 numbers a series or window".into()),
        ("made by", cite.into()),
        ("imported from", format!("`{}`, SHA-256 `{}`", source.file, source.sha256)),
        (
            "weights",
            format!("`model.safetensors`, F32, SHA-256 `{sha256}`; tensors under their own names"),
        ),
        ("licence", "MIT, of its makers; keep their notice with every copy".into()),
        ("data, seeds, figures", "see the paper".into()),
    ];
    written(title, Some("mit"), &rows, left_out)
}

/// The card of a published system trained here.
pub(crate) fn system_card(
    kind: &str,
    rows: [(&'static str, String); 4],
    card: &Card,
    sha256: &str,
) -> String {
    let mut all = rows.to_vec();
    all.extend([
        ("data", listed(&card.data)),
        ("how", listed(&card.stages)),
        ("made with", format!("Surco {}", card.version)),
        ("weights", format!("`model.safetensors`, F32, SHA-256 `{sha256}`")),
        (
            "licence",
            "not recorded: it is for whoever trained it to say, within those of the data".into(),
        ),
    ]);
    let limits = "Limits: the shapes are those of its publication, the weights are not; it has seen the data above \
                  and nothing else.";
    written(kind, None, &all, limits)
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "not recorded".into() } else { items.join("; ") }
}

/// Markdown with the front matter that model hubs read.
fn written(title: &str, licence: Option<&str>, rows: &[(&str, String)], below: &str) -> String {
    let licence = licence.map(|l| format!("license: {l}\n")).unwrap_or_default();
    let mut text = format!(
        "---\n{licence}library_name: surco\npipeline_tag: feature-extraction\ntags:\n- \
         earth-observation\n- time-series\n---\n\n# {title}\n\n| | |\n|---|---|\n"
    );
    for (key, value) in rows {
        // A bar or a line break would end the cell.
        let value = value.replace('|', "\\|").replace(['\r', '\n'], " ");
        text.push_str(&format!("| {key} | {value} |\n"));
    }
    text + "\n" + below + "\n"
}
