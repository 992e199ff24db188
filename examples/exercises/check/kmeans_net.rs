//! The student's call of k-means beside the solution's.

mod net;
mod solution;
mod student;

fn main() -> kamacite::Result<()> {
    let points = kamacite::data::synth::clusters(250, 3, 1)?;
    for (step, plain) in [("ten starts by k-means++", false), ("a single plain start", true)] {
        for seed in 1..=40 {
            let yours = student::best_clusters(points.x(0), 3, plain, seed)?;
            let truth = solution::best_clusters(points.x(0), 3, plain, seed)?;
            if yours != truth {
                let hint = format!("seed {seed}: error {}, expected {}: start, restarts and seed as asked for?", yours.2, truth.2);
                net::wrong(step, format!("best_clusters(): {hint}"));
            }
        }
        net::right(step);
    }
    Ok(())
}
