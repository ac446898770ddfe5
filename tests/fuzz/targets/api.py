"""What is asked of the API: JSON to a letter, and the letter to a message."""

from __future__ import annotations

import email
import json
from email import policy

from jetmail.api.problem import Problem
from jetmail.api.v1 import letters
from jetmail.mail.compose import compose
from tests.fuzz.target import target

BOUNDARY = "5f0e2a9c4b7d1e3f"
FIELDS = frozenset({"from", "to", "cc", "reply-to", "subject", "mime-version", "content-type", "content-transfer-encoding"})


def _asked() -> list[bytes]:
    whole = {
        "from": "Älice \"A\" <alice@example.org>", "to": ["bob@far.test", {"email": "carl@bücher.example", "name": "C, D"}], "cc": "jörg@far.test",
        "bcc": ["eve@far.test"], "reply_to": "x@example.org", "subject": "Grüße =?utf-8?q?x?= " + "long " * 40,
        "text": "Hi.\r\n.\r\nFrom here\r--b\n",
        "html": "<img src='cid:logo'>" + "ü" * 200, "headers": {"X-A": "b " * 60, "References": "<1@a> <2@b>", "List-Unsubscribe": "<https://a.b/>"},
        "attachments": [
            {"name": "ä" * 60 + ".txt", "type": "text/plain; charset=utf-8", "content": "aGVsbG8="},
            {"name": "a.pdf", "content": "JVBERg==", "cid": "logo"},
        ],
        "envelope_from": "bounces@example.org",
    }  # fmt: skip
    small = {"from": "a@b.test", "to": "c@d.test", "text": ""}
    return [json.dumps(each, ensure_ascii=is_ascii).encode() for each in (whole, small) for is_ascii in (True, False)]


@target(
    "api-letter", _asked, b'"from":', b'"to":', b'"headers":{', b'"attachments":[{', b'"content":"', b'"cid":"', b"\\r\\n", b"\\u0000", b"\\ud800",
    b"\\u2028", b"=?utf-8?b?", b"<", b">", b"@", b"null", b"[[[[[[", b'{"a":', b"1e999", b"NaN", b'\\"', b"\\\\", b"Bcc: x",
)  # fmt: skip
def api_letter(octets: bytes) -> None:
    """Any octets as JSON: a problem that names a field, or a message in good form with no field and no part that was not asked for."""
    try:
        order = letters.read(letters.from_json(octets), 200)
    except Problem as problem:
        assert problem.status in (400, 413, 422)
        json.dumps(problem.body).encode()
        return
    made = compose(order.letter, BOUNDARY)
    assert made.endswith(b"\r\n")
    assert made.count(b"\r\n") == made.count(b"\r") == made.count(b"\n")
    assert max(map(len, made.split(b"\r\n"))) <= 998
    assert order.letter.is_utf8 or made.isascii()
    found = email.message_from_bytes(made, policy=policy.compat32)
    names = [name.lower() for name in found]
    assert set(names) <= FIELDS | {name.lower() for name, _ in order.letter.headers}
    assert len(names) == len(set(names)), names
    leaves = [part for part in found.walk() if not part.is_multipart()]
    assert len(leaves) == (order.letter.text is not None) + (order.letter.html is not None) + len(order.letter.attachments)
    assert [part.get_payload(decode=True) for part in leaves if part.get_content_disposition() == "attachment"] == [
        item.data for item in order.letter.attachments if not item.cid
    ]
    assert all(str(recipient.address).isprintable() for recipient in order.recipients)
