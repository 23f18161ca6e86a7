//! A small simulated valley, collected and learnt from once, and the program that does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No command on this valley takes as long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Fields of these classes are labelled: the ones with most fields, so that adapting is quick.
const LABELLED: [&str; 4] = ["winter wheat", "maize", "native forest", "deciduous fruit"];

/// Folders of the valley that every test may read and none may change.
pub(crate) struct Valley {
    /// 14 scenes of 64 × 64 pixels, more than one shard of dates, with STAC items.
    pub(crate) archive: PathBuf,
    /// What an undisturbed `surco collect` made of them.
    pub(crate) store: PathBuf,
    /// A point in the middle of each field of four classes.
    pub(crate) points: PathBuf,
    /// What a short pre-training made of the store.
    pub(crate) model: PathBuf,
    /// What adaptation made of the points.
    pub(crate) task: PathBuf,
    /// The map.
    pub(crate) map: PathBuf,
    /// The last line of stdout of each command, by its name.
    pub(crate) results: BTreeMap<&'static str, Run>,
}

/// What a run of the program gave.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments.
pub(crate) fn surco<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_surco"));
    command.args(args).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

impl Run {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The JSON object that `--json` ends stdout with; it must be all of stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "one line: {}", self.stdout);
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }

    /// The message of a command that was refused, without the lines of progress before it.
    pub(crate) fn message(&self) -> String {
        let at = self.stderr.find("error: ").unwrap_or_else(|| panic!("no error: {}", self.stderr));
        self.stderr[at..].trim_end().to_string()
    }
}

/// Arguments from text and paths.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$(std::ffi::OsStr::new(&$arg).to_os_string()),*]
    };
}
pub(crate) use args;

/// The valley, made by the first test that asks.
pub(crate) fn valley() -> &'static Valley {
    static VALLEY: OnceLock<Valley> = OnceLock::new();
    VALLEY.get_or_init(|| Valley::make(&home()))
}

/// A folder for this run of the tests; what earlier ones left is removed.
fn home() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("surco-cli");
    fs::create_dir_all(&all).unwrap();
    for entry in fs::read_dir(&all).unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let alive = Command::new("kill").args(["-0", &name]).output().unwrap().status.success();
        if !alive {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let home = all.join(std::process::id().to_string());
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).unwrap();
    home
}

impl Valley {
    fn make(home: &Path) -> Self {
        let at = |name: &str| home.join(name);
        let mut valley = Self {
            archive: at("archive"),
            store: at("store"),
            points: at("points.geojson"),
            model: at("run/model"),
            task: at("task"),
            map: at("map.tif"),
            results: BTreeMap::new(),
        };
        let mut step = |name, command: &mut Command| {
            let run = Run::of(command.arg("--json"));
            assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
            valley.results.insert(name, run);
        };
        let simulate =
            args!["simulate", "--out", at("archive"), "--side-px", "64", "--scenes", "14"];
        step("simulate", &mut surco(simulate));
        step("collect", &mut collect(&at("archive").join("items.json"), &at("store")));
        fs::write(at("points.geojson"), points(&at("archive"))).unwrap();
        let config = at("pretrain.toml");
        fs::write(&config, pretrain_config(&at("store"), &at("run"), 4)).unwrap();
        step("pretrain", &mut surco(args!["pretrain", config]));
        let adapt = [
            args!["adapt", "--model", at("run/model"), "--labels", at("points.geojson")],
            args!["--store", at("store"), "--out", at("task"), "--seeds=1"],
        ];
        step("adapt", &mut surco(adapt.concat()));
        step("map", &mut map(&at("run/model"), &at("task"), &at("store"), &at("map.tif")));
        let area = args!["area", "--map", at("map.tif"), "--sample", at("points.geojson")];
        step("area", &mut surco(area));
        valley
    }

    /// The catalog of the archive.
    pub(crate) fn items(&self) -> PathBuf {
        self.archive.join("items.json")
    }
}

/// `surco collect` from a catalog into a store.
pub(crate) fn collect(catalog: &Path, store: &Path) -> Command {
    surco(args!["collect", "--catalog", catalog, "--store", store])
}

/// `surco map` of a store with a model and a task.
pub(crate) fn map(model: &Path, task: &Path, store: &Path, out: &Path) -> Command {
    surco(args!["map", "--model", model, "--task", task, "--store", store, "--out", out])
}

/// A quick pre-training with a checkpoint every two steps.
pub(crate) fn pretrain_config(store: &Path, out: &Path, steps: u64) -> String {
    format!(
        "schema = 1\nstores = [{store:?}]\nout = {out:?}\nsize = \"nano\"\nsteps = {steps}\nbatch = 64\n\
         windows = 1\nseed = 3\ncheckpoint_every_steps = 2\nvalidate_every_steps = 3\n"
    )
}

/// The middle of each labelled field, as GeoJSON.
fn points(archive: &Path) -> String {
    let text = fs::read_to_string(archive.join("truth/fields.geojson")).unwrap();
    let fields: Value = serde_json::from_str(&text).unwrap();
    let features = fields["features"].as_array().unwrap().iter();
    let labelled =
        features.filter(|f| LABELLED.contains(&f["properties"]["class"].as_str().unwrap()));
    let points: Vec<Value> = labelled.map(point).collect();
    json!({ "type": "FeatureCollection", "features": points }).to_string()
}

fn point(field: &Value) -> Value {
    let mut ring = &field["geometry"]["coordinates"];
    while ring[0][0].is_array() {
        ring = &ring[0];
    }
    let ring = ring.as_array().unwrap();
    let mean = |axis: usize| {
        ring.iter().map(|p| p[axis].as_f64().unwrap()).sum::<f64>() / ring.len() as f64
    };
    json!({
        "type": "Feature",
        "properties": { "class": field["properties"]["class"] },
        "geometry": { "type": "Point", "coordinates": [mean(0), mean(1)] },
    })
}

/// All files under a folder by their path in it; the records of a store's runs hold times and do not count.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".runs") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Fails unless two folders hold the same files with the same bytes.
pub(crate) fn assert_same_files(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{} differs", name.display());
    }
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let place = to.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
}

/// Waits until something is so; false if the program ended before.
pub(crate) fn wait_until(child: &mut Child, mut so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if so() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}
