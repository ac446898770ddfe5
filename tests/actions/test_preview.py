"""Looking at a message without being harmed by it, and reading why it was judged so."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jetmail.actions import preview
from jetmail.actions.access import Actor, Grant
from jetmail.actions.findings import explain, unexplained
from jetmail.actions.preview import of_octets
from jetmail.errors import NotFoundError
from jetmail.offload import InlineExecutor
from jetmail.rules.symbols import Scores, symbols
from jetmail.spool.files import MemoryStore
from jetmail.store.directory import domains
from jetmail.store.directory.domains import Domain
from jetmail.store.traffic.messages import Content, accept
from tests.store.samples import delivery, memory_store, message
from tests.web.seed import LETTER

ROOT = Actor.sysadmin("cli:root")
OWNER = Actor("portal", "ann@demo.test", (Grant("owner", "demo.test"),))
USER = Actor("portal", "ann@demo.test", (Grant("user", "ann@demo.test"),))


class PreviewTests(SynchronousTestCase):
    """What is shown of a stored message, to whom."""

    def setUp(self) -> None:
        """A letter held for Ann, refused for Bob; refused spam of which a copy is kept."""
        self.db = memory_store()
        domains.add(self.db.connection, Domain("demo.test"))
        self.store = MemoryStore(lambda: "x")
        content = Content(len(LETTER), LETTER)
        both = (delivery("ann@demo.test", "quarantined"), delivery("bob@demo.test", "blocked"))
        self.held = accept(self.db.connection, message(1, *both, content=content)).uid
        self.kept = accept(self.db.connection, message(2, delivery("ann@demo.test", "spam", held=True), content=content)).uid

    def show(self, actor: Actor, uid: str) -> Any:
        """What they see."""
        return preview.show(self.db, actor, uid, self.store, InlineExecutor())

    def test_scope(self) -> None:
        """To whom it came; not to whom it was refused; refused spam to the owner alone."""
        bob = Actor("portal", "bob@demo.test", (Grant("user", "bob@demo.test"),))
        for actor, uid in ((ROOT, self.held), (OWNER, self.held), (USER, self.held), (ROOT, self.kept), (OWNER, self.kept)):
            self.assertEqual(self.successResultOf(self.show(actor, uid)).uid, uid)
        for actor, uid in ((bob, self.held), (USER, self.kept), (ROOT, "f" * 20)):
            self.failureResultOf(self.show(actor, uid), NotFoundError)

    def test_letter(self) -> None:
        """Text, safe HTML, fields, parts, hosts and what was not loaded."""
        seen = self.successResultOf(self.show(USER, self.held))
        self.assertEqual([part.content_type for part in seen.parts], ["text/html", "image/png", "application/zip"])
        self.assertEqual([part.name for part in seen.parts if part.is_attachment], ["seal.png", "claim form.pdf.zip"])
        self.assertEqual((seen.hosts, seen.pictures, seen.is_cut), (("claim.lottery.example", "xn--bnk-0na.example"), 1, False))
        self.assertIn(("To", "m.okafor@demo.test"), seen.headers)
        self.assertIn("Dear customer", seen.text)
        self.assertIn("data:image/png;base64,", seen.html)
        self.assertNotIn("script", seen.html)

    def test_pictures_are_what_they_say(self) -> None:
        """SVG, HTML under an image's name, and what is too large are not shown."""
        large = b"GIF89a" + b"x" * 600_000
        for data, is_shown in ((b"\xff\xd8\xff\xe0jpeg", True), (b"RIFF1234WEBPx", True), (b"<svg onload=x>", False), (large, False)):
            octets = (
                b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<img src='cid:p'>\r\n"
                b"--b\r\nContent-Type: image/gif\r\nContent-ID: <p>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                + base64.b64encode(data) + b"\r\n--b--\r\n"
            )  # fmt: skip
            self.assertEqual("data:image" in of_octets(octets).html, is_shown, data[:9])

    def test_many_pictures(self) -> None:
        """The same picture a thousand times does not make a page of gigabytes."""
        data = base64.b64encode(b"GIF89a" + b"x" * 400_000)
        octets = (
            b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" + b"<img src='cid:p'>" * 1000 + b"\r\n"
            b"--b\r\nContent-Type: image/gif\r\nContent-ID: <p>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + data + b"\r\n--b--\r\n"
        )
        self.assertLess(len(of_octets(octets).html), 3_000_000)

    def test_bounds(self) -> None:
        """What is too much is cut, and says so."""
        seen = of_octets(b"Subject: x\r\n" + b"X: y\r\n" * 999 + b"\r\n" + b"word " * 100_000)
        self.assertTrue(seen.is_cut)
        self.assertEqual((len(seen.headers), len(seen.text)), (preview.MAX_FIELDS, preview.MAX_TEXT))


@given(st.binary(max_size=400).map(lambda body: b"Content-Type: text/html\r\n\r\n<p>" + body))
def test_any_octets(octets: bytes) -> None:
    """Whatever is in a message, there is a preview of it."""
    assert "<script" not in of_octets(octets).html.lower()


class FindingTests(SynchronousTestCase):
    """Opinions in sentences."""

    def test_explained(self) -> None:
        """Heaviest first, rulings last, unknown symbols by their word, damaged ones as they are."""
        scores = Scores(symbols("Test", ("A_SIGN", 1.0, "It has a sign.")))
        stored = [
            {"symbol": "REJECT", "score": 0.0, "detail": "spam", "rule": "thresholds"},
            {"symbol": "A_SIGN", "score": 1.0, "detail": "here", "rule": "signs"},
            {"symbol": "THEIRS", "score": -2.5, "detail": "", "rule": "x", "recipient": "bob@demo.test"},
            {"symbol": "TRUSTED", "detail": ""}, 7, {"symbol": 3}, {"symbol": "ODD", "score": "x"},
        ]  # fmt: skip
        found = explain(stored, scores)
        self.assertEqual([each.symbol for each in found], ["THEIRS", "A_SIGN", "?", "?", "ODD", "REJECT", "TRUSTED"])
        self.assertEqual((found[1].text, found[1].detail), ("It has a sign.", "here"))
        self.assertTrue(found[5].text.startswith("To be refused: "))
        self.assertEqual(len(unexplained(stored)), 7)
        self.assertIn("block list", unexplained([{"symbol": "BLOCK_LIST"}])[0].text)

    def test_of_one_s_own_recipients(self) -> None:
        """What a rule found of somebody else is nobody's business."""
        stored = [{"symbol": "BLOCK_RULE", "recipient": "bob@demo.test"}, {"symbol": "ALL"}]
        self.assertEqual([each.symbol for each in unexplained(stored, ["ann@demo.test"])], ["ALL"])
