//! The student's functions beside the solution's.

mod net;
mod solution;
mod student;

fn main() -> kamacite::Result<()> {
    let (yours, truth) = (student::read_data(&net::file("pima.data"))?, solution::read_data(&net::file("pima.data"))?);
    net::data("training data", &yours.0, &truth.0);
    net::data("test data", &yours.1, &truth.1);
    net::network(student::describe()?, solution::describe()?)?;
    net::rules(&student::rules(solution::describe()?), &solution::rules(solution::describe()?));
    Ok(())
}
