"""The appliance a dialogue is played on: a real Receiver over a store in memory, with what the header's `given` lines say (README.md).

Everything behind the receiver is the product's own: directory, login with argon2, permission, quota, lockdown, the shipped chain without its opinion
of content, the commit. Stand-ins are DNS, the clock and the virus scanner.
"""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from twisted.internet.defer import Deferred

from jetmail import passwords
from jetmail.inbound.activity import Activity, Limits
from jetmail.inbound.lockdown import LockdownCheck
from jetmail.interfaces import AnswerKind, IExecutor
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import InlineExecutor
from jetmail.rules import registry
from jetmail.rules.chain import Judge
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.store.directory import accounts, blocked_senders, domains, people, principals, sender_addresses, smtp_users
from jetmail.store.directory.blocked_senders import BlockedSender
from jetmail.store.directory.sender_addresses import SenderAddress
from jetmail.store.traffic import sending
from tests.dialogs.player import Player
from tests.dialogs.script import Dialog, Step
from tests.fakes import FakeDialer
from tests.inbound.receiving import CONTENT, ROOT, House, without_opinions
from tests.rules.test_scanners import SOCKET, FakeClamd

PASSWORD = "right"


@cache
def encoded(password: str) -> str:
    """As the store keeps it."""
    return passwords.encode(password, b"salt for dialogs")


@cache
def suffixes() -> PublicSuffixes:
    """The list is large."""
    return PublicSuffixes()


class Stage(House):
    """What `given` lines and DO steps change. Each word is a method called `do_<word>`."""

    def __init__(self, dialog: Dialog) -> None:
        super().__init__()
        self.address = "192.0.2.7"
        self.submissions.lockdown = LockdownCheck(self.resolver, suffixes(), self.clock)
        self.dialer = FakeDialer(self.clock)
        for line in dialog.given:
            self.do(line)
        self.visit = self.session(self.address, dialog.kind)

    def do(self, line: str) -> None:
        """One line."""
        word, *rest = shlex.split(line)
        positional = [item for item in rest if "=" not in item or word == "dns"]
        named = dict(item.split("=", 1) for item in rest if item not in positional)
        getattr(self, f"do_{word}")(*positional, **named)

    # who there is

    def do_user(self, name: str, **changes: str) -> None:
        """An SMTP user with the password `right`, new or changed."""
        values: dict[str, Any] = {key: tuple(value.split(",")) if value else () for key, value in changes.items() if key in ("domains", "networks")}
        values |= {key: value for key, value in changes.items() if key in ("mode", "quota_window")}
        if "quota" in changes:
            values["quota"] = int(changes["quota"])
        if "suspended" in changes:
            values["is_suspended"] = changes["suspended"] == "yes"
        if "password" in changes:
            values["password"] = encoded(changes["password"])
        unknown = set(changes) - set(values) - {"suspended"}
        assert not unknown, unknown
        if self.db.read(smtp_users.named, name) is None:
            self.write(smtp_users.add, replace(self._new_user(name), **values))
        else:
            self.change_user(name, **values)

    def _new_user(self, name: str) -> smtp_users.SmtpUser:
        return smtp_users.SmtpUser(str(uuid5(NAMESPACE_DNS, name)), 1, name, encoded(PASSWORD))

    def do_person(self, address: str, **changes: str) -> None:
        """A person with the password `right`, new or changed."""
        values: dict[str, Any] = {key: encoded(value) if key == "password" else value for key, value in changes.items()}
        if self.db.read(people.at, address) is None:
            self.add_person(address, **{"uuid": str(uuid5(NAMESPACE_DNS, address)), "password": encoded(PASSWORD)} | values)
        else:
            self.change_person(address, **values)

    def do_remove(self, name: str) -> None:
        """A user, a person or a domain is no more."""
        if (user := self.db.read(smtp_users.named, name)) is not None:
            self.write(smtp_users.remove, user)
        elif (person := self.db.read(people.at, name)) is not None:
            self.write(people.remove, person)
        else:
            self.write(domains.remove, name)

    def do_rename(self, name: str, new: str) -> None:
        """A user gets another name."""
        self.write(smtp_users.save, replace(self.user(name), username=new))

    def do_grant(self, address: str, name: str) -> None:
        """Somebody may send as the address too."""
        self.write(sender_addresses.add, SenderAddress(address, self.uuid(name)))

    def do_alias(self, address: str, target: str) -> None:
        """Mail for the address reaches the target."""
        self.add_alias(address, target)

    def do_plan(self, plan: str) -> None:
        """The account's."""
        account = self.db.read(accounts.get, 1)
        assert account is not None
        self.write(accounts.save, replace(account, plan=plan))

    def do_domain(self, name: str, verified: str = "yes", outbound: str = "yes", account: str = "1", recipients: str = "any") -> None:
        """A domain."""
        is_verified = verified == "yes"
        self.add_domain(name, verified_at=1.0 if is_verified else None, outbound=outbound == "yes", account_id=int(account), recipients=recipients)

    def do_postmaster(self, address: str) -> None:
        """[server] postmaster, for the name the session greets with."""
        self.set_postmaster(address, "mx.test")

    # what is outside

    def do_client(self, address: str) -> None:
        """Where the client comes from."""
        self.address = address

    def do_dns(self, name: str, kind: str, *texts: str) -> None:
        """Records of a name; `fails`: the server cannot tell."""
        self.resolver.zone[name, kind] = AnswerKind.SERVFAIL if texts == ("fails",) else [text.encode() for text in texts]

    def do_scanner(self, name: str) -> None:
        """A virus scanner that finds that in everything."""
        text = (ROOT / "etc/rules.toml").read_text("utf-8").replace("options = { enabled = false, socket", "options = { enabled = true, socket")
        self.chain = without_opinions(registry.parse(text))
        self.dialer = FakeDialer(self.clock, {SOCKET: lambda: FakeClamd(f"stream: {name} FOUND\0".encode())})
        services = RuleServices(
            "mx.demo.test", self.clock, self.resolver, IExecutor(InlineExecutor()), Scores(self.chain.symbols), ROOT / "etc", Path("/nowhere"),
            dialer=self.dialer,
        )  # fmt: skip
        self.chain.bind(services)
        self.services = replace(self.services, judge=Judge(self.chain, self.clock))

    # what has happened

    def do_option(self, **options: str) -> None:
        """Settings of [submission]."""
        self.submissions.options = replace(self.submissions.options, **options)  # type: ignore[arg-type]

    def do_limit(self, of: str, **numbers: str) -> None:
        """How much a `user` or a `sender` may do in an hour."""
        known = {field.name for field in fields(Limits)}
        assert set(numbers) <= known, numbers
        limits = Limits(**{key: int(value) for key, value in numbers.items()})
        both = (limits, Limits()) if of == "user" else (Limits(), limits)
        self.activity = self.submissions.activity = Activity(self.db, self.clock, *both, self.activity.on_over)

    def do_block(self, name: str, sender: str = "") -> None:
        """All of somebody's mail, or one sender's, was stopped."""
        self.write(blocked_senders.block, BlockedSender(self.uuid(name), sender, 1, 1.0, "spam", {"spam": 21}))

    def do_unblock(self, number: str) -> None:
        """A block is lifted."""
        self.write(partial(blocked_senders.unblock, by_owner=False), int(number), self.clock.seconds(), "admin")

    def do_unlock(self, name: str) -> None:
        """An administrator lets a user go on over its quota."""
        user = self.user(name)
        self.change_user(name, unlocked_until=sending.period_end(user.quota_window, self.clock.seconds()))

    def do_later(self, seconds: str) -> None:
        """Time passes."""
        self.clock.advance(float(seconds))

    # for the player

    def uuid(self, name: str) -> str:
        """Of a user or person."""
        found = self.db.read(principals.named, name)
        return found.uuid if found is not None else str(uuid5(NAMESPACE_DNS, name))

    def contents(self) -> list[bytes]:
        """All that was accepted."""
        return [row[0] for row in self.rows(CONTENT)]

    def wait(self, answer: Deferred[Any]) -> Any:
        """The answer, however long it takes."""
        got: list[Any] = []
        answer.addBoth(got.append)
        for _ in range(600):
            self.dialer.pump()
            if got:
                return got[0]
            self.clock.advance(0.1)
        raise AssertionError("no answer within a minute")

    def last(self) -> tuple[str, str, str]:
        """uid, and status and reason of the first delivery, of the message recorded last."""
        query = "SELECT uid, status, reason FROM messages AS m JOIN deliveries AS d ON d.message_id = m.id ORDER BY m.id DESC, d.id LIMIT 1"
        rows = self.rows(query)
        assert rows, "no message was recorded"
        return rows[0]  # type: ignore[return-value]


def play(dialog: Dialog, cut: int) -> None:
    """The dialogue on an appliance of its own."""
    stage = Stage(dialog)
    made: list[Player] = []

    def special(step: Step, where: str) -> None:
        if step.action == "do":
            stage.do(step.text)
        elif step.action == "record":
            _, status, reason = stage.last()
            assert f"{status} {reason}".strip() == step.text, f"{where}: recorded {status} {reason}"
        else:
            expected = step.text
            if "<uid>" in expected:
                uid = stage.last()[0]
                assert len(uid) == 20 and set(uid) <= set("0123456789abcdef"), uid
                expected = expected.replace("<uid>", uid)
            while "<uuid of " in expected:
                before, _, rest = expected.partition("<uuid of ")
                name, _, after = rest.partition(">")
                expected = before + stage.uuid(name) + after
            assert made[0].last == [expected], f"{where}: said {made[0].last[0]!r}, not {expected!r}"

    made.append(Player(dialog, cut, stage.visit.receiver, stage.contents, stage.wait, special))
    made[0].play()
