//! Power cuts: of the data directory only what was made durable is left, and the deployment goes on from that.
//!
//! The directory lies on a file system in an image file, which holds what was flushed and nothing that waits in memory. The process is
//! stopped, its image copied and the process killed; the next one runs on the copy. That takes root and a loop device; elsewhere the test
//! says that it is skipped. More cuts: `SHIPMATE_CUTS=50 cargo test --test deploy power_cuts -- --nocapture`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use shipmate::sandbox::play::{Options, Sandbox};

use crate::child::{LIMIT, Process, configuration, data_dir, secrets};
use crate::stories::{Effects, Story, plays};

const STORY: Story = Story::AbortAtApprove;
/// Each waits for its pauses most of the time.
const AT_ONCE: usize = 6;

/// In a mount namespace of its own: what it mounts goes with it. The file system writes nothing by itself while a story lasts.
const ON_AN_IMAGE: &str = r#"mount -o loop,commit=300 "$IMAGE" "$DATA" && exec "$@""#;

/// A sandbox, and the image on which its bot's data are.
struct Site {
    sandbox: Sandbox,
    config: PathBuf,
}

impl Site {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let config = configuration(&sandbox);
        std::fs::create_dir_all(data_dir(&sandbox)).unwrap();
        Self { sandbox, config }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.sandbox.dir().join(name)
    }

    fn starts(&self, image: &Path) -> Process {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", ON_AN_IMAGE, "sh", env!("CARGO_BIN_EXE_shipmate")]);
        command.args(["serve", "--config"]).arg(&self.config);
        command.env("IMAGE", image).env("DATA", data_dir(&self.sandbox));
        Process::of(secrets(&mut command, &self.sandbox))
    }

    /// The records that this process has said to be durable.
    fn recorded(&self, process: &Process) -> Vec<String> {
        let data = data_dir(&self.sandbox);
        let file = process
            .root()
            .join(data.strip_prefix("/").unwrap())
            .join("flight/web-1.jsonl");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(str::to_owned).collect()
    }

    /// Until it has so many.
    async fn has_recorded(&self, process: &Process, count: usize) {
        while self.recorded(process).len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn formats(image: &Path) -> bool {
    let made = std::fs::File::create(image).and_then(|file| file.set_len(32 << 20));
    let formatted = Command::new("mkfs.ext4").arg("-q").arg(image).output();
    made.is_ok() && formatted.is_ok_and(|output| output.status.success())
}

fn can_cut(site: &Site) -> bool {
    let image = site.image("tried.img");
    let mut tried = Command::new("unshare");
    tried.args(["-m", "sh", "-c", ON_AN_IMAGE, "sh", "true"]);
    tried.env("IMAGE", &image).env("DATA", data_dir(&site.sandbox));
    formats(&image) && tried.output().is_ok_and(|output| output.status.success())
}

/// What a story with a power cut after so many records left behind, and its records.
async fn lives(cut_after: Option<usize>) -> (Effects, Vec<String>) {
    let site = Site::new().await;
    let image = site.image("disk.img");
    assert!(formats(&image));
    let mut process = site.starts(&image);
    let cut = async {
        match cut_after {
            Some(count) => site.has_recorded(&process, count).await,
            None => std::future::pending().await,
        }
    };
    let mut known = Vec::new();
    let is_cut = tokio::select! {
        () = cut => true,
        () = plays(&site.sandbox, STORY) => false,
    };
    if is_cut {
        process.hears("STOP");
        known = site.recorded(&process);
        let left = site.image("left.img");
        std::fs::copy(&image, &left).unwrap();
        process.is_killed();
        process.ends(LIMIT).await.unwrap();
        site.sandbox.slack.cut();
        process = site.starts(&left);
        plays(&site.sandbox, STORY).await;
    }
    let records = site.recorded(&process);
    assert!(records.len() >= known.len(), "{} of {}", records.len(), known.len());
    assert_eq!(
        records[..known.len()],
        known,
        "what was durable is still there, as it was"
    );
    process.is_told_to_end();
    let status = process.ends(LIMIT).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    (Effects::of(&site.sandbox).await, records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_nothing_is_lost_that_was_called_durable() {
    if !can_cut(&Site::new().await) {
        println!("skipped: no image can be mounted here (it takes root, a loop device and mkfs.ext4)");
        return;
    }
    let wanted = crate::asked_for("SHIPMATE_CUTS", 4);
    let began = Instant::now();
    let (calm, records) = lives(None).await;
    let places = (0..wanted).map(|number| 1 + number * (records.len() - 2) / wanted);
    let one = |count| async move { (count, tokio::spawn(lives(Some(count))).await) };
    let lived: Vec<_> = stream::iter(places).map(one).buffer_unordered(AT_ONCE).collect().await;
    let right = |lived: &Result<(Effects, Vec<String>), _>| lived.as_ref().is_ok_and(|(effects, _)| *effects == calm);
    let wrong: Vec<_> = lived.iter().filter(|(_, lived)| !right(lived)).collect();
    println!(
        "{wanted} power cuts, {} wrong, {:.1} s",
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "{wrong:#?}\ninstead of\n{calm:#?}");
}
