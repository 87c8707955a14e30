//! The real binary on a data directory in trouble: taken, not writable, full, damaged, half opened, copied while in use. Each ends in one
//! sentence that says what to do, without a panic, and doing it helps. What the store itself does is in its own tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use shipmate::saga::sled_store::SledStore;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::play::{Options, Sandbox};
use shipmate::sandbox::slack::DEPLOYS;

use crate::child::{LIMIT, Process, configuration, data_dir, secrets};
use crate::stage::calls_off;

/// A sandbox, and a process whose deployment waits at the list.
struct Site {
    sandbox: Sandbox,
    config: PathBuf,
}

impl Site {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let config = configuration(&sandbox);
        Self { sandbox, config }
    }

    fn shipmate(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipmate"));
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .env("RUST_LOG", "error");
        secrets(&mut command, &self.sandbox);
        command
    }

    /// Whether a file system can be mounted over the data directory, which is made for it; a test that can't is left, and says so.
    fn can_mount(&self) -> bool {
        std::fs::create_dir_all(self.data()).unwrap();
        let tried = Command::new("unshare")
            .args(["-rm", "mount", "-t", "tmpfs", "tmpfs"])
            .arg(self.data())
            .output();
        let can = tried.is_ok_and(|output| output.status.success());
        if !can {
            println!("skipped: no file system can be mounted here (`unshare -rm`)");
        }
        can
    }

    /// `serve` in a mount namespace of its own, in which this script mounts something over `$DATA` first.
    fn serves_behind(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_shipmate")]);
        command.args(["serve", "--config"]).arg(&self.config);
        command.env("DATA", self.data());
        secrets(&mut command, &self.sandbox);
        command
    }

    fn starts(&self) -> Process {
        Process::start(&self.sandbox, &self.config)
    }

    async fn reads(&self, text: &str) {
        let slack = &self.sandbox.slack;
        let reads =
            |workspace: &shipmate::sandbox::slack::Workspace| workspace.transcript().contains(text).then_some(());
        slack.wait_for(LIMIT, text, reads).await.unwrap();
    }

    async fn deploys(&self) {
        let slack = &self.sandbox.slack;
        let started = async {
            while slack.says("U0ANA", DEPLOYS, "/deploy start").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, started).await.unwrap();
        self.reads("[Confirm]").await;
    }

    /// Calls it off: what was there before is still known.
    async fn is_called_off(&self) {
        let slack = &self.sandbox.slack;
        let said = async {
            while calls_off(slack, "U0ANA", DEPLOYS, "enough").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, said).await.unwrap();
        self.reads("Everything is undone: aborted by @Ana Ruiz: enough.").await;
    }

    fn data(&self) -> PathBuf {
        data_dir(&self.sandbox)
    }

    /// A command that ends by itself with one sentence; paths are cut out of it.
    async fn says(&self, command: &mut Command) -> String {
        let said = self.sandbox.dir().join("said");
        let process = Process::of(command.stderr(std::fs::File::create(&said).unwrap()));
        let status = process.ends(LIMIT).await;
        let text = std::fs::read_to_string(&said).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(1), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        let sentence = text
            .lines()
            .find(|line| line.starts_with("shipmate: "))
            .unwrap_or(&text);
        sentence.replace(&self.data().display().to_string(), "<data>")
    }
}

async fn ends_by_kill(process: &Process) {
    process.is_killed();
    process.ends(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_told_who_is_there_and_the_first_goes_on() {
    let site = Site::new().await;
    let _first = site.starts();
    site.deploys().await;
    insta::assert_snapshot!(site.says(&mut site.shipmate(&["serve"])).await, @"shipmate: another Shipmate runs on the data directory <data>; stop it first");
    site.is_called_off().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_can_not_be_made_is_named() {
    let site = Site::new().await;
    std::fs::write(site.data(), "a file").unwrap();
    insta::assert_snapshot!(site.says(&mut site.shipmate(&["serve"])).await, @"shipmate: can't make the data directory <data>: Not a directory (os error 20); `data_dir` must be a writable directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_restored_as_its_sentence_says() {
    let site = Site::new().await;
    let process = site.starts();
    site.deploys().await;
    ends_by_kill(&process).await;
    let file = site.data().join("sled/db");
    let bytes = std::fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    std::fs::write(&file, &bytes[..end / 2]).unwrap();
    let sentence = site.says(&mut site.shipmate(&["serve"])).await;
    assert!(
        sentence.starts_with("shipmate: the database in <data> is damaged: "),
        "{sentence}"
    );
    let mend = ". Stop Shipmate, move <data>/sled away and run `shipmate import <data>/flight` to restore it from the flight recorders";
    assert!(sentence.ends_with(mend), "{sentence}");
    std::fs::rename(site.data().join("sled"), site.data().join("sled-damaged")).unwrap();
    let flights = site.data().join("flight").display().to_string();
    let imported = site.shipmate(&["import", &flights]).output().unwrap();
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
    site.sandbox.slack.cut();
    let _process = site.starts();
    site.is_called_off().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_opens_it_opens_the_next_time() {
    let site = Site::new().await;
    // A first open takes some milliseconds; each is killed a little later.
    for millis in 0..24 {
        let process = site.starts();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        ends_by_kill(&process).await;
    }
    let process = site.starts();
    site.deploys().await;
    ends_by_kill(&process).await;
    for millis in 0..24 {
        let process = site.starts();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        ends_by_kill(&process).await;
    }
    site.sandbox.slack.cut();
    let _process = site.starts();
    site.is_called_off().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kills_while_opening_left_behind_is_mended() {
    let site = Site::new().await;
    // A first open that was killed early.
    std::fs::create_dir_all(site.data().join("sled")).unwrap();
    std::fs::write(site.data().join("sled/conf"), [0; 58]).unwrap();
    let process = site.starts();
    site.deploys().await;
    ends_by_kill(&process).await;
    // A later one.
    std::fs::write(site.data().join("sled/snap.0000000000000001.generating"), "half").unwrap();
    site.sandbox.slack.cut();
    let _process = site.starts();
    site.is_called_off().await;
}

/// Runs a command in a mount namespace of its own, where the data directory can't be written to.
const READ_ONLY: &str = r#"
mount --bind "$DATA" "$DATA" && mount -o remount,bind,ro "$DATA" || exit 77
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_is_mounted_read_only_is_named_and_nothing_is_lost() {
    let site = Site::new().await;
    if !site.can_mount() {
        return;
    }
    let read_only = || {
        let mut command = site.serves_behind(READ_ONLY);
        command.env("RUST_LOG", "error");
        command
    };
    insta::assert_snapshot!(site.says(&mut read_only()).await, @"shipmate: can't make the data directory <data>: Read-only file system (os error 30); `data_dir` must be a writable directory");
    let process = site.starts();
    site.deploys().await;
    ends_by_kill(&process).await;
    insta::assert_snapshot!(site.says(&mut read_only()).await, @"shipmate: can't lock <data>/lock: Read-only file system (os error 30); `data_dir` must be a writable directory");
    site.sandbox.slack.cut();
    let _process = site.starts();
    site.is_called_off().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_made_while_it_runs_opens() {
    let site = Site::new().await;
    let _process = site.starts();
    site.deploys().await;
    let copy = site.sandbox.dir().join("copy");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(site.data())
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success());
    let store = SledStore::open(&copy).unwrap();
    assert!(store.load("web-1").unwrap().len() > 15);
    site.is_called_off().await;
}

/// Runs the binary in a mount namespace of its own, on a small disk that is full once the deployment waits; then once more with space.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=4m tmpfs "$DATA" || exit 77
"$@"
echo "exit $?" >> "$NOTES"
rm -f "$DATA/filler"
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_stops_with_a_sentence_and_goes_on_once_there_is_space() {
    let site = Site::new().await;
    if !site.can_mount() {
        return;
    }
    let notes = site.sandbox.dir().join("notes");
    let mut command = site.serves_behind(FULL_DISK);
    command.env("NOTES", &notes);
    command.stderr(std::fs::File::create(&notes).unwrap());
    let process = Process::of(&mut command);
    site.deploys().await;
    fills(&process.root().join(site.data().strip_prefix("/").unwrap()));
    // Whatever is written next finds no space; the supervisor's next start does.
    let slack = &site.sandbox.slack;
    let stopped = async {
        while !std::fs::read_to_string(&notes).unwrap().contains("exit ") {
            let _ = slack.clicks_label("U0ANA", "Confirm").await;
            let _ = slack.says("U0ANA", DEPLOYS, "/deploy status").await;
        }
    };
    tokio::time::timeout(LIMIT, stopped).await.unwrap();
    let said = std::fs::read_to_string(&notes).unwrap();
    let sentence = said
        .lines()
        .find(|line| line.starts_with("shipmate: "))
        .unwrap_or(&said);
    insta::assert_snapshot!(sentence.replace(&site.data().display().to_string(), "<data>"), @r#"shipmate: the journal in <data> can't be written: no storage space. Free some space or mend the disk and start Shipmate again: it goes on where it was"#);
    assert!(said.contains("exit 1"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    slack.cut();
    let going_on = async {
        while slack.says("U0ANA", DEPLOYS, "/deploy status").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, going_on).await.unwrap();
    site.is_called_off().await;
}

/// Runs the binary in a mount namespace of its own, on a small disk.
const SMALL_DISK: &str = r#"
mount -t tmpfs -o size=4m tmpfs "$DATA" || exit 77
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_is_not_ready_until_there_is_space() {
    let site = Site::new().await;
    if !site.can_mount() {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, config.replace("127.0.0.1:0", &address.to_string())).unwrap();
    let process = Process::of(&mut site.serves_behind(SMALL_DISK));
    asked_until(address, "/healthz", "ok\n").await;
    let disk = process.root().join(site.data().strip_prefix("/").unwrap());
    fills(&disk);
    let full = format!(
        "store: {} takes no writes: No space left on device (os error 28); free some space or mend the disk\n",
        site.data().display()
    );
    asked_until(address, "/readyz", &full).await;
    std::fs::remove_file(disk.join("filler")).unwrap();
    asked_until(address, "/readyz", "ready\n").await;
    // It was never touched by the full disk.
    site.deploys().await;
    site.is_called_off().await;
}

/// Asks until this is the answer; an answer that isn't `ok` or `ready` is a 503.
async fn asked_until(address: std::net::SocketAddr, path: &str, expected: &str) {
    let mut last = String::new();
    let asking = async {
        while last != expected {
            if let Ok(answer) = reqwest::get(format!("http://{address}{path}")).await {
                let is_well = answer.status().is_success();
                last = answer.text().await.unwrap();
                assert_eq!(is_well, ["ok\n", "ready\n"].contains(&last.as_str()), "{last}");
            }
            tokio::task::yield_now().await;
        }
    };
    let limited = tokio::time::timeout(LIMIT, asking).await;
    assert!(limited.is_ok(), "{path} says {last}");
}

/// Writes until nothing fits any more.
fn fills(dir: &Path) {
    let mut filler = std::fs::File::create(dir.join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while filler.write_all(&vec![b'x'; size]).is_ok() {}
    }
}
