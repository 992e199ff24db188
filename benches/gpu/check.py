"""Tests on the GPU, each in a process of its own: a kernel that faults or hangs costs its own test, not those behind it.

check.py KIT OUT SECONDS [PATTERN]    what KIT/tests.txt names (`suite layers::dense::cuda_is_accurate`), matches PATTERN and was not run before

OUT/tests.jsonl gets a line for each, with the kernels that it launched, OUT/tests/ what it printed if it failed. Those that failed are repeated at the end,
where no kernel begins before the one in front of it is done and the host waits for each: what passes then fails by early launches, or
by its neighbours; what fails again fails by itself.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

KIT, OUT, END = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), time.monotonic() + float(sys.argv[3])
PATTERN = re.compile(sys.argv[4] if len(sys.argv) > 4 else "")
MOST = float(os.environ.get("TEST_SECONDS", 60))
WORKERS = int(os.environ.get("WORKERS", 0)) or max(1, min(8, (os.cpu_count() or 1) // 2))
ALONE = {"KAMACITE_EARLY": "0", "KAMACITE_SYNCHRONOUS": "1"}


def attempt(program, name, log, environment):
    """One test: how it ended, and what it printed."""
    with open(log, "w+", errors="replace") as printed:
        child = subprocess.Popen([KIT / program, name, "--exact", "--test-threads=1", "--nocapture"], stdin=subprocess.DEVNULL, stdout=printed,
                                 stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **environment})
        late = False
        try:
            child.wait(min(MOST, max(END - time.monotonic(), 1)))
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(child.pid, signal.SIGKILL)
            # A process that the driver holds does not die.
            with suppress(subprocess.TimeoutExpired):
                child.wait(5)
        printed.seek(0)
        text = printed.read(1 << 20)
    if late:
        # Where this part of the run ends, nothing is known of the test.
        return ("hangs" if time.monotonic() < END else None), text
    if child.returncode < 0:
        return f"ends by signal {-child.returncode}", text
    passed = child.returncode == 0 and "test result: ok. 1 passed" in text
    return ("ok" if passed else "fails"), text


def reason(text):
    """What a failed test says: the lines behind `panicked at`, or the last one."""
    found = re.search(r"panicked at [^\n]*\n([^\n]*(?:\n[^\n]*)?)", text)
    lines = text.strip().splitlines()
    return (found.group(1) if found else lines[-1] if lines else "").replace("\n", " ")[:300]


def test(program, name, again=False):
    """Runs a test and writes its line; None where it passed, or the time was up."""
    if END - time.monotonic() < 2:
        return None
    stem = OUT / "tests" / re.sub(r"\W+", "-", f"{program} {name}{' again' if again else ''}")
    log, record, begun = stem.with_suffix(".txt"), stem.with_suffix(".kernels"), time.monotonic()
    record.unlink(missing_ok=True)
    outcome, text = attempt(program, name, log, {"KAMACITE_RECORD": str(record), **(ALONE if again else {})})
    if outcome is None:
        return None
    kernels = sorted(set(record.read_text().splitlines())) if record.exists() else []
    line = {"program": program, "name": name, "again": again, "outcome": outcome, "seconds": round(time.monotonic() - begun, 1), "kernels": kernels}
    record.unlink(missing_ok=True)
    if outcome == "ok":
        line["skipped"] = "SKIPPED" in text
        log.unlink()
    else:
        line["said"] = reason(text)
    # One write for a line: workers share the file.
    with open(OUT / "tests.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    return None if outcome == "ok" else (program, name)


def main():
    (OUT / "tests").mkdir(parents=True, exist_ok=True)
    results = OUT / "tests.jsonl"
    done = {(line["program"], line["name"]) for line in map(json.loads, results.read_text().splitlines())} if results.exists() else set()
    tests = [tuple(line.split(" ", 1)) for line in (KIT / "tests.txt").read_text().splitlines() if PATTERN.search(line)]
    with ThreadPoolExecutor(WORKERS) as pool:
        failed = list(filter(None, pool.map(lambda t: test(*t), [t for t in tests if t not in done])))
        list(pool.map(lambda t: test(*t, again=True), failed))
    if failed or END - time.monotonic() < 2:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
