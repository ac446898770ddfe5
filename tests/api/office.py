"""An API without sockets, over a receiving side in memory: raw requests in, answers taken apart, and what the store has."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import tokens
from jetmail.actions.access import Actor
from jetmail.actions.tokens import Bearers
from jetmail.api.options import ApiOptions
from jetmail.api.site import ApiServices, make_api
from jetmail.inbound.handin import HandIn
from jetmail.inbound.login import is_allowed_from
from jetmail.inbound.peer import origin, plain
from jetmail.inbound.transaction import Receiver
from jetmail.offload import InlineExecutor, SeededEntropy
from jetmail.web.metrics import Metrics
from tests.inbound.receiving import NOW, House
from tests.web.browser import Seen, Wire

ADMIN = Actor.sysadmin("root")
LETTER: dict[str, Any] = {"from": "Alice <alice@example.org>", "to": ["bob@far.test"], "subject": "Hello", "text": "Hi."}
RAW = b"From: alice@example.org\r\nTo: bob@far.test\r\nBcc: eve@far.test\r\nSubject: Hello\r\n\r\nHi.\r\n"
ENVELOPE = "/v1/messages/raw?from=alice%40example.org&to=bob%40far.test"
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # JSON, such as clients should not send


class ApiTestCase(SynchronousTestCase):
    """The SMTP user app may send from example.org; `token` is one of its tokens. Clients come from 127.0.0.1."""

    options = ApiOptions(hostname="mx.demo.test")

    def setUp(self) -> None:
        self.house = House(inline_limit=4_096)
        self.house.add_user()
        self.entropy = SeededEntropy()
        self.token = self.add_token()
        self.metrics = Metrics(CollectorRegistry())
        self.site, self.messages = self.make()

    def tearDown(self) -> None:
        self.assertEqual([], [call for call in self.house.clock.getDelayedCalls() if "Activity" not in str(call)], "timers are left")

    def make(self, **changes: Any) -> Any:
        """An API with these options."""
        house = self.house
        references = (f"ref-{number}" for number in itertools.count(1))
        services = ApiServices(
            house.db,
            Bearers(house.db, house.directory, house.clock.seconds, is_allowed_from),
            HandIn(lambda peer: Receiver(house.services, peer), house.directory, house.clock, 200_000),
            house.clock,
            house.clock.seconds,
            self.entropy,
            InlineExecutor(),
            self.metrics,
            lambda: next(references),
            plain,
            origin,
        )
        values = {name: getattr(self.options, name) for name in self.options.__slots__} | changes
        return make_api(ApiOptions(**values), services)

    def add_token(self, user: str = "app", **more: Any) -> str:
        """Another token."""
        made = tokens.create(self.house.db, ADMIN, user, name="shop", now=NOW, entropy=self.entropy, **more)
        found: str = self.successResultOf(made).token
        return found

    def wire(self, peer: str = "127.0.0.1") -> Wire:
        """A connection."""
        return Wire(self.site, peer)

    def head(self, method: str, path: str, token: str | None = "", **headers: str) -> bytes:
        """The header of a request, with the token unless another (or None) is given."""
        lines = [f"{method} {path} HTTP/1.1", "Host: mx.demo.test"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token or self.token}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def ask(self, method: str, path: str, body: bytes = b"", token: str | None = "", peer: str = "127.0.0.1", kind: str = "", **headers: str) -> Seen:
        """One request and its answer; timers run as long as it takes."""
        wire = self.wire(peer)
        more = {"Content_Type": kind} if kind else {}
        wire.send(self.head(method, path, token, Content_Length=str(len(body)), Connection="close", **more, **headers) + body)
        self.turn()
        seen = wire.seen()
        wire.close()
        return seen

    def turn(self) -> None:
        """What is to be done at once."""
        for _ in range(2_000):
            if not any(call.getTime() <= self.house.clock.seconds() for call in self.house.clock.getDelayedCalls()):
                return
            self.house.clock.advance(0)

    def post(self, value: Any = None, path: str = "/v1/messages", **more: Any) -> Seen:
        """JSON."""
        return self.ask("POST", path, json.dumps(LETTER if value is None else value).encode(), kind="application/json", **more)

    def post_raw(self, octets: bytes = RAW, path: str = ENVELOPE, **more: Any) -> Seen:
        """A message as it is."""
        return self.ask("POST", path, octets, kind="message/rfc822", **more)

    def check_error(self, seen: Seen, status: int, code: str, field: str = "") -> dict[str, Any]:
        """The one form of errors. -> the error."""
        self.assertEqual((seen.code, seen.headers["content-type"]), (status, "application/json; charset=utf-8"), seen.body)
        error: dict[str, Any] = seen.json()["error"]
        self.assertEqual(set(error), {"code", "message", "field", "reference"})
        self.assertEqual((error["code"], error["field"]), (code, field), error)
        return error

    def count(self) -> int:
        """Messages that were accepted."""
        found: int = self.house.rows("SELECT count(*) FROM messages WHERE content_id IS NOT NULL")[0][0]
        return found

    def content(self) -> bytes:
        """The last message, as a destination gets it."""
        octets: bytes = self.house.rows("SELECT data FROM content ORDER BY id DESC LIMIT 1")[0][0]
        return octets
