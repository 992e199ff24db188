use super::*;
use crate::Extent;
use std::sync::atomic::AtomicUsize;

/// Sample i of epoch e under seed s holds i, e and s; counts what is read, and fails where it is told to.
#[derive(Default)]
struct Told {
    n: usize,
    read: AtomicUsize,
    fails: Vec<usize>,
    /// How often it will still fail.
    left: AtomicUsize,
    panics: bool,
}

impl Dataset for Told {
    fn len(&self) -> usize {
        self.n
    }
    fn inputs(&self) -> &[Extent] {
        const X: [Extent; 1] = [Extent::flat(3)];
        &X
    }
    fn targets(&self) -> &[Target] {
        const T: [Target; 2] = [Target::Index { classes: 1000, positions: 1 }, Target::Values(Extent::flat(2))];
        &T
    }
    fn input(&self, pick: Pick, _: usize, x: &mut [f32]) -> Result<()> {
        self.read.fetch_add(1, Relaxed);
        assert!(!self.panics, "planted");
        if self.fails.contains(&pick.index) && self.left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
            return Err(Error::value(format!("file-{}", pick.index), "planted"));
        }
        x.copy_from_slice(&[pick.index as f32, pick.epoch as f32, pick.seed as f32]);
        Ok(())
    }
    fn values(&self, pick: Pick, _: usize, t: &mut [f32]) -> Result<()> {
        t.copy_from_slice(&[pick.index as f32, -1.0]);
        Ok(())
    }
    fn classes(&self, pick: Pick, _: usize, t: &mut [u32]) -> Result<()> {
        t[0] = pick.index as u32;
        Ok(())
    }
    fn weight(&self, index: usize) -> f32 {
        index as f32 + 1.0
    }
    fn is_skipped(&self, pick: Pick) -> bool {
        pick.index == 5
    }
}

fn ahead(data: &Arc<Told>, threads: usize, depth: usize, after: After) -> Ahead {
    let course = Course { samples: data.n, batch: 4, shuffle: after == After::Next, after };
    Ahead::new(Arc::clone(data) as Arc<dyn Dataset>, course, Load { threads, depth }, Vec::new())
}

fn key(epoch: u64, from: usize, n: usize) -> Key {
    Key { epoch, seed: 9, from, to: n.min(from + 4) }
}

/// What a batch must hold, row after row.
fn check(batch: &Batch, key: Key, order: &[u32]) {
    for (row, &i) in order[key.from..key.to].iter().enumerate() {
        let (mut x, mut t, mut class) = ([0.0; 3], [0.0; 2], [0]);
        batch.input(row, 0, &mut x);
        batch.classes(row, 0, &mut class);
        batch.values(row, 1, &mut t);
        assert_eq!((x, t, class), ([i as f32, key.epoch as f32, 9.0], [i as f32, -1.0], [i]));
        assert_eq!((batch.is_skipped(row), batch.weight(row)), (i == 5, if i == 5 { 0.0 } else { i as f32 + 1.0 }));
    }
}

#[test]
fn batches_come_in_the_order_of_the_run_and_no_more_than_asked_for() {
    for (threads, depth) in [(1, 1), (2, 3), (7, 3)] {
        let data = Arc::new(Told { n: 18, ..Told::default() });
        let mut ahead = ahead(&data, threads, depth, After::Next);
        let mut order: Vec<u32> = (0..18).collect();
        let mut taken = 0;
        for epoch in 2..5 {
            shuffled(&mut order, epoch, 9);
            for from in (0..18).step_by(4) {
                let key = key(epoch, from, 18);
                check(ahead.get(key).unwrap(), key, &order);
                // Again, for the draws of a Monte-Carlo prediction: nothing is read anew.
                check(ahead.get(key).unwrap(), key, &order);
                taken += key.to - key.from;
                // The queue, one batch that waits to get in, and one that is being read.
                assert!(data.read.load(Relaxed) <= taken + (depth + 2) * 4, "read too far ahead");
            }
        }
    }
}

#[test]
fn an_error_arrives_with_its_batch_and_asking_again_reads_again() {
    let data = Arc::new(Told { n: 20, fails: vec![9, 11], left: AtomicUsize::new(2), ..Told::default() });
    let mut ahead = ahead(&data, 3, 3, After::Again);
    let order: Vec<u32> = (0..20).collect();
    for from in [0, 4] {
        check(ahead.get(key(0, from, 20)).unwrap(), key(0, from, 20), &order);
    }
    let e = ahead.get(key(0, 8, 20)).unwrap_err();
    assert_eq!(e.to_string(), "file-9: planted", "the first row that fails, whichever thread was first");
    for from in [8, 12, 16, 0, 4] {
        check(ahead.get(key(0, from, 20)).unwrap(), key(0, from, 20), &order);
    }
}

#[test]
fn another_batch_than_the_next_begins_anew_there() {
    let data = Arc::new(Told { n: 20, ..Told::default() });
    let mut ahead = ahead(&data, 2, 3, After::Next);
    let mut order: Vec<u32> = (0..20).collect();
    for (epoch, from) in [(0, 0), (0, 4), (7, 12), (7, 16), (8, 0), (3, 2), (3, 6)] {
        shuffled(&mut order, epoch, 9);
        let key = key(epoch, from, 20);
        check(ahead.get(key).unwrap(), key, &order);
    }
    assert!(ahead.waited() > Duration::ZERO);
}

#[test]
fn the_end_is_an_end_and_dropping_never_hangs() {
    let data = Arc::new(Told { n: 10, ..Told::default() });
    let mut once = ahead(&data, 2, 3, After::End);
    let order: Vec<u32> = (0..10).collect();
    for from in [0, 4, 8] {
        check(once.get(key(0, from, 10)).unwrap(), key(0, from, 10), &order);
    }
    // Beyond the end it begins anew, as anywhere else.
    check(once.get(key(0, 0, 10)).unwrap(), key(0, 0, 10), &order);
    // Dropped with a full queue, with none, and before anything was asked for.
    for taken in [0, 1, 2] {
        let mut some = ahead(&data, 2, 1, After::Next);
        (0..taken).for_each(|i| assert!(some.get(key(0, 4 * i, 10)).is_ok()));
        drop(some);
    }
    assert_eq!(Arc::strong_count(&data), 2, "the threads that held the data are gone: only `once` has them");
}

#[test]
fn a_panic_while_reading_is_passed_on() {
    let data = Arc::new(Told { n: 10, panics: true, ..Told::default() });
    let mut ahead = ahead(&data, 2, 3, After::Next);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ahead.get(key(0, 0, 10)).map(drop)));
    assert!(caught.is_err());
}
