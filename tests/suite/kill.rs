//! A process that is killed, not asked: the file it leaves is whole, and the run goes on with the same bits.

use crate::train::{network, points};
use kamacite::optim::Adam;
use kamacite::*;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "KAMACITE_TEST_CHECKPOINT";
const STEPS: u64 = 100;

fn trainer(path: &Path) -> Trainer {
    Trainer::builder(network(), SoftmaxCrossEntropy, Adam::new(0.01))
        .batch(16)
        .seed(5)
        .data(points(90, 1), Some(points(60, 2)))
        .checkpoint(path)
        .checkpoint_every(1)
        .resume(path)
        .build()
        .expect("a legal trainer")
}

/// The test runs itself as a child that trains without end, writing after every step; kills it in the middle, twice; and
/// finishes the run itself.
#[test]
fn a_killed_run_resumes_with_the_same_bits() {
    if let Some(path) = std::env::var_os(CHILD) {
        drop(trainer(Path::new(&path)).fit(u64::MAX, &mut Silent));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("killed.safetensors");
    let steps = || Checkpoint::load(&path).map_or(0, |c| c.updates());
    let mut last = 0;
    for _ in 0..2 {
        let name = "kill::a_killed_run_resumes_with_the_same_bits";
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("a child process");
        let begun = Instant::now();
        while steps() < last + 7 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        child.kill().expect("a running child");
        child.wait().expect("a dead child");
        let now = Checkpoint::load(&path).expect("a whole file, whenever it was killed").updates();
        assert!(now > last, "the child made no steps");
        last = now;
    }
    assert!(last < STEPS, "the child was too fast to be interrupted: {last} steps");
    let (mut resumed, mut whole) = (trainer(&path), trainer(&dir.path().join("whole.safetensors")));
    for t in [&mut resumed, &mut whole] {
        while t.model().updates() < STEPS {
            t.step().expect("a step");
        }
    }
    // The killed run has validated at the end of epochs, the other one never: the weights and optimizer words must agree.
    let arrays = |t: &Trainer| {
        let c = t.checkpoint().expect("a state");
        let names: Vec<String> = c.names().map(str::to_string).collect();
        names.into_iter().map(|n| (c.array(&n).map(|(_, x)| x), n)).collect::<Vec<_>>()
    };
    assert_eq!(arrays(&resumed), arrays(&whole));
}
