//! A collection as a Slurm job array, on a real cluster of one machine whose daemons are killed.
//!
//! Needs root and the packages slurmctld, slurmd, slurm-client and munge; see `slurm/start.sh`.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use surco_verify::{Tree, surco, tree};

const TASKS: usize = 4;
/// Longest wait for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(90);
/// No task begins for this long once the processors are taken by tasks that are held.
const SETTLED: Duration = Duration::from_secs(2);
/// One archive, one plan, and three ways to run it: alone, in two processes at once, and as an array whose
/// daemons are killed and one task of which is requeued in the middle of its work. One band of the archive
/// is cut short, so that every way also has to end with the same holes.
#[test]
fn an_array_whose_daemons_are_killed_gives_the_bytes_of_one_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let archive = at("archive with $a space");
    let simulate = ["simulate", "--side-px=512", "--scenes=60", "--seed=5", "--quiet", "--out"];
    assert_code(surco(simulate).arg(&archive), 0);
    cut_one_band_short(&archive);
    let collect = |verb: &str, store: &Path, more: &[&str]| {
        let mut command = surco(["collect", verb, "--quiet", "--threads=1"]);
        command.arg("--catalog").arg(archive.join("items.json"));
        command.arg("--store").arg(store).args(more);
        command
    };

    let alone = at("alone");
    assert_code(&mut collect("run", &alone, &[]), 5);
    let expected = tree(&alone);
    assert_eq!(shards_of(&alone), manifests(&expected), "one process does every shard once");

    let two = at("two");
    let both: Vec<_> = ["0", "1"]
        .map(|i| collect("run", &two, &["--shard-index", i, "--shard-count=2"]))
        .into_iter()
        .map(|mut command| command.spawn().expect("surco starts"))
        .collect();
    for mut one in both {
        let code = one.wait().expect("it was started here").code();
        assert!(matches!(code, Some(0 | 5)), "{code:?}");
    }
    assert_same(&expected, &tree(&two));
    assert_eq!(shards_of(&two), manifests(&expected), "two processes do every shard once");

    let cluster = Cluster::start(&at("cluster"));
    let array = at("an array's store");
    let script = at("array.sh");
    let tasks = format!("--tasks={TASKS}");
    let mut slurm = collect("slurm", &array, &[&tasks, "--partition=main", "--cores=1"]);
    assert_code(slurm.arg("--script").arg(&script), 0);
    let done = cluster.run_and_disturb(&script, &array);

    assert_same(&expected, &tree(&array));
    for (path, before) in &done {
        assert_eq!(before, &identity(path), "{} was written twice", path.display());
    }
    // The disturbed run left no record of the shards it had finished.
    let recorded = shards_of(&array);
    assert!(recorded <= manifests(&expected), "{recorded} shards recorded");
    let parts: Vec<Value> = records(&array);
    for part in 0..TASKS {
        assert!(parts.iter().any(|run| run["shard_index"] == part), "no record of part {part}");
    }
    println!(
        "{} shards; {recorded} in {} records, {} objects were done when the task was requeued",
        manifests(&expected),
        parts.len(),
        done.len()
    );
}

fn assert_code(command: &mut Command, code: i32) {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", said(&output));
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Takes the second half off the first file of the band B08 that is found.
fn cut_one_band_short(archive: &Path) {
    let mut names: Vec<PathBuf> = tree(archive)
        .into_keys()
        .filter(|path| path.to_string_lossy().to_lowercase().contains("b08"))
        .collect();
    names.sort();
    let path = archive.join(names.first().expect("the archive has a B08"));
    let bytes = fs::read(&path).expect("it was just listed");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("the folder is writable");
}

fn assert_same(expected: &Tree, found: &Tree) {
    let differ: Vec<_> = expected
        .keys()
        .chain(found.keys())
        .filter(|path| expected.get(*path) != found.get(*path))
        .collect();
    assert!(differ.is_empty(), "these files differ: {differ:?}");
}

fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('t') && path.parent().is_some_and(|folder| folder.ends_with("manifest"))
}

fn manifests(store: &Tree) -> u64 {
    store.keys().filter(|path| is_manifest(path)).count() as u64
}

fn records(store: &Path) -> Vec<Value> {
    let folder = fs::read_dir(store.join(".runs")).expect("runs leave records");
    let read = |path: PathBuf| fs::read(path).expect("it was just listed");
    folder
        .map(|entry| entry.expect("the folder can be listed").path())
        .map(|path| serde_json::from_slice(&read(path)).expect("a record is JSON"))
        .collect()
}

/// Shards that the runs on a store say they wrote.
fn shards_of(store: &Path) -> u64 {
    records(store).iter().map(|run| run["shards"].as_u64().expect("a count")).sum()
}

/// What changes when a file is written again, even with the same bytes.
type Identity = (u64, i64, i64);

fn identity(path: &Path) -> Identity {
    let meta = fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (meta.ino(), meta.mtime(), meta.mtime_nsec())
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        sleep(Duration::from_millis(50));
    }
}

/// A process of this test's array.
#[derive(Clone, Copy)]
struct Running {
    process: u32,
    part: usize,
}

/// The processes that collect into a store.
fn running(store: &Path) -> Vec<Running> {
    let store = store.to_string_lossy();
    let listed = fs::read_dir("/proc").expect("Linux");
    let processes = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_store = |process: u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split('\0');
        let ours = words.clone().any(|word| word.ends_with(&*store));
        let part = words.find_map(|word| word.strip_prefix("--shard-index="))?.parse().ok()?;
        ours.then_some(Running { process, part })
    };
    processes.filter_map(of_store).collect()
}

fn signal(name: &str, process: u32) -> bool {
    let process = process.to_string();
    Command::new("kill").args(["-s", name, &process]).output().is_ok_and(|o| o.status.success())
}

/// A cluster of one machine; it ends with the test.
struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    fn start(folder: &Path) -> Self {
        fs::create_dir(folder).expect("the folder is writable");
        // Both are bound before either is let go, so that they differ.
        let free = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports =
            free.each_ref().map(|l| l.local_addr().expect("it is bound").port().to_string());
        drop(free);
        let cluster = Self { folder: folder.into() };
        cluster.script(&ports.each_ref().map(String::as_str));
        cluster
    }

    fn script(&self, args: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("slurm/start.sh");
        // Its daemons outlive it and would hold a pipe open.
        let said = self.folder.join("start.out");
        let out = fs::File::create(&said).expect("the folder is writable");
        let status = Command::new(script)
            .arg(&self.folder)
            .args(args)
            .stderr(out.try_clone().expect("one more handle"))
            .stdout(out)
            .status();
        let said = fs::read_to_string(&said).unwrap_or_default();
        assert!(status.is_ok_and(|s| s.success()), "cannot start Slurm {args:?}: {said}");
    }

    fn process(&self, daemon: &str) -> Option<u32> {
        let id = fs::read_to_string(self.folder.join(format!("{daemon}.pid"))).ok()?;
        id.trim().parse().ok()
    }

    fn ask(&self, command: &str, args: &[&str]) -> Output {
        let mut command = Command::new(command);
        command.args(args).env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.current_dir(&self.folder);
        command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
    }

    /// Runs the array, kills both daemons in the middle, requeues a task in the middle of its work, and gives
    /// what was done by then.
    fn run_and_disturb(&self, script: &Path, store: &Path) -> BTreeMap<PathBuf, Identity> {
        let submitted = self.ask("sbatch", &["--parsable", &script.to_string_lossy()]);
        assert!(submitted.status.success(), "{}", said(&submitted));
        let job = String::from_utf8_lossy(&submitted.stdout).trim().to_string();

        wait_for("the first shard", || {
            (store.exists() && tree(store).keys().any(|path| is_manifest(path))).then_some(())
        });
        let held = self.hold_all(store, &job);
        for daemon in ["slurmd", "slurmctld"] {
            let process = self.process(daemon).expect("it runs");
            assert!(signal("KILL", process), "{daemon} {process} was not there to be killed");
        }
        sleep(Duration::from_secs(1));
        self.script(&["slurmctld"]);
        self.script(&["slurmd"]);
        wait_for("the cluster to come back", || {
            self.ask("squeue", &["--noheader"]).status.success().then_some(())
        });

        let victim = held[0];
        let task = format!("{job}_{}", victim.part);
        let requeued = wait_for("the task to be requeued", || {
            let asked = self.ask("scontrol", &["requeue", &task]);
            asked.status.success().then_some(asked)
        });
        eprintln!("task {task} requeued: {}", said(&requeued));
        wait_for("the requeued task to die", || {
            (!running(store).iter().any(|one| one.process == victim.process)).then_some(())
        });
        let done = self.done_in(store);
        held[1..].iter().for_each(|one| assert!(signal("CONT", one.process)));

        wait_for("the array to end", || {
            let queue = self.ask("squeue", &["--noheader", "--jobs", &job]);
            (queue.status.success() && queue.stdout.is_empty()).then_some(())
        });
        for part in 0..TASKS {
            let task = format!("{job}_{part}");
            let shown = said(&self.ask("scontrol", &["show", "job", &task]));
            assert!(shown.contains("JobState=COMPLETED"), "{shown}{}", self.log(&job, part));
            assert!(part != victim.part || !shown.contains("Restarts=0"), "{shown}");
        }
        let logs: String = (0..TASKS).map(|part| self.log(&job, part)).collect();
        assert!(logs.contains("finished with holes"), "{logs}");
        done
    }

    /// Stops every process that collects into a store in the middle of its work, those that are only starting
    /// too, until the controller has saved what it started: killed before, it would start it again.
    fn hold_all(&self, store: &Path, job: &str) -> Vec<Running> {
        let (mut held, mut since): (Vec<Running>, _) = (Vec::new(), SystemTime::now());
        wait_for("tasks in the middle of their work", || {
            let mut now = running(store);
            now.retain(|one| held.iter().all(|known| known.process != one.process));
            now.retain(|one| signal("STOP", one.process));
            if !now.is_empty() {
                since = SystemTime::now();
                held.append(&mut now);
            }
            if held.is_empty() || since.elapsed().unwrap_or_default() < SETTLED {
                return None;
            }
            // The start of a task alone does not make the controller save its state; a remark does.
            let remark = format!("Comment=held {:?}", SystemTime::now());
            self.ask("scontrol", &["update", &format!("JobId={job}"), &remark]);
            let written = fs::metadata(self.folder.join("state/job_state"));
            let saved = written.and_then(|state| state.modified()).ok()? > since + SETTLED;
            saved.then_some(())
        });
        held
    }

    fn log(&self, job: &str, part: usize) -> String {
        let path = self.folder.join(format!("surco-collect-{job}_{part}.log"));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// The objects and manifests of the shards that are done.
    fn done_in(&self, store: &Path) -> BTreeMap<PathBuf, Identity> {
        let mut done = BTreeMap::new();
        for path in tree(store).into_keys().filter(|path| is_manifest(path)) {
            let path = store.join(path);
            let manifest: Value =
                serde_json::from_slice(&fs::read(&path).expect("it was just listed"))
                    .expect("a manifest is JSON");
            let cell = path.ancestors().nth(2).expect("CELL/manifest/tNNN.json").to_path_buf();
            for object in manifest["objects"].as_array().expect("a list") {
                let object = cell.join(object["key"].as_str().expect("a key"));
                done.insert(object.clone(), identity(&object));
            }
            done.insert(path.clone(), identity(&path));
        }
        done
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (command, args) in [("squeue", ["--long"]), ("sinfo", ["--list-reasons"])] {
                eprintln!("{}", said(&self.ask(command, &args)));
            }
            for log in ["slurmctld.log", "slurmd.log"] {
                let text = fs::read_to_string(self.folder.join(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("{log}:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
            }
        }
        // Jobs first: their keepers outlive slurmd.
        self.ask("scancel", &["--full", "--signal=KILL", "--user=root"]);
        for daemon in ["slurmd", "slurmctld", "munged"] {
            if let Some(process) = self.process(daemon) {
                signal("TERM", process);
            }
        }
    }
}
