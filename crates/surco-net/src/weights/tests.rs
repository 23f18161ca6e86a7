use super::*;
use std::fs;

use crate::folder::hex;
use crate::{Card, Size};
use sha2::{Digest, Sha256};
use surco_data::{Normalisation, QueryGrid, SpectralBand};

fn model() -> Model {
    let band = SpectralBand::optical(665.0, 31.0);
    Model {
        encoder: fresh(Size::Nano, 3, &Device::flex()),
        config: ModelConfig {
            schema: SCHEMA,
            size: Size::Nano,
            normalisation: Normalisation::measure(&[band], &[]),
            queries: QueryGrid { count: 4, parts: 2 },
            max_dates: 8,
            patch_px: vec![1],
            context: Vec::new(),
            sight: Default::default(),
            card: Card::default(),
        },
    }
}

fn tensors(model: &Model) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let mut collector = Collector::default();
    model.encoder.visit(&mut collector);
    collector.tensors
}

#[test]
fn a_model_comes_back_bit_by_bit() {
    let (home, model) = (tempfile::tempdir().unwrap(), model());
    let folder = home.path();
    let written = save_model(&model, folder).unwrap();
    let (back, read) = load_model(folder, &Device::flex()).unwrap();
    assert_eq!((written, &model.config), (read, &back.config));
    assert!(tensors(&model) == tensors(&back));
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    assert_eq!(load_model(folder, &Device::flex()).unwrap_err().fault(), Fault::Input);
}

#[test]
fn the_card_says_what_is_known_and_what_is_not() {
    let (home, mut model) = (tempfile::tempdir().unwrap(), model());
    let folder = home.path();
    model.config.card.stages = vec!["masked 600 steps, seed 7".into()];
    let sha256 = save_model(&model, folder).unwrap();
    let card = fs::read_to_string(folder.join("README.md")).unwrap();
    for part in [
        "# surco-nano",
        "library_name: surco",
        &format!("{} parameters", model.encoder.num_params()),
        "measured at 665 nm",
        "| how | masked 600 steps, seed 7 |",
        "| data | not recorded |",
        "| licence | not recorded",
        "| figures | not recorded",
        &sha256,
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
}

/// A safetensors file with this header and nothing after it but `data`.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Loads a model whose weights are these bytes, vouched for by their own hash.
fn refusal(config: &[u8], weights: &[u8]) -> String {
    let mut config: serde_json::Value = serde_json::from_slice(config).unwrap();
    config["weights_sha256"] = hex(&Sha256::digest(weights)).into();
    let config = config.to_string();
    let (weights, folder) = ((WEIGHTS, weights), Path::new("m"));
    let error = read_model(config.as_bytes(), weights, folder, &Device::flex()).unwrap_err();
    assert_eq!(error.fault(), Fault::Input, "{error}");
    let said = error.to_string();
    assert!(said.contains("m/model.safetensors") && said.contains("again"), "{said}");
    said
}

#[test]
fn hostile_weights_are_refused_even_when_their_hash_is_right() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    save_model(&model(), folder).unwrap();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (config, whole) = (read(CONFIG), read(WEIGHTS));
    let other = Model { encoder: fresh(Size::Micro, 3, &Device::flex()), ..model() };
    save_model(&other, folder).unwrap();
    let other = read(WEIGHTS);
    let mut endless = whole.clone();
    endless[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut beyond = whole.clone();
    beyond[..8].copy_from_slice(&(whole.len() as u64).to_le_bytes());
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let one = |dtype: &str, shape: &str, end: u64| {
        let header = format!(
            "{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"
        );
        with_header(&header, &[0; 16])
    };
    let held = tensors(&model());
    let changed = |dtype: Dtype, prefix: &str| {
        let views = held.iter().map(|(name, (shape, bytes))| {
            (format!("{prefix}{name}"), TensorView::new(dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    };
    let cases: [(&str, &[u8], &str); 13] = [
        ("cut", &whole[..whole.len() / 2], "do not fit"),
        ("a header without end", &endless, "header too large"),
        ("a header longer than the file", &beyond, "invalid header length"),
        ("no number", &nan, "NaN"),
        ("another model's", &other, "those of size nano have"),
        ("an absurd shape", &one("F32", "[4294967296,4294967296,4]", 16), "overflow"),
        ("a shape that is not there", &one("F32", "[400]", 16), "invalid shape"),
        ("data beyond the end", &one("F32", "[400]", 1600), "incomplete metadata"),
        ("one tensor", &one("F32", "[4]", 16), "its tensors have 16 bytes"),
        ("other names", &changed(Dtype::F32, "other."), "missing"),
        ("whole numbers", &changed(Dtype::I32, ""), "I32"),
        ("a pickle", b"\x80\x02}q\x00.", "surco weights import"),
        ("a PyTorch file", include_bytes!("../../fixtures/torch/sound.pt"), "surco weights import"),
    ];
    for (what, bytes, says) in cases {
        let said = refusal(&config, bytes);
        assert!(said.contains(says), "{what}: {said}");
    }
}

/// Two billion parameters would take 8 GB before the first tensor is found missing.
#[test]
fn a_config_that_asks_for_more_than_there_is_gets_no_memory() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    save_model(&model(), folder).unwrap();
    let path = folder.join(CONFIG);
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"nano\"", "\"2b\"")).unwrap();
    let said = load_model(folder, &Device::flex()).unwrap_err().to_string();
    assert!(said.contains("those of size 2b have"), "{said}");
}

#[test]
fn eight_bit_weights_are_vouched_for_too_and_leave_no_others_behind() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    save_model(&model(), folder).unwrap();
    save_int8(&model(), folder).unwrap();
    assert!(!folder.join(WEIGHTS).exists());
    let path = folder.join(INT8_WEIGHTS);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = load_model(folder, &Device::flex()).unwrap_err();
    assert!(matches!(error, WeightsError::Hash { .. }), "{error}");
    save_model(&model(), folder).unwrap();
    assert!(load_model(folder, &Device::flex()).is_ok() && !path.exists());
}

#[test]
fn weights_that_are_not_the_recorded_ones_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    save_model(&model(), folder).unwrap();
    let path = folder.join(WEIGHTS);
    let mut bytes = fs::read(&path).unwrap();
    let recorded = hex(&Sha256::digest(&bytes));
    // One bit of one value: as finite as before.
    let end = bytes.len();
    bytes[end - 4] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = load_model(folder, &Device::flex()).unwrap_err();
    let found = hex(&Sha256::digest(&bytes));
    let said = error.to_string();
    assert!(matches!(error, WeightsError::Hash { .. }), "{said}");
    assert!(said.contains(&recorded) && said.contains(&found), "{said}");
}

#[test]
fn a_config_that_is_none_is_refused_with_its_key() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    save_model(&model(), folder).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join(CONFIG)).unwrap()).unwrap();
    let cases: [(&str, serde_json::Value, &str); 7] = [
        ("schema", 1.into(), "schema 1 is not 2"),
        ("schema", "two".into(), "`schema` is missing or no number"),
        ("weights_sha256", serde_json::Value::Null, "`weights_sha256` is missing or no text"),
        ("kind", "presto".into(), "of kind `presto`, but a model of kind `surco` is needed"),
        ("size", "gigantic".into(), "gigantic"),
        ("sise", "nano".into(), "unknown field `sise`"),
        ("card", "x".repeat(2 << 20).into(), "more than any config has"),
    ];
    for (key, value, says) in cases {
        let mut changed = config.clone();
        changed[key] = value;
        fs::write(folder.join(CONFIG), changed.to_string()).unwrap();
        let error = load_model(folder, &Device::flex()).unwrap_err();
        assert!(matches!(error, WeightsError::Config { .. }), "{key}: {error}");
        assert!(error.to_string().contains(says), "{key}: {error}");
    }
}

/// Cosine of embeddings of a model before and after.
#[test]
fn eight_bits_hold_a_model_in_a_quarter_of_its_bytes() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let (model, device) = (model(), Device::flex());
    let written = save_int8(&model, folder).unwrap();
    let (back, read) = load_model(folder, &device).unwrap();
    assert_eq!((written, &model.config), (read, &back.config));
    let bytes = fs::metadata(folder.join(INT8_WEIGHTS)).unwrap().len();
    let params = model.config.size.params();
    assert!(bytes < params + params / 10, "{bytes} bytes for {params} parameters");

    let value = |i: i32, d: i32| 0.2 + 0.15 * ((i * 7 + d) as f32 * 0.4).sin();
    let sample = |i: i32| {
        let days = (0..8).map(|d| d * 40).collect();
        surco_data::Sample::series(days, (0..8).map(|d| value(i, d)).collect(), true)
    };
    let samples: Vec<_> = (0..20).map(sample).collect();
    let spec = model.config.spec(model.config.normalisation.bands(), (0, 365));
    let refs: Vec<_> = samples.iter().collect();
    let (a, b) =
        (crate::embed(&model, &refs, &spec, &device), crate::embed(&back, &refs, &spec, &device));
    for (a, b) in a.rows().into_iter().zip(b.rows()) {
        let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
        assert!(cosine > 0.999, "{cosine}");
    }
}
