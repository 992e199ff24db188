use super::*;
use crate::ErrorKind;

fn reader() -> TableReader {
    TableReader::new()
}

fn message(reader: &TableReader, text: &str) -> String {
    reader.from_bytes(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn separators_headers_comments() {
    let expected = [1.0, 2.0, 3.0, 4.0];
    for text in [
        "1 2\n3 4",
        "\u{feff}1 2\r\n3 4\r\n\r\n",
        "# head\n  1\t2  \n\n3 4 # tail\n",
        "a,b\n1,2\n3,4\n",
        "a;b\n1;2;\n3;4;\n",
        "1\t2\n3\t4\n",
        "\"x\",\"y\"\n\"1\",2\n 3 ,\"4\"",
        "1D0 2.0d+00\n3. +4",
    ] {
        let s = reader().from_bytes(text.as_bytes()).unwrap();
        assert_eq!((s.x(0), s.len()), (&expected[..], 2), "{text:?}");
    }
    assert_eq!(reader().skip(2).from_bytes(b"junk\nmore junk\n1 2\n3 4").unwrap().x(0), expected);
    assert_eq!(reader().header(true).from_bytes(b"9 9\n1 2\n3 4").unwrap().x(0), expected);
    assert_eq!(reader().comment(b'%').separator(b'|').from_bytes(b"% c\n1|2\n3|4").unwrap().x(0), expected);
}

#[test]
fn columns_and_classes() {
    let text = b"id,u,kind,g,z\nx1,1,star,2,0.5\nx2,3,galaxy,4,0.25\nx3,5,star,6,0.125\n";
    let s = reader().features(["g", "u"]).label("kind").targets(["z"]).from_bytes(text).unwrap();
    assert_eq!(
        (s.x(0), s.labels(0).unwrap(), s.t(1).unwrap()),
        (&[2., 1., 4., 3., 6., 5.][..], &[1, 0, 1][..], &[0.5, 0.25, 0.125][..])
    );
    assert_eq!(s.class_names(), ["galaxy", "star"]);
    // The wine of the course: the class comes first and counts from 1.
    let wine = reader().label(Column::First).first_class(1).from_bytes(b"3 0.5\n1 0.25\n").unwrap();
    assert_eq!((wine.labels(0).unwrap(), wine.x(0)), (&[2, 0][..], &[0.5, 0.25][..]));
    let one_hot = reader().label(2).classes(7).from_bytes(b"1 2 5.000000e+00\n").unwrap();
    assert_eq!(one_hot.targets()[0], crate::Target::Index { classes: 7, positions: 1 });
    // A label of texts does not make the first line a header.
    assert_eq!(reader().label(Column::Last).from_bytes(b"1,a\n2,b\n").unwrap().len(), 2);

    assert!(message(&reader().label("class"), "1,2\n").contains("there is no column \"class\"; got 2 columns: \"1\", \"2\""));
    assert!(message(&reader().label(5), "1 2\n").contains("there is no column 5 (from 0)"));
    assert!(message(&reader().label(0).targets([0]), "1 2\n").contains("cannot be both"));
    assert!(message(&reader().features([0, 0]), "1 2\n").contains("cannot be both"));
    assert!(message(&reader().label(0), "1\n").contains("no column is a feature"));
    assert!(message(&reader().label(1).first_class(1), "1 0\n").contains("below the first class; expected 1, got 0"));
    assert!(
        message(&reader().label(1).classes(2), "1 0\n1 2\n")
            .contains("label of sample 1 is out of range; expected below 2, got 2")
    );
}

#[test]
fn missing_values() {
    let text = "1,2\n,4\n5,nan\n";
    assert!(message(&reader(), text).starts_with("line 2: column 1: missing or not finite; got \"\""));
    let s = reader().missing(Missing::Median).from_bytes(text.as_bytes()).unwrap();
    assert_eq!(s.x(0), [1., 2., 3., 4., 5., 3.]);
    assert!(reader().missing(Missing::Keep).from_bytes(text.as_bytes()).unwrap().x(0)[2].is_nan());
    assert!(message(&reader().targets([1]).missing(Missing::Zero), text).starts_with("line 3: column 2"));
    assert!(message(&reader().label(0).missing(Missing::Zero), text).contains("no class"));
    let tabs = reader().separator(b'\t').missing(Missing::Value(-1.0)).from_bytes(b"\t2\n1\t\n").unwrap();
    assert_eq!(tabs.x(0), [-1., 2., 1., -1.]);
}

#[test]
fn errors_name_line_and_column() {
    assert_eq!(
        message(&reader(), "# c\n1 2\n3 x\n"),
        "line 3: column 2: not a number; got \"x\"; leave the column out or make it the label"
    );
    assert_eq!(message(&reader(), "1 2\n3\n"), "line 2: another number of columns than in the first line; expected 2, got 1");
    assert_eq!(message(&reader(), "1,2\n3,4,5\n"), "line 2: another number of columns than in the first line; expected 2, got 3");
    for empty in ["", "\n\n", "# only\n", "a b\n"] {
        assert!(message(&reader(), empty).contains("no samples"), "{empty:?}");
    }
    assert!(message(&reader().skip(5), "1 2\n").contains("no samples"));
    assert_eq!(reader().read("/nonexistent").unwrap_err().kind(), ErrorKind::Io);
}

/// A file of several chunks: the same result as line by line, and the right line in a message.
#[test]
fn large_files_in_pieces() {
    let n = 60_000;
    let mut text: String = (0..n).map(|i| format!("{i} {} {}\n", i % 3, f64::from(i) * 0.5)).collect();
    assert!(text.len() > 3 << 18);
    let s = reader().label(1).from_bytes(text.as_bytes()).unwrap();
    assert_eq!(s.len(), n as usize);
    assert!(
        (0..n as usize)
            .all(|i| s.x(0)[2 * i] == i as f32 && s.x(0)[2 * i + 1] == i as f32 * 0.5 && s.labels(0).unwrap()[i] == i as u32 % 3)
    );
    text.push_str("1 2\n");
    assert!(message(&reader(), &text).starts_with("line 60001: another number of columns"));
}

#[test]
fn hostile_tables() {
    let good = b"a;b;c\n1;2;x\n3.5;-4e3;\"y\"\n# c\n;5;x\n";
    let options =
        [reader(), reader().label(2).missing(Missing::Zero), reader().features([1]).targets([0]), reader().separator(b' ')];
    let mut refused = 0;
    for options in options {
        refused += file::mutate(good, |b| options.from_bytes(b)).0;
    }
    assert!(refused > 0);
    assert!(reader().from_bytes(&vec![b','; 1 << 16]).is_err());
    assert!(reader().missing(Missing::Zero).from_bytes(&vec![b','; 1 << 16]).is_ok());
    assert!(reader().from_bytes(&vec![0xff; 1 << 10]).is_err());
}

#[test]
fn pairs_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let (x, t) = (dir.path().join("x"), dir.path().join("t"));
    std::fs::write(&x, "1 2\n3 4\n").unwrap();
    std::fs::write(&t, "1 0 0\n0 1 0\n").unwrap();
    let s = read_pair(&x, &t).unwrap();
    assert_eq!((s.len(), s.t(0).unwrap().len()), (2, 6));
    std::fs::write(&t, "1 0 0\n").unwrap();
    assert!(read_pair(&x, &t).unwrap_err().to_string().contains("3 for each of 2 samples"));
}
