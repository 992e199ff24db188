"""The programs that the driver runs: where they are, which variants they have, and why one is missing."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODULES = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax", "cianna": "CIANNA"}
PACKAGES = {"torch": "torch", "tensorflow": "tensorflow-cpu", "jax": "jax"}


def target():
    return os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")


def say(text):
    print(text, file=sys.stderr, flush=True)


def environment(packages):
    """The interpreter of the peers in Python: $BENCH_ENV as it is, or an environment in target/bench-env with what is missing installed."""
    given = os.environ.get("BENCH_ENV")
    path = given or os.path.join(target(), "bench-env")
    python = os.path.join(path, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", path], check=True, stdout=sys.stderr)
    absent = [p for p in packages if not importable(python, MODULES[p])[0]]
    if absent and not given:
        say("installing %s into %s" % (" ".join(absent), path))
        for p in absent:
            subprocess.run([python, "-m", "pip", "install", "-q", PACKAGES[p], "numpy"], stdout=sys.stderr)
    return python


def importable(python, module):
    """(whether it can be found, why not)"""
    code = "import sys, os, importlib.util as u; sys.path.insert(0, os.environ.get('CIANNA_LIB', '.')); sys.exit(u.find_spec(%r) is None)"
    p = subprocess.run([python, "-c", code % module], capture_output=True, text=True)
    hint = " (set CIANNA_LIB to the directory of its module)" if module == "CIANNA" else ""
    return p.returncode == 0, "Python has no module %s%s" % (module, hint)


def avx512():
    try:
        return "avx512f" in open("/proc/cpuinfo").read()
    except OSError:
        return False


def build_rust(name):
    """(path of the program, why not)"""
    given = os.environ.get("BENCH_RUST")
    if given and os.path.exists(os.path.join(given, "peer_" + name)):
        return os.path.join(given, "peer_" + name), None
    out = os.path.join(target(), "bench-rust")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "peer_" + name] + (["--features", "x86-v4"] if avx512() else [])
    env = dict(os.environ, RUSTFLAGS="-C target-cpu=native", CARGO_TARGET_DIR=out)
    say("building %s (some minutes the first time)" % name)
    p = subprocess.run(command, cwd=os.path.join(HERE, "rust"), env=env, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        return None, "its build failed: " + p.stderr.strip().splitlines()[-1] if p.stderr.strip() else "its build failed"
    return os.path.join(out, "release", "peer_" + name), None


def build_kamacite():
    """The path of kamacite's runner, or $BENCH_KAMACITE."""
    if os.environ.get("BENCH_KAMACITE"):
        return os.environ["BENCH_KAMACITE"]
    command = ["cargo", "bench", "--no-run", "--bench", "step", "--message-format=json-render-diagnostics"]
    p = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(l) for l in p.stdout.splitlines() if l.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "step")


def find(wanted):
    """({name: command}, {name: why it is missing}); kamacite always first."""
    commands, missing = {"kamacite": [build_kamacite()]}, {}
    python = environment([p for p in wanted if p in PACKAGES])
    for p in wanted:
        if p in MODULES:
            there, why = importable(python, MODULES[p])
            if there:
                commands[p] = [python, os.path.join(HERE, p + "_peer.py")]
            else:
                missing[p] = why
        else:
            path, why = build_rust(p)
            if path:
                commands[p] = [path]
            else:
                missing[p] = why
    return commands, missing


def variants(peer, spec, mode, full=False):
    """Lists of variants; each list is one process in a screening, one after the other. The best setting that each peer documents."""
    image = len(spec["input"]) in (3, 4)
    if peer == "torch":
        plain = (["eager", "cl"] if image else ["eager"]) + (["cl_fused" if image else "fused"] if mode == "train" else [])
        return [plain, ["compile_cl" if image else "compile"]] + ([["compile"]] if full and image else [])
    if peer == "tensorflow":
        return [["fn"], ["i1"]] + ([["xla"], ["fit"]] if full else [])
    if peer == "jax":
        return [["nhwc"]] + ([["nchw"]] if full and image else [])
    if peer == "cianna":
        return [["blas"]] + ([["naiv"]] if full else [])
    if peer == "candle":
        return [["avx512" if avx512() else "default"]]
    return [["flex"]] if peer == "burn" else [["exact"]]
