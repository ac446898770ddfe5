"""filtered: mail of 14 KB through the whole filter and on to a sink, next to Postfix with rspamd under the same load.

Ours is the shipped chain with one option laid over it: `trusted_networks = []`, because the client is 127.0.0.1 and the relays of one's own are not
asked for SPF and their way back. Both sides ask the bench's own name server (bench.names), so neither waits for the outside. Each session sends a
letter of its own (bench.letters).

No figure without proof: every message was answered 250, as many more arrived, and each of them carries the results of this host: SPF, DKIM and DMARC
pass, and a score. The peer has to show the same for its own.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import figures, letters, loading, stages
from tests.bench.loading import Lied, SmtpSink
from tests.bench.machine import threads_seconds
from tests.bench.names import NameServer
from tests.bench.rspamd import PostfixRspamd
from tests.bench.sides import Jetmail, Side, private
from tests.live.harness import merge

AIM = 2.0  # times Postfix + rspamd
CEILING = 2.0  # ms CPU a message, the whole process
SENDER = f"anna.carpenter@{letters.DOMAIN}"
RECIPIENT = "b@example.test"
_PROOFS = {
    "jetmail": (rb"^Authentication-Results: bench\.example\.test", rb"^X-Spam-Score: -?\d"),
    "postfix+rspamd": (rb"^Authentication-Results: peer\.example\.test", rb"^X-Spamd-Result: default: False \[-?\d"),
}
_RESULTS = (rb"\bspf=pass\b", rb"\bdkim=pass\b", rb"\bdmarc=pass\b")


class Filtering(Jetmail):
    """The shipped chain, for a client on the same machine."""

    def __init__(self, sink_port: int, name_port: int) -> None:
        super().__init__(sink_port, merge(private(), {"dns": {"servers": [f"127.0.0.1:{name_port}"]}}))
        path = self.appliance.directory / "etc" / "rules.toml"
        shipped = path.read_text("utf-8")
        changed = shipped.replace("options = { budget = 2.0 }", "options = { budget = 2.0, trusted_networks = [] }")
        if changed == shipped:
            raise Lied("etc/rules.toml has no line of the rule authentication that can be changed for a client on the same machine")
        path.write_text(changed, "utf-8")

    def threads(self) -> dict[str, float]:
        """Processor seconds by kind of thread."""
        return threads_seconds(self.appliance.pid)


def prove(name: str, folder: Path, expected: int) -> None:
    """Every message in the folder shows what its filter found; the folder is empty again. Raises Lied."""
    files = sorted(folder.iterdir())
    if len(files) != expected:
        raise Lied(f"{name}: {len(files)} messages in the sink's folder, {expected} were sent")
    for file in files:
        octets = file.read_bytes()
        header = re.sub(rb"\r?\n[ \t]+", b" ", re.split(rb"\r?\n\r?\n", octets, maxsplit=1)[0])
        results = re.search(_PROOFS[name][0] + rb".*$", header, re.MULTILINE)
        missing = [pattern.decode() for pattern in _RESULTS if results is None or not re.search(pattern, results[0])]
        if missing or not re.search(_PROOFS[name][1], header, re.MULTILINE):
            raise Lied(f"{name}: a message arrived without {', '.join(missing) or 'a score'}:\n{header[:1500].decode('ascii', 'replace')}")
        file.unlink()


def measure(side: Side, files: list[Path], messages: int, counter: SmtpSink, folder: Path) -> dict[str, Any]:
    """One round of one server."""
    arrived = counter.total()
    used, by_thread = side.cpu(), side.threads() if isinstance(side, Filtering) else {}
    began = time.perf_counter()
    sent = loading.send_files(side.port, files, messages, SENDER, RECIPIENT)
    loading.wait_for_arrival(counter, arrived + sent, 300, side.name)
    seconds = time.perf_counter() - began
    spent = side.cpu()
    found: dict[str, Any] = {"rate": sent / seconds}
    if used is not None and spent is not None:
        found["cpu_ms"] = (spent - used) * 1000 / sent
    if isinstance(side, Filtering):
        found["threads"] = {name: (value - by_thread.get(name, 0.0)) * 1000 / sent for name, value in side.threads().items()}
    time.sleep(0.3)  # the sink counts a message before it closes its file
    prove(side.name, folder, sent)
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, told on stderr as it goes."""
    for name in ("smtp-source", "smtp-sink"):
        if loading.tool(name) is None:
            raise Lied(f"{name} is not here (Debian: apt-get install postfix)")
    sides: list[Side] = []
    rounds: dict[str, list[dict[str, Any]]] = {}
    counter = names = None
    with tempfile.TemporaryDirectory(prefix="jetmail-bench-") as place:
        directory = Path(place)
        directory.chmod(0o755)
        folder = directory / "arrived"
        folder.mkdir()
        folder.chmod(0o777)
        signer, now = letters.signer(), time.time()
        mail = [letters.letter(number, signer, now) for number in range(options.sessions)]
        files = [directory / f"letter-{number}" for number in range(options.sessions)]
        for file, octets in zip(files, mail, strict=True):
            file.write_bytes(octets.replace(b"\r\n", b"\n"))  # smtp-source ends the lines itself
        try:
            names = NameServer(directory, letters.records(signer, "bench.example.test"))
            counter = SmtpSink(keep=folder)
            ours = Filtering(counter.port, names.port)
            sides.append(ours)
            ours.start()
            if options.postfix_rspamd:
                sides.append(PostfixRspamd(counter.port, names.port, now, not options.no_bayes))
            for side in sides:
                measure(side, files, max(options.sessions, options.messages // 4), counter, folder)
            for number in range(options.rounds):
                for side in sides:
                    found = measure(side, files, options.messages, counter, folder)
                    rounds.setdefault(side.name, []).append(found)
                    cpu = f", {found['cpu_ms']:.2f} ms CPU a message" if "cpu_ms" in found else ""
                    print(f"filtered round {number + 1} {side.name}: {found['rate']:.0f} messages/s{cpu}", file=sys.stderr, flush=True)
            ours.appliance.stop()
            costs = stages.run(ours.appliance.directory, mail, SENDER, RECIPIENT)
        finally:
            for side in reversed(sides):
                side.stop()
            for each in (counter, names):
                if each is not None:
                    each.stop()
    return report(options, rounds, costs, sum(map(len, mail)) // len(mail))


def report(options: argparse.Namespace, rounds: dict[str, list[dict[str, Any]]], costs: dict[str, float], size: int) -> dict[str, Any]:
    """What --json prints."""
    rates = {name: [found["rate"] for found in series] for name, series in rounds.items()}
    cpu = statistics.median(found["cpu_ms"] for found in rounds["jetmail"])
    threads = {
        name: round(statistics.median(found["threads"].get(name, 0.0) for found in rounds["jetmail"]), 3)
        for name in sorted({name for found in rounds["jetmail"] for name in found["threads"]})
    }
    judging = sum(costs.values())
    result: dict[str, Any] = {
        "bench": "filtered",
        "messages": options.messages,
        "size": size,
        "sessions": options.sessions,
        "rounds": options.rounds,
        "bayes": not options.no_bayes,
        "rates": {name: [round(rate, 1) for rate in series] for name, series in rates.items()},
        "median": {name: round(statistics.median(series), 1) for name, series in rates.items()},
        "cpu_ms": round(cpu, 3),
        "threads_ms": threads,
        "stages_ms": {**{name: round(value, 4) for name, value in costs.items()}, "session, commit, delivery": round(cpu - judging, 3)},
        "ratio": {},
        "aims": [figures.Aim("filtered, CPU of the process a message", cpu, CEILING, "ms").plain()],
    }
    for name, series in rates.items():
        if name != "jetmail":
            found = figures.ratio(rates["jetmail"], series)
            result["ratio"][name] = {"min": round(found.low, 2), "median": round(found.median, 2), "max": round(found.high, 2)}
            result["aims"].append(figures.Aim(f"filtered, jetmail/{name}", found.median, AIM, "times", at_least=True).plain())
    return result


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    peer = "" if "postfix+rspamd" not in result["rates"] else ", rspamd with a taught Bayes" if result["bayes"] else ", rspamd without Bayes"
    lines = [
        f"filtered: {result['messages']} messages of {result['size']} octets, {result['sessions']} sessions and letters, "
        f"a new connection per message, {result['rounds']} rounds{peer}"
    ]
    for name, series in result["rates"].items():
        cpu = f"   {result['cpu_ms']:.2f} ms CPU a message" if name == "jetmail" else ""
        lines.append(f"  {name:<15} median {result['median'][name]:>7.0f}/s   rounds {' '.join(f'{rate:.0f}' for rate in series)}{cpu}")
    lines += [f"  jetmail/{name}: min {each['min']}  median {each['median']}  max {each['max']}" for name, each in result["ratio"].items()]
    lines.append("  CPU ms a message by thread: " + "  ".join(f"{name} {value:.2f}" for name, value in result["threads_ms"].items()))
    lines.append("  CPU ms a message by stage:")
    lines += [f"    {value:>7.3f}  {name}" for name, value in sorted(result["stages_ms"].items(), key=lambda item: -item[1]) if value >= 0.001]
    return lines
