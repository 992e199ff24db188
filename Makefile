# The short names of what one does here. `make demo` and `make test` are the README's two commands.
FEATURES = progress,plot

.PHONY: demo test bench bench-micro instructions docs check install uninstall dist nvrtc gpu-status prebuilt exercises exercise-starters check-exercise

demo:
	cargo run --release --features $(FEATURES) --example galaxies

test:
	sh tests/all.sh

# Ten networks beside PyTorch, TensorFlow, JAX, burn, candle and CIANNA: docs/benchmarks.md. About 40 minutes, after what it installs.
# Options: make bench ARGS="--cells W4:train --peers torch". BENCH_ENV=/a/venv takes an environment that is there.
bench:
	python3 benches/peers/run.py $(ARGS)

# Single operations, as shares of what this machine can do: make bench-micro MICRO_THREADS=2 ARGS=conv
bench-micro:
	cargo bench --bench micro -- $(ARGS)
	cargo bench --bench tiny

# After a change that is meant to alter them: the instructions of small training steps that `make test` compares with.
instructions:
	sh tests/instructions.sh update

docs:
	cargo doc --no-deps --all-features --open

check:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# The library for C and Fortran, in PREFIX (default ~/.local); no root needed. DESTDIR is for those who make packages.
install:
	@DESTDIR='$(DESTDIR)' sh bindings/install/install.sh $(PREFIX)

uninstall:
	@DESTDIR='$(DESTDIR)' sh bindings/install/install.sh --uninstall $(PREFIX)

# A tarball in target/dist for people without Rust; with the GPU kernels in it after `make prebuilt`.
dist:
	@sh bindings/install/dist.sh

# Every kernel for every architecture, without a GPU; fetches NVIDIA's compilers when called for the first time.
nvrtc:
	sh tests/nvrtc.sh

# docs/gpu-status.md. What the emulator runs is recorded by `make test`.
gpu-status:
	sh tests/nvrtc.sh status

# Every kernel in one file, for users who have a driver but no NVRTC.
prebuilt:
	sh tests/nvrtc.sh image target/prebuilt/kernels.image
	@echo 'KAMACITE_PREBUILT=$(CURDIR)/target/prebuilt/kernels.image cargo build --release --features prebuilt'

# The course's exercises in every language: built, run, compared with bindings/exercises/expected.txt. Its README says more.
# PREFIX=/where/it/is/installed takes an installed library.
EXERCISES = $(if $(PREFIX),,cargo build --release -p kamacite-capi -p kamacite-exercises &&) $(MAKE) --no-print-directory -C bindings/exercises
exercises:
	$(EXERCISES) run

# Starters compile and say what is missing; the checker tells right programs from wrong ones.
exercise-starters:
	$(EXERCISES) starters

# A student's program beside the reference, step by step: make check-exercise FILE=my/mlp_iris.c
check-exercise:
	@$(EXERCISES) -s check FILE='$(abspath $(FILE))'
