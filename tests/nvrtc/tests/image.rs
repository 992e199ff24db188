//! A program with a driver, a prebuilt image and no NVRTC, on the emulator: it trains as the one that compiles, and an image of
//! another version is not used.

use kamacite::data::synth;
use kamacite::device::offline::{Nvrtc, build};
use kamacite::*;
use kamacite_nvrtc::sources::sources;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const ROLE: &str = "KAMACITE_TEST_ROLE";

/// The losses of a few epochs on the device, as text; in a process of its own, since a driver is opened once.
#[test]
fn child() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let device = match Device::cuda(0) {
        Ok(device) => device,
        Err(e) => return println!("REFUSED {e}"),
    };
    let run = || -> Result<Vec<f64>> {
        let (train, valid) = synth::digits(48, 1)?.split(32)?;
        let mut net = Network::new(Extent::image(28, 28, 1));
        net.push(Conv::new(4, 5).stride(3).act(Relu));
        net.push(Dense::new(16).act(Tanh));
        net.push(Dense::new(10));
        let trainer = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.05).momentum(0.9));
        let mut t = trainer.batch(8).seed(7).device(device.clone()).data(train, Some(valid)).build()?;
        (1..=3).map(|epochs| Ok(t.fit(epochs, &mut Silent)?.loss)).collect()
    };
    match run() {
        Ok(losses) => println!("LOSSES {losses:?} {}", doctor().replace('\n', "; ")),
        Err(e) => println!("REFUSED {e}"),
    }
}

/// Runs `child` with these variables; its last word.
fn run(environment: &[(&str, &Path)]) -> String {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, "child").env("KAMACITE_DEVICE", "cpu");
    let output = command.envs(environment.iter().copied()).output().expect("a child process");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found =
        text.lines().filter_map(|line| line.find("LOSSES ").or_else(|| line.find("REFUSED ")).map(|at| line[at..].to_string()));
    found.next_back().unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn losses(text: &str) -> &str {
    text.strip_prefix("LOSSES ").and_then(|text| text.split(']').next()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_program_without_nvrtc_trains_from_an_image() {
    let library = match kamacite_emulator::library() {
        Ok(library) => library,
        Err(why) => return println!("SKIPPED cuda: {why}"),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let (cache, image, stale, none) = (file("cache"), file("kernels.image"), file("stale.image"), Path::new(""));
    let record = file("record");
    let driver = ("KAMACITE_CUDA_DRIVER", library);

    // What it takes is what the compiling program has in its cache afterwards.
    let compiling = run(&[driver, ("KAMACITE_NVRTC", library), ("KAMACITE_CACHE", &cache), ("KAMACITE_RECORD", &record)]);
    let numbers: Vec<f64> = losses(&compiling).trim_start_matches('[').split(", ").map(|n| n.parse().expect("a loss")).collect();
    assert!(numbers.len() == 3 && numbers.is_sorted_by(|a, b| a > b), "{compiling}");
    let used: Vec<String> =
        fs::read_dir(&cache).expect("a cache").flatten().map(|e| e.file_name().to_string_lossy().into()).collect();
    let sources = sources().expect("sources").into_iter();
    let sources: Vec<_> = sources.filter(|s| used.iter().any(|file| file.starts_with(&format!("{}-", s.name)))).collect();
    assert!(sources.len() >= 4, "{used:?}");
    // The record names what was launched, and nothing else.
    let launched = fs::read_to_string(&record).expect("a record");
    assert!(launched.lines().any(|line| line == "control.cu set_step"), "{launched}");
    let known = |line: &str| sources.iter().any(|s| line.starts_with(&format!("{}.cu ", s.name)));
    assert!(launched.lines().all(known), "{launched}");
    let nvrtc = Nvrtc::load(library).expect("the emulator's NVRTC");
    let bytes = build(&sources, &["sm_80", "sm_90a"], &mut |source, architecture| match architecture {
        // Code that does not load: a program that takes another architecture's is found out.
        "sm_80" => Ok(b"not for this card".repeat(99)),
        _ => Ok(nvrtc.compile(source, architecture)?.0),
    });
    let bytes = bytes.expect("an image");
    fs::write(&image, &bytes).expect("a file");

    let nowhere = ("KAMACITE_NVRTC", Path::new("/nonexistent/libnvrtc.so"));
    let hidden = [driver, nowhere, ("KAMACITE_CACHE", none)];
    let with = |image: &Path| run(&[&hidden[..], &[("KAMACITE_IMAGE", image)]].concat());
    let prebuilt = with(&image);
    assert_eq!(losses(&prebuilt), losses(&compiling));
    assert!(prebuilt.contains("the prebuilt image, no NVRTC") && !compiling.contains("image"), "{prebuilt}\n{compiling}");

    // Without it, with another version's, with half of it, with one for other cards: the reason, and no run.
    assert!(run(&hidden).contains("nvidia-cuda-nvrtc"));
    let older: Vec<_> = sources.iter().map(|s| device::Source::new(s.name, format!("// older\n{}", s.text).leak())).collect();
    let older = build(&older, &["sm_90a"], &mut |source, architecture| Ok(nvrtc.compile(source, architecture)?.0));
    fs::write(&stale, older.expect("an image")).expect("a file");
    assert!(with(&stale).starts_with("REFUSED "));
    fs::write(&stale, &bytes[..bytes.len() / 2]).expect("a file");
    assert!(with(&stale).starts_with("REFUSED "));
    let other = build(&sources, &["sm_80", "sm_120"], &mut |_, _| Ok(b"not for this card".to_vec()));
    fs::write(&stale, other.expect("an image")).expect("a file");
    assert!(with(&stale).starts_with("REFUSED "));
}
