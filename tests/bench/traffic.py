"""accept and relay: messages a second, alone or in alternating rounds with peers.

accept: from the first connection to the last 250, mail stays queued. relay: to the last message in the sink. Every server gets the same load in turn
(A B A B ...), because a machine's mood changes over minutes; the ratio is taken round by round.

The chain is that of the road (policy, lists, people's rules, thresholds), because Postfix as it is has no opinion of content either; `--shipped`
leaves the whole filter in. What filters cost is compared by `filtered`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import figures, loading
from tests.bench.loading import Counter, Load
from tests.bench.sides import Given, Jetmail, PrivatePostfix, Side, check_stored

AIMS = {"accept": 3.0, "relay": 2.5}  # times Postfix, 4 KB, 20 sessions, a new connection per message


def measure(side: Side, load: Load, counter: Counter | None) -> dict[str, float]:
    """One round of one server: {'rate': messages/s, 'cpu_ms': processor milliseconds a message}."""
    stored = side.stored() if counter is None else None
    arrived = counter.total() if counter else 0
    used = side.cpu()
    began = time.perf_counter()
    seconds = loading.send(side.port, load, side.host)
    if counter:
        loading.wait_for_arrival(counter, arrived + load.messages, 300, side.name)
        seconds = time.perf_counter() - began
    spent = side.cpu()
    if counter is None:
        check_stored(side, stored, load)
    found = {"rate": load.messages / seconds}
    if used is not None and spent is not None:
        found["cpu_ms"] = (spent - used) * 1000 / load.messages
    return found


def run(verb: str, options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, told on stderr as it goes. -> what --json prints."""
    load = Load(options.messages, options.size, options.sessions, options.keep, options.mail_from, options.rcpt_to)
    counter = None
    sides: list[Side] = []
    rounds: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="jetmail-bench-") as directory:
        try:
            counter = loading.sink(Path(directory), options.sink_port) if verb == "relay" else None
            sides.append(Jetmail(counter.port if counter else 0, road=not options.shipped).start())
            if options.postfix:
                sides.append(PrivatePostfix(counter.port if counter else 0))
            if options.peer and counter:
                print(f"peers must relay to 127.0.0.1:{counter.port}", file=sys.stderr, flush=True)
            sides += [Given(text) for text in options.peer]
            for side in sides:
                measure(side, load.times(0.25), counter)
            for number in range(options.rounds):
                for side in sides:
                    found = measure(side, load, counter)
                    rounds.setdefault(side.name, []).append(found)
                    cpu = f", {found['cpu_ms']:.2f} ms CPU a message" if "cpu_ms" in found else ""
                    print(f"{verb} round {number + 1} {side.name}: {found['rate']:.0f} messages/s{cpu}", file=sys.stderr, flush=True)
        finally:
            for side in reversed(sides):
                side.stop()
            if counter:
                counter.stop()
    return report(verb, options, rounds)


def report(verb: str, options: argparse.Namespace, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    rates = {name: [found["rate"] for found in series] for name, series in rounds.items()}
    result: dict[str, Any] = {
        "bench": verb,
        "messages": options.messages,
        "size": options.size,
        "sessions": options.sessions,
        "keep": options.keep,
        "chain": "shipped" if options.shipped else "road",
        "rounds": options.rounds,
        "source": "smtp-source" if loading.tool("smtp-source") else "tests.live.loader",
        "rates": {name: [round(rate, 1) for rate in series] for name, series in rates.items()},
        "median": {name: round(statistics.median(series), 1) for name, series in rates.items()},
        "cpu_ms": {
            name: round(statistics.median(found["cpu_ms"] for found in series), 3) for name, series in rounds.items() if "cpu_ms" in series[0]
        },
        "ratio": {},
        "aims": [],
    }
    for name, series in rates.items():
        if name != "jetmail":
            found = figures.ratio(rates["jetmail"], series)
            result["ratio"][name] = {"min": round(found.low, 2), "median": round(found.median, 2), "max": round(found.high, 2)}
            if name == "postfix" and options.size == 4096 and not options.keep and not options.shipped:
                result["aims"].append(figures.Aim(f"{verb}, jetmail/postfix", found.median, AIMS[verb], "times", at_least=True).plain())
    return result


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    how = "connections reused" if result["keep"] else "a new connection per message"
    lines = [
        f"{result['bench']}: {result['messages']} messages of {result['size']} octets, {result['sessions']} sessions, {how}, "
        f"{result['rounds']} rounds, chain {result['chain']}, sent by {result['source']}"
    ]
    for name, series in result["rates"].items():
        cpu = f"   {result['cpu_ms'][name]:.2f} ms CPU a message" if name in result["cpu_ms"] else ""
        lines.append(f"  {name:<10} median {result['median'][name]:>7.0f}/s   rounds {' '.join(f'{rate:.0f}' for rate in series)}{cpu}")
    lines += [f"  jetmail/{name}: min {each['min']}  median {each['median']}  max {each['max']}" for name, each in result["ratio"].items()]
    return lines
