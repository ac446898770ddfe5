"""The servers that are measured. Each is started with nothing queued, knows its port, and can say how many messages it holds."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from tests.bench.loading import Lied, Load
from tests.bench.machine import cpu_seconds
from tests.live.harness import Appliance, free_port
from tests.live.postfix import Postfix, missing


class Side(Protocol):
    """One server under load."""

    name: str
    host: str
    port: int

    def stored(self) -> int | None:
        """Deliveries it holds in its queue; None: there is no way to ask."""

    def cpu(self) -> float | None:
        """Processor seconds used so far; None: unknown."""

    def stop(self) -> None: ...


_OPINION = (  # rules that look at what a message says or ask who sent it; what is left decides by policy, lists, people's rules and thresholds
    *("authentication", "dmarc", "arc-seal", "clamav", "maps", "attachment-policy", "dnsbl", "uribl", "rspamd", "classifier", "headers", "identity"),
    *("subject", "structure", "markup", "urls", "wording", "attachments", "combinations", "correspondents"),
)


def without_opinion(rules: str) -> str:
    """etc/rules.toml without the rules that weigh content: the road itself, which is what a mail server that filters nothing can be compared with."""
    head, *entries = re.split(r"(?m)^(?=\[\[rule\]\])", rules)
    named = [(re.search(r'(?m)^name = "([^"]+)"', entry), entry) for entry in entries]
    missing = set(_OPINION) - {found[1] for found, _ in named if found}
    if missing:
        raise Lied(f"etc/rules.toml has no rule {', '.join(sorted(missing))}")
    kept = [entry for found, entry in named if found is None or found[1] not in _OPINION]
    return head + "".join(kept).replace('after = ["correspondents"]\n', "")


class Jetmail:
    """A private appliance whose domain example.test goes to `sink_port`, or (0) to a port where nobody listens, so that all mail stays queued.
    `road`: its chain has no opinion of content. Not `filtered`: it has one, and nothing is done about it."""

    name = "jetmail"
    host = "127.0.0.1"

    def __init__(self, sink_port: int = 0, settings: dict[str, Any] | None = None, road: bool = False, filtered: bool = True) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jetmail-bench-"))
        self.appliance = Appliance(self.directory / "root", settings or private())
        if road:
            path = self.appliance.directory / "etc" / "rules.toml"
            path.write_text(without_opinion(path.read_text("utf-8")), "utf-8")
        self.port = self.appliance.smtp_port
        self.appliance.domain("example.test", sink_port or free_port(), "--tls", "none", filtered=filtered)

    def start(self) -> Jetmail:
        self.appliance.start()
        return self

    def stored(self) -> int | None:
        return len(self.appliance.queued())

    def cpu(self) -> float | None:
        return cpu_seconds(self.appliance.pid)

    def stop(self) -> None:
        self.appliance.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def private() -> dict[str, Any]:
    """Settings of an appliance that must not meet the one of the machine: one listener, and room for a load from one address."""
    return {
        "server": {"hostname": "bench.example.test"},
        "listener": [{"kind": "mx", "address": "127.0.0.1", "port": free_port()}],
        "smtp": {"max_connections": 2000, "max_per_address": 2000, "max_messages": 100_000},
    }


class PrivatePostfix:
    """The peer everybody knows, in the same two roles."""

    name = "postfix"
    host = "127.0.0.1"

    def __init__(self, sink_port: int = 0) -> None:
        if why := missing():
            raise SystemExit(f"--postfix: {why}")
        self.postfix = Postfix(sink_port).start()
        self.port = self.postfix.port

    def stored(self) -> int | None:
        return self.postfix.queued()

    def cpu(self) -> float | None:
        return None

    def stop(self) -> None:
        self.postfix.stop()


class Given:
    """A server somebody else runs: NAME=HOST:PORT. For relay it must send to the sink's port by itself."""

    def __init__(self, text: str) -> None:
        self.name, _, place = text.partition("=")
        self.host, _, port = place.rpartition(":")
        if not self.name or not self.host or not port.isdigit():
            raise SystemExit(f"--peer {text}: write NAME=HOST:PORT")
        self.port = int(port)

    def stored(self) -> int | None:
        return None

    def cpu(self) -> float | None:
        return None

    def stop(self) -> None:
        """It is not ours."""


def check_stored(side: Side, before: int | None, load: Load) -> None:
    """Every message answered 250 is in the queue of a server that can be asked. Raises Lied."""
    now = side.stored()
    if now is not None and before is not None and now - before != load.messages:
        raise Lied(f"{side.name}: {load.messages} messages answered 250, {now - before} in its queue")
