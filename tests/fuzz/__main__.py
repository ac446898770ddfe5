"""`python -m tests.fuzz [TARGET...] [--seconds N] [--seed S] [--jobs J] [--guided | --grow] [--out DIR]`:
every target in turn, and a table of what came of it.

Each target runs in a process of its own, so one that eats the machine's memory ends alone. Findings are written to DIR, smaller than they were
found, each with its traceback beside it; `--replay FILE` runs one again. Ends with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

GRACE = 120.0  # seconds past its time after which a process is ended


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of what strangers send.")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--guided", action="store_true", help="led by coverage; needs atheris")
    parser.add_argument("--grow", action="store_true", help="100 KB of every word and every two words, for what is not linear")
    parser.add_argument("--out", type=Path, default=None, help="where findings go (default: a new temporary directory)")
    parser.add_argument("--replay", type=Path, default=None, help="run one input through one target")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return _work(options)
    from tests.fuzz.target import targets

    names = options.targets or list(targets())
    if unknown := [name for name in names if name not in targets()]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(targets())}")
    if options.replay is not None:
        targets()[names[0]].run(options.replay.read_bytes())
        return 0
    out = options.out or Path(tempfile.mkdtemp(prefix="fuzz-"))
    out.mkdir(parents=True, exist_ok=True)
    found = _direct(options, names, out)
    print(f"findings: {out}" if found else "nothing was found")
    return 1 if found else 0


def _direct(options: argparse.Namespace, names: list[str], out: Path) -> int:
    """Run the workers, `jobs` at once, and print a line for each. -> how many findings."""
    print(f"{'target':<20} {'seconds':>8} {'inside':>8} {'executions':>11} {'MB':>8} {'s/100KB':>8}  findings", flush=True)

    def work(name: str) -> tuple[str, int]:
        command = [sys.executable, "-m", "tests.fuzz", name, "--worker", f"--seconds={options.seconds}", f"--seed={options.seed}", f"--out={out}"]
        with (out / f"{name}.log").open("wb") as log:
            try:
                done = subprocess.run(
                    [*command, *(["--guided"] if options.guided else ["--grow"] if options.grow else [])],
                    stdout=log,
                    stderr=log,
                    timeout=options.seconds + GRACE,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return name, -1
        return name, done.returncode

    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        return sum(_tell(name, status, out) for name, status in pool.map(work, names))


def _tell(name: str, status: int, out: Path) -> int:
    result = out / f"{name}.json"
    if not result.exists():
        print(f"{name:<20} ended with {status} and said nothing: see its log")
        return 1
    tally: dict[str, Any] = json.loads(result.read_text())
    figures = f"{tally['seconds']:>8.0f} {tally['inside']:>8.0f} {tally['executions']:>11} {tally['octets'] / 1e6:>8.1f} {tally['slowest']:>8.3f}"
    print(f"{name:<20} {figures}  {len(tally['findings'])}", flush=True)
    for finding in tally["findings"]:
        print(f"    {finding['kind']} {finding['place']}: {finding['detail'].strip().splitlines()[-1][:200]}", flush=True)
    if status:
        print(f"    its process ended with {status}: see its log", flush=True)
    return len(tally["findings"]) + bool(status)


def _work(options: argparse.Namespace) -> int:
    def keep(tally: Any) -> None:
        told = asdict(tally)
        for finding in told["findings"]:
            finding["octets"] = len(finding["octets"])
        partial = options.out / f"{tally.target}.json.new"
        partial.write_text(json.dumps(told))
        os.replace(partial, options.out / f"{tally.target}.json")

    if options.guided:
        from tests.fuzz import guided

        guided.run(options.targets[0], options.seconds, options.seed, options.out, keep)
        return 0
    from tests.fuzz import running
    from tests.fuzz.target import targets

    engine = running.grow if options.grow else running.run
    keep(engine(targets()[options.targets[0]], options.seconds, options.seed, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
