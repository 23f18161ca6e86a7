//! A store in a bucket: the same bytes as in a folder, whoever is killed, whoever races.
//!
//! The service is moto's server, an S3 on loopback that keeps objects in memory. It honours what the
//! store builds on: create-only and If-Match writes, If-Match and suffix reads, uploads in parts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use surco_verify::{Tree, oracle, tree};

const BUCKET: &str = "surco";
const SECRET: &str = "geheim/only+for+this+test";

/// The service, gone with the test.
struct Service {
    child: Child,
    port: u16,
}

impl Service {
    fn start() -> Self {
        let python = std::env::var_os("SURCO_PYTHON")
            .expect("SURCO_PYTHON is not set: run this suite with `cargo xtask verify`");
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = free.local_addr().expect("a bound port has a number").port();
        drop(free);
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let service = Self { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "moto does not answer");
            sleep(Duration::from_millis(100));
        }
        service.make_bucket();
        service
    }

    fn make_bucket(&self) {
        let mut line = TcpStream::connect(("127.0.0.1", self.port)).expect("moto answers");
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        line.write_all(request.as_bytes()).expect("moto listens");
        let mut answer = String::new();
        line.read_to_string(&mut answer).expect("moto answers in text");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// The helper that writes and reads stores, with the service's address and credentials.
    fn helper(&self, args: &[&str]) -> Command {
        let mut command = helper(args);
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAGEHEIM")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    /// Every object under a prefix, by hash.
    fn objects(&self, prefix: &str, folder: &Path) -> Tree {
        let to = folder.join(format!("downloaded-{prefix}"));
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        oracle(
            "s3_download.py",
            [endpoint.as_ref(), BUCKET.as_ref(), prefix.as_ref(), to.as_os_str()],
        );
        tree(&to)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A service that ended by itself has nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn helper(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fill-store"));
    command.args(args);
    command
}

fn ended_well(mut command: Command) -> Output {
    let output = command.output().expect("the helper starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn report(command: Command) -> Value {
    let output = ended_well(command);
    serde_json::from_slice(&output.stdout).expect("the helper prints JSON")
}

fn local(folder: &Path) -> (PathBuf, Tree) {
    let store = folder.join("store");
    let name = store.to_str().expect("a temporary folder has a plain name");
    ended_well(helper(&["write", name]));
    assert_eq!(report(helper(&["verify", name]))["damaged"], Value::Array(Vec::new()));
    let tree = tree(&store);
    (store, tree)
}

/// Expected bytes: the same store in a folder. Expected validity: pystac's own schemas.
#[test]
fn a_bucket_holds_the_bytes_that_a_folder_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, want) = local(folder.path());
    println!("{}", oracle("stac.py", [store.as_os_str()]));

    let service = Service::start();
    ended_well(service.helper(&["write", "s3://surco/whole"]));
    assert_eq!(service.objects("whole", folder.path()), want);
    ended_well(service.helper(&["write", "s3://surco/whole/"]));
    assert_eq!(service.objects("whole", folder.path()), want, "the same run again changes nothing");
    let found = report(service.helper(&["verify", "s3://surco/whole"]));
    assert_eq!((&found["objects"], &found["missing_dates"]), (&4.into(), &0.into()), "{found}");
}

#[test]
fn a_killed_writer_leaves_no_torn_shard_and_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, want) = local(folder.path());
    let service = Service::start();
    let began = Instant::now();
    ended_well(service.helper(&["write", "s3://surco/undisturbed"]));
    let full = began.elapsed();
    let mut cut = 0;
    for (i, share) in [0.1, 0.2, 0.3, 0.42, 0.55, 0.68, 0.8, 0.93].into_iter().enumerate() {
        let to = format!("s3://surco/killed{i}");
        let mut child = service.helper(&["write", &to]).spawn().expect("the helper starts");
        sleep(full.mul_f64(share));
        cut += u32::from(child.try_wait().expect("a child can be asked").is_none());
        child.kill().expect("a child can be killed"); // SIGKILL on Unix
        child.wait().expect("a child can be waited for");
        if service.helper(&["axis", &to]).output().expect("the helper starts").status.success() {
            // Fails on any pixel that a manifest names and that is not as it was written. Objects longer
            // than their manifest says hold dates that it does not know yet.
            let found = report(service.helper(&["verify", &to]));
            println!("killed at {share} of {full:?}: {found}");
        }
        ended_well(service.helper(&["write", &to]));
        let found = report(service.helper(&["verify", &to]));
        assert_eq!(found["damaged"], Value::Array(Vec::new()), "{found}");
        assert_eq!(
            service.objects(&format!("killed{i}"), folder.path()),
            want,
            "killed at {share}"
        );
    }
    assert!(cut >= 4, "only {cut} of 8 runs were still going when they were killed");
}

#[test]
fn four_that_plan_one_cell_at_once_lose_no_scene() {
    let service = Service::start();
    let to = "s3://surco/raced";
    ended_well(service.helper(&["plan", to, "99"]));
    let plan = |n: u32| service.helper(&["plan", to, &n.to_string()]).spawn();
    for round in 0..3 {
        let children: Vec<_> =
            (0..4).map(|i| plan(round * 4 + i).expect("the helper starts")).collect();
        for mut child in children {
            assert!(child.wait().expect("a child can be waited for").success());
        }
    }
    let axis = ended_well(service.helper(&["axis", to])).stdout;
    let axis = String::from_utf8(axis).expect("ids are text");
    let mut scenes: Vec<&str> = axis.lines().collect();
    scenes.sort_unstable();
    scenes.dedup();
    assert_eq!(scenes.len(), 13, "{axis}");
}

#[test]
fn what_fails_is_said_without_credentials() {
    let service = Service::start();
    let mut clear = service.helper(&["write", "s3://surco/x"]);
    clear.env("AWS_ALLOW_HTTP", "false");
    let cases = [
        (service.helper(&["write", "s3://nowhere/x"]), "NoSuchBucket"),
        (service.helper(&["verify", "s3://surco/empty"]), "no Surco store"),
        (service.helper(&["write", "gs://surco/x"]), "s3://BUCKET/PREFIX"),
        (clear, "AWS_ALLOW_HTTP=true"),
    ];
    for (mut command, why) in cases {
        let output = command.output().expect("the helper starts");
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(why), "{why}: {said}");
        for secret in ["AKIAGEHEIM", SECRET] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}
