//! Checkpoints: round trips, hostile files, partial loading, layers of the user's own.

use crate::train::{network, points};
use kamacite::optim::{Adam, Sgd};
use kamacite::*;

fn trained() -> Trainer {
    let mut t = Trainer::builder(network(), SoftmaxCrossEntropy, Adam::new(0.01))
        .batch(16)
        .seed(2)
        .data(points(48, 1), Some(points(30, 2)))
        .note("classes", &["a", "b", "c"])
        .build()
        .expect("a legal trainer");
    t.fit(2, &mut Silent).expect("a run");
    t
}

#[test]
fn equal_states_give_equal_bytes_and_come_back_whole() {
    let bytes = trained().checkpoint().and_then(|c| c.to_bytes()).expect("bytes");
    assert_eq!(bytes, trained().checkpoint().and_then(|c| c.to_bytes()).expect("bytes"), "two equal runs");
    let again = Checkpoint::from_bytes(&bytes).expect("a checkpoint");
    assert_eq!(again.to_bytes().expect("bytes"), bytes);
    assert_eq!(again.notes("classes"), Some(&serde_json::json!(["a", "b", "c"])));
    assert!(again.optimizer(&Registry::standard()).expect("a known kind").is_some_and(|o| o.kind() == "adam"));
    let model = again.model(&Registry::standard(), Device::cpu()).expect("a model");
    assert_eq!(model.checkpoint().expect("a state").names().collect::<Vec<_>>(), again.names().collect::<Vec<_>>());
}

/// The rebuilt network predicts what the saved one did.
#[test]
fn a_model_from_a_file_predicts_the_same_bits() {
    let mut t = trained();
    let mut again = t.checkpoint().and_then(|c| c.model(&Registry::standard(), Device::cpu())).expect("a model");
    let predict = |m: &mut Model| m.predict_data(points(30, 3), 7, Mode::Infer).expect("predictions");
    assert_eq!(predict(t.model_mut()), predict(&mut again));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = trained().checkpoint().and_then(|c| c.to_bytes()).expect("bytes");
    for n in 0..bytes.len() {
        assert!(Checkpoint::from_bytes(&bytes[..n]).is_err(), "cut at {n} of {}", bytes.len());
    }
}

/// Flipped bytes in the header either are errors or give a checkpoint that restores, or refuses to, without a panic.
#[test]
fn flipped_bytes_never_panic() {
    let bytes = trained().checkpoint().and_then(|c| c.to_bytes()).expect("bytes");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let mut refused = 0;
    for i in 0..header {
        let mut broken = bytes.clone();
        broken[i] ^= 1 << (i % 8);
        match Checkpoint::from_bytes(&broken) {
            Err(_) => refused += 1,
            Ok(c) => drop(c.model(&Registry::standard(), Device::cpu_threads(1).expect("a cpu"))),
        }
    }
    assert!(refused > header / 2, "only {refused} of {header} flips were seen");
}

#[test]
fn hostile_contents_are_refused_with_a_reason() {
    let good = trained().checkpoint().and_then(|c| c.to_bytes()).expect("bytes");
    let kind = |bytes: &[u8]| Checkpoint::from_bytes(bytes).err().map(|e| e.kind());
    assert_eq!(kind(b""), Some(ErrorKind::Format));
    assert_eq!(kind(&u64::MAX.to_le_bytes()), Some(ErrorKind::Format));
    // A NaN among the weights: the last element of the file.
    let mut nan = good.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(kind(&nan), Some(ErrorKind::Value));
    let replace = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect("the text is there");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    assert_eq!(kind(&replace("format\\\":1", "format\\\":9")), Some(ErrorKind::Format));
    assert_eq!(kind(&replace("kamacite", "kamacitf")), Some(ErrorKind::Format));
    // Dimensions of 2^63 in a header that claims them.
    let huge = br#"{"a":{"dtype":"F32","shape":[9223372036854775808,4],"data_offsets":[0,16]}}"#;
    let mut file = (huge.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(huge);
    file.extend_from_slice(&[0; 16]);
    assert_eq!(kind(&file), Some(ErrorKind::Format));
    // A layer nobody knows.
    let unknown = Checkpoint::from_bytes(&replace("\\\"dense\\\"", "\\\"dunse\\\"")).expect("a readable file");
    let error = unknown.network(&Registry::standard()).expect_err("an unknown layer");
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.to_string().contains("dunse"), "{error}");
}

#[test]
fn a_missing_file_and_a_folder_are_io_errors() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let error = Checkpoint::load(dir.path().join("none.safetensors")).expect_err("no such file");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("none.safetensors"), "{error}");
    assert_eq!(Checkpoint::load(dir.path()).map_err(|e| e.kind()), Err(ErrorKind::Io));
    let saved = trained().save(dir.path().join("no/such/folder.safetensors"));
    assert_eq!(saved.map_err(|e| e.kind()), Err(ErrorKind::Io));
}

/// A new file replaces the old one whole; nothing else is left in the folder.
#[test]
fn saving_replaces_and_leaves_no_traces() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("run.safetensors");
    let mut t = trained();
    t.save(&path).expect("a file");
    t.fit(3, &mut Silent).expect("an epoch");
    t.save(&path).expect("a file");
    assert_eq!(Checkpoint::load(&path).expect("a checkpoint"), t.checkpoint().expect("a state"));
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names, ["run.safetensors"]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let c = trained().checkpoint().expect("a state");
    let mut other = Network::new(Extent::flat(2));
    other.push(Dense::new(8));
    let mut model = Model::builder(other).build().expect("a model");
    let before = model.array("dense1.weight").expect("a weight");
    assert_eq!(model.restore(&c).map_err(|e| e.kind()), Err(ErrorKind::Shape));
    assert_eq!(model.array("dense1.weight").expect("a weight"), before);
    let t = Trainer::builder(network(), SoftmaxCrossEntropy, Sgd::new(0.1)).data(points(48, 1), Some(points(9, 1))).build();
    let error = t.expect("a trainer").restore(&c).expect_err("words of another optimizer");
    assert_eq!(error.kind(), ErrorKind::Format);
}

/// A pre-trained body under a new head.
#[test]
fn some_arrays_can_be_taken() {
    let c = trained().checkpoint().expect("a state");
    let mut net = network().up_to(network().node("dropout1").expect("a node"));
    net.push(Dense::new(7));
    let mut model = Model::builder(net).build().expect("a model");
    let taken = model.restore_some(&c, |name| !name.starts_with("dense2")).expect("shapes fit");
    assert_eq!(taken, c.names().filter(|n| !n.contains('/') && !n.starts_with("dense2")).count());
    assert_eq!(model.array("dense1.weight").ok(), c.array("dense1.weight").map(|(_, x)| x));
}
