//! Prints the environment for a shell: `eval "$(cargo run --quiet -p kamacite-emulator)"`.

fn main() {
    match kamacite_emulator::environment() {
        Ok(variables) => {
            for (name, value) in variables {
                println!("export {name}='{}'", value.display());
            }
        }
        Err(why) => {
            eprintln!("no emulator: {why}");
            std::process::exit(1);
        }
    }
}
