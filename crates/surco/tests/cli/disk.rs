//! A disk that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::valley::{Run, args, assert_same_files, collect, map, surco, valley};

/// A command under a limit on the size of any file, which every Unix has and needs no rights for: past it,
/// writes fail.
fn limited(command: &Command, blocks_of_512: u32) -> Command {
    let mut shell = Command::new("sh");
    // Untrapped, the signal of the limit would kill the program before it could say anything.
    let script = format!("trap '' XFSZ; ulimit -f {blocks_of_512}; exec \"$0\" \"$@\"");
    shell.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    shell
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_same_command_completes_later() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let command = collect(&valley().items(), &store);
    let run = Run::of(&mut limited(&command, 100));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let message = run.message();
    assert!(message.contains("reflectance/c/0/0/0/0") && message.contains("write"), "{message}");
    assert!(!store.join("19HCB/r00c00/reflectance/c/0/0/0/0").exists(), "nothing half written");
    assert!(!store.join("19HCB/r00c00/manifest/t000.json").exists(), "nothing called done");
    let again = Run::of(&mut collect(&valley().items(), &store));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_same_files(&store, &valley().store);
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_a_run_that_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let (config, out) = (scratch.path().join("pretrain.toml"), scratch.path().join("run"));
    fs::write(&config, crate::valley::pretrain_config(&valley().store, &out, 4)).unwrap();
    let run = Run::of(&mut limited(&surco(args!["pretrain", config]), 100));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.message().contains("model.bpk"), "{}", run.message());
    assert!(!out.join("model").exists());
    let again = Run::of(&mut surco(args!["pretrain", config, "--resume", "--json"])).json();
    let undisturbed = valley().results["pretrain"].json();
    assert_eq!(again["weights_sha256"], undisturbed["weights_sha256"]);
}

#[test]
fn a_map_that_does_not_fit_is_not_there() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("map.tif");
    let run =
        Run::of(&mut limited(&map(&valley().model, &valley().task, &valley().store, &out), 1));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.message().contains("cannot write"), "{}", run.message());
    let left: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.contains(&"map.tif".into()), "{left:?}");
    assert!(!left.iter().any(|n| n.to_string_lossy().starts_with('.')), "{left:?}");
}

/// A small disk of its own, where this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        match mount {
            Ok(done) if done.status.success() => Ok(Self(at.into())),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_called_full_and_the_same_command_completes_once_there_is_space() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(&scratch.path().join("disk"), "4m") {
        Ok(disk) => disk,
        Err(why) => {
            println!(
                "no small disk can be mounted here ({why}): the limit on file size stands for it"
            );
            return;
        }
    };
    let (ballast, store) = (disk.0.join("ballast"), disk.0.join("store"));
    fs::write(&ballast, vec![1; 3_800_000]).unwrap();
    let run = Run::of(&mut collect(&valley().items(), &store));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let message = run.message();
    for part in ["the disk is full", "free space and run the same command again", "19HCB/r00c00"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!store.join("19HCB/r00c00/manifest/t001.json").exists(), "nothing called done");
    fs::remove_file(&ballast).unwrap();
    let again = Run::of(&mut collect(&valley().items(), &store));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_same_files(&store, &valley().store);
}
