# The short names of what one does here. `make demo` and `make test` are the README's two commands.
FEATURES = progress,plot

.PHONY: demo test bench docs check

demo:
	cargo run --release --features $(FEATURES) --example galaxies

test:
	sh tests/all.sh

bench:
	cargo bench --bench gemm
	cargo bench --bench conv
	cargo bench --bench step

docs:
	cargo doc --no-deps --all-features --open

check:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
