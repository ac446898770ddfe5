"""The description is that of the API there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jetmail.api.problem import CODES, of_reply
from jetmail.api.v1 import letters
from jetmail.mail.reply import Reply
from jetmail.rules.verdict import REASONS, Action, Ruling
from tests.api.office import ApiTestCase

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


class DescriptionTests(ApiTestCase):
    """GET /v1/openapi.json"""

    def routes(self) -> set[tuple[str, str]]:
        """Method and path of every route there is."""
        found = set()
        for rule in self.site.front._routes.map.iter_rules():
            found |= {(method, rule.rule.replace("<", "{").replace(">", "}")) for method in rule.methods or () if method != "HEAD"}
        return found

    def test_every_route(self) -> None:
        """It has every route and no other, for anybody to read, and docs/api.md has them too."""
        seen = self.ask("GET", "/v1/openapi.json", token=None)
        self.assertEqual((seen.code, seen.json()["openapi"]), (200, "3.1.0"))
        described = {(method.upper(), path) for path, methods in seen.json()["paths"].items() for method in methods}
        self.assertEqual(described, self.routes())
        text = DOCS.read_text("utf-8")
        for method, path in described:
            self.assertIn(f"`{method} {path}`", text)

    def test_references(self) -> None:
        """Whatever it points at is there, and every error has its status among the answers of every operation."""
        document = self.ask("GET", "/v1/openapi.json").json()
        for pointer in re.findall(r"'#/components/schemas/(\w+)'", str(document)):
            self.assertIn(pointer, document["components"]["schemas"])
        for methods in document["paths"].values():
            for operation in methods.values():
                if operation.get("security") != []:
                    self.assertLessEqual({str(status) for status, _ in CODES.values()}, set(operation["responses"]))

    def test_fields(self) -> None:
        """The fields of a message are those that are read."""
        schemas: dict[str, Any] = self.ask("GET", "/v1/openapi.json").json()["components"]["schemas"]
        self.assertEqual(set(schemas["Message"]["properties"]), set(letters.FIELDS))


def test_codes_are_documented() -> None:
    """docs/api.md has a row for every code with its status."""
    text = DOCS.read_text("utf-8")
    for code, (status, _) in CODES.items():
        assert re.search(rf"\| {status} \| `{code}` \|", text), code


def test_every_reply_has_a_place() -> None:
    """Whatever the mail road refuses with becomes a 4xx, or 503 when it may pass, with the reply to the letter."""
    for reason in REASONS.values():
        if reason.reply.is_positive:
            continue
        ruling = Ruling(Action.DEFER if reason.reply.is_transient else Action.REJECT, reason.word)
        problem = of_reply(ruling.public_reply)
        assert problem.message == str(reason.reply)
        assert problem.status == 503 or 400 <= problem.status < 500
        assert (problem.status in (429, 503)) == reason.reply.is_transient, reason.word
    assert of_reply(Reply(421, "4.7.0", "Your login is not valid any more")).status == 401
    assert of_reply(Reply(452, "4.3.1", "Insufficient storage")).status == 503
    assert of_reply(Reply(550, "5.7.1", "[NEWS] Blocked")).code == "refused"
