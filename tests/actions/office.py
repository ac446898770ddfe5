"""Two accounts, a DNS and a clock: where domains are proved, checked and given keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jetmail.actions import domain_checks, domains
from jetmail.actions.access import Actor, Grant
from jetmail.actions.dkim import Workshop
from jetmail.actions.domain_checks import Report
from jetmail.actions.publishing import PublishOptions
from jetmail.interfaces import AnswerKind, IDatabase, IExecutor, IResolver
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import InlineExecutor
from jetmail.store.directory import accounts, dkim_keys
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.keyfiles import KeyFiles
from tests.fakes import FakeResolver
from tests.store.samples import memory_store

NOW = 1_795_159_800.0
DAY = 86_400.0
TOKEN = "0123456789abcdef" * 2
OTHER = "f" * 32
ROOT = Actor.sysadmin("root")
ANNA = Actor("portal", "anna@one.example", (Grant("account", "1"),))
BERT = Actor("portal", "bert@two.example", (Grant("account", "2"),))
OPTIONS = PublishOptions("mail.test", "spf.mail.test", "return.mail.test")


class Office:
    """Two accounts, a DNS, a clock. `published` puts what a report wants into DNS; our own zone is there by itself."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.db = memory_store()
        self.resolver = FakeResolver({("spf.mail.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]})
        self.files = KeyFiles(folder / "dkim")
        self.folder = folder
        self.time = NOW
        self.shop = Workshop(
            IDatabase(self.db), IResolver(self.resolver), IExecutor(InlineExecutor()), self.files, replace(OPTIONS, **options), PublicSuffixes(),
            lambda: self.time,
        )  # fmt: skip
        self.db.run(accounts.add, "second")

    def add(self, actor: Actor = ANNA, account_id: int = 1, name: str = "example.com", token: str = TOKEN, **more: Any) -> Any:
        """Say that a domain is mine."""
        return self.settled(domains.add(self.db, actor, name, now=self.time, account_id=account_id, challenge=token, **more))

    def verify(self, actor: Actor = ANNA, name: str = "example.com", **more: Any) -> Report:
        """Look now."""
        report: Report = self.settled(domain_checks.verify(self.shop, actor, name, token=TOKEN, **more))
        return report

    def told(self, actor: Actor = ANNA, name: str = "example.com", **more: Any) -> Report:
        """What is known."""
        report: Report = self.settled(domain_checks.told(self.shop, actor, name, token=TOKEN, **more))
        return report

    def settled(self, waiting: Any) -> Any:
        """Its result, or what it failed with."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def publish(self, report: Report, *subjects: str) -> None:
        """Do as the report says."""
        for record in report.records:
            if not subjects or record.subject in subjects:
                if record.kind == "TXT":
                    self.resolver.zone[record.name, "TXT"] = [record.value.encode()]
                else:
                    self.resolver.zone[record.name, "CNAME"] = [record.value]
        self.serve()

    def serve(self) -> None:
        """Our own zone is what the file says, and CNAMEs that lead there are followed."""
        zone = {}
        for line in (self.folder / "dkim" / "zone").read_text().splitlines() if (self.folder / "dkim" / "zone").exists() else ():
            if not line.startswith(";"):
                name, _, _, _, text = line.split(" ", 4)
                zone[name.removesuffix(".")] = text.replace('" "', "").strip('"').encode()
        for (name, kind), found in list(self.resolver.zone.items()):
            if kind == "CNAME" and "_domainkey" in name:
                self.resolver.zone[name, "TXT"] = [zone[found[0]]] if found[0] in zone else AnswerKind.NODATA

    @property
    def keys(self) -> dict[str, str]:
        """{selector: state}"""
        found: tuple[DkimKey, ...] = self.settled(self.db.search(dkim_keys.listing))
        return {key.selector: key.state for key in found}


def statuses(report: Report) -> dict[str, str]:
    """{subject or selector: status}"""
    return {record.name.partition(".")[0] if record.subject == "dkim" else record.subject: record.status for record in report.records}
