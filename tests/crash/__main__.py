"""python -m tests.crash -n 1000: kill jetmail that many times under load and compare the books. Exit code 1 when anything was lost."""

from __future__ import annotations

import argparse
import sys

from tests.crash.killing import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("-n", "--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--every-large", type=int, default=25, help="one message of so many is a spool file")
    parser.add_argument("--defer", type=float, default=0.05, help="share of RCPTs the sink answers 451")
    options = parser.parse_args()
    result = run(Plan(options.kills, options.seed, options.rate, options.sessions, options.every_large, defer=options.defer))
    print(result)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
