//! Several monitors at once.

use super::{Batch, Control, End, Epoch, Monitor, Start};
use crate::Result;
use std::fmt;

/// Tells each monitor in turn. One that asks to stop is enough; all are told before the first error is returned.
///
/// # Examples
/// ```no_run
/// use kamacite::monitor::{CsvLog, Lines, Tee};
/// let mut monitor = Tee(vec![Box::new(Lines::default()), Box::new(CsvLog::new("history.csv"))]);
/// ```
#[derive(Default)]
pub struct Tee(pub Vec<Box<dyn Monitor>>);

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tee({})", self.0.len())
    }
}

impl Tee {
    fn each(&mut self, tell: impl Fn(&mut dyn Monitor) -> Result<()>) -> Result<()> {
        let mut first = Ok(());
        for m in &mut self.0 {
            let now = tell(&mut **m);
            first = first.and(now);
        }
        first
    }
}

impl Monitor for Tee {
    fn start(&mut self, start: &Start<'_>) -> Result<()> {
        self.each(|m| m.start(start))
    }

    fn batch(&mut self, batch: &Batch) -> Result<()> {
        self.each(|m| m.batch(batch))
    }

    fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
        let mut first = Ok(Control::Continue);
        for m in &mut self.0 {
            let now = m.epoch(epoch);
            first = match (first, now) {
                (Ok(Control::Continue), now) | (Ok(Control::Stop), now @ Err(_)) => now,
                (first, _) => first,
            };
        }
        first
    }

    fn end(&mut self, end: &End<'_>) -> Result<()> {
        self.each(|m| m.end(end))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::super::{Lines, Silent};
    use super::*;
    use crate::{Error, ErrorKind};

    /// Fails or stops at its second epoch, and counts.
    struct Second(Result<Control, ErrorKind>, std::rc::Rc<std::cell::Cell<u32>>);

    impl Monitor for Second {
        fn start(&mut self, _: &Start<'_>) -> Result<()> {
            Ok(())
        }
        fn batch(&mut self, _: &Batch) -> Result<()> {
            Ok(())
        }
        fn epoch(&mut self, epoch: &Epoch<'_>) -> Result<Control> {
            self.1.set(self.1.get() + 1);
            if epoch.record.epoch == 2 { self.0.map_err(|k| Error::new(k, "second", "failed")) } else { Ok(Control::Continue) }
        }
        fn end(&mut self, _: &End<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_are_told_one_stops_the_first_error_wins() -> Result<()> {
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        let second = |what| Box::new(Second(what, seen.clone())) as Box<dyn Monitor>;
        let stop = || second(Ok(Control::Stop));
        let go_on = || second(Ok(Control::Continue));
        assert_eq!(run(&mut Tee(vec![Box::new(Silent), stop(), go_on()]), 0, 5)?, 2);
        assert_eq!(seen.replace(0), 4);
        let (io, value) = (|| second(Err(ErrorKind::Io)), || second(Err(ErrorKind::Value)));
        for (tee, kind) in [(vec![stop(), io(), value(), go_on()], ErrorKind::Io), (vec![value(), io()], ErrorKind::Value)] {
            let n = tee.len() as u32;
            assert_eq!(run(&mut Tee(tee), 0, 5).map_err(|e| e.kind()), Err(kind));
            assert_eq!(seen.replace(0), 2 * n);
        }
        assert_eq!(run(&mut Tee(vec![Box::new(Lines::to(std::io::sink()))]), 0, 3)?, 3);
        Ok(())
    }
}
