"""The parts of a message, for rules: found where they are, and bounded where somebody made them to hurt."""

from __future__ import annotations

import base64
import json
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import mime
from jetmail.mail.mime import parse_structure
from tests import fixtures


def multipart(*parts: bytes, kind: str = "mixed", boundary: str = "b", close: bool = True) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\npreamble\r\n'.encode()
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return head + body + (b"--" + boundary.encode() + b"--\r\nepilogue\r\n" if close else b"")


def test_plain_message() -> None:
    """A message without MIME is one text."""
    structure = parse_structure(b"Subject: x\r\n\r\nHello\r\n")
    assert [part.content_type for part in structure.parts] == ["text/plain"]
    assert structure.text == "Hello\r\n"
    assert structure.attachments == ()


def test_parts_text_and_attachments() -> None:
    """Alternative inside mixed, an attachment beside: three leaves, two texts, one file."""
    inner = multipart(
        b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe",
        b"Content-Type: text/html\r\n\r\n<p>Gr&uuml;&szlig;e <b>you</b></p><style>p{}</style>",
        kind="alternative",
        boundary="inner",
    )
    data = base64.encodebytes(b"%PDF" * 30).replace(b"\n", b"\r\n")
    file = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.PDF\r\nContent-Transfer-Encoding: base64\r\n\r\n" + data
    octets = multipart(inner, file)
    structure = parse_structure(octets)
    assert [(part.content_type, part.depth) for part in structure.parts] == [("text/plain", 2), ("text/html", 2), ("application/pdf", 1)]
    assert structure.text.split() == ["Grüße", "Grüße", "you"]
    (attachment,) = structure.attachments
    assert (attachment.file_name, attachment.extension) == ("a.PDF", "pdf")
    assert attachment.decoded(octets, 6) == b"%PDF%P"
    assert structure.flaws == frozenset()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ('Content-Disposition: attachment; filename="a b.txt"', "a b.txt"),
        ("Content-Type: application/x; name==?utf-8?q?=C3=BC.exe?=", "ü.exe"),
        ("Content-Disposition: attachment; filename*=utf-8''%C3%BC.exe", "ü.exe"),
        ('Content-Disposition: attachment; filename*0="long"; filename*1=".exe"', "long.exe"),
        ('Content-Disposition: attachment; filename="..\\\\..\\\\x.exe"', "x.exe"),
        ('Content-Disposition: attachment; filename="/etc/passwd"', "passwd"),
        ("Content-Type: application/x", ""),
    ],
)
def test_file_names(fields: str, name: str) -> None:
    """Quoted, encoded either way, continued; never with a directory."""
    structure = parse_structure(multipart(fields.encode() + b"\r\n\r\nx"))
    assert structure.parts[0].file_name == name


def test_attached_message() -> None:
    """An attached message is an attachment, and what is in it is seen."""
    inner = multipart(b"Content-Type: application/zip; name=evil.zip\r\n\r\nx", boundary="in")
    structure = parse_structure(multipart(b'Content-Type: message/rfc822; name="m.eml"\r\n\r\n' + inner))
    assert [part.file_name for part in structure.attachments] == ["m.eml", "evil.zip"]


@pytest.mark.parametrize(
    ("octets", "flaw"),
    [
        (multipart(b"\r\nx", close=False), "unclosed"),
        (b"Content-Type: multipart/mixed\r\n\r\nx", "boundary"),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "boundary"),
        (b"Content-Type: multipart/mixed\r\n boundary=a\r\n\r\n--a\r\nContent-Type: image/png\r\n\r\nx\r\n--a--\r\n", "boundary"),
        (multipart(*[b"\r\nx"] * (mime.MAX_PARTS + 5)), "parts"),
        (b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50)), "depth"),
        (multipart(b"Content-Type: text/plain\r\nX: " + b"x" * mime.MAX_PART_HEADER), "header"),
        (multipart(b"\r\n" + b"--bb\r\n" * (mime.MAX_HITS + 5)), "hits"),
    ],
)
def test_flaws(octets: bytes, flaw: str) -> None:
    """What is wrong, or over a cap, has a name."""
    assert flaw in parse_structure(octets).flaws


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" * 20_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<style" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!--" * 200_000,
        b"Content-Type: text/plain" + b"; a=(" * 20_000 + b"\r\n\r\n",
        b"From: " + b"(" * 120_000 + b"\r\n\r\n",
        b"Content-Type: text/plain\r\n\r\n" + b" " * 2_000_000,
    ],
    ids=["same boundary", "many parts", "style", "comment", "parameters", "comments", "spaces"],
)
def test_hostile_input_is_bounded(octets: bytes) -> None:
    """What makes other parsers hang costs well under a second."""
    start = process_time()
    parse_structure(octets)
    assert process_time() - start < 1


def test_other_people_s_messages() -> None:
    """Every message of the MIME fixtures is read, and none is without a part."""
    messages = [path for path in sorted(fixtures.folder("05_mime").rglob("*")) if path.suffix in (".eml", ".msg", ".txt") and path.is_file()]
    assert len(messages) > 150
    assert [path.name for path in messages if not parse_structure(path.read_bytes()).parts] == []


# Why ours differs; docs/testing.md has the same list.
OTHERWISE = {
    "name-charset": "legacy/016 legacy/023 legacy/026",
    "name-path": "legacy/035 legacy/039",
    "uuencoded": "legacy/049",
    "name-alone": "malformed/017",
    "packed-message": "rfc/008",
    "encoded-name": "thirdparty/015",
    "broken": " ".join(f"malformed/{number:03d}" for number in (0, 2, 3, 7, 9, 11, 12, 13, 14, 16, 19, 20, 21, 22)),
}


def leaves(told: dict[str, Any], number: int = 0, default: str = "text/plain") -> list[tuple[str, str]]:
    """(type, file name) of the leaves of a message as mail-parser's JSON has it."""
    part = told["parts"][number]
    fields = {str(field["name"]): (field["value"] or {}).get("ContentType") for field in part["headers"] if isinstance(field["value"], dict)}
    said, shown = fields.get("content_type") or {}, fields.get("content_disposition") or {}
    kind = f"{said['c_type']}/{said['c_subtype']}".lower() if said.get("c_subtype") else default
    ((word, body),) = part["body"].items() if isinstance(part["body"], dict) else ((part["body"], None),)
    if word == "Multipart":
        inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        return [leaf for each in body for leaf in leaves(told, each, inner)]
    named = [
        attribute["value"]
        for field, name in ((shown, "filename"), (said, "name"))
        for attribute in field.get("attributes") or ()
        if attribute["name"] == name
    ]
    own = (kind, named[0].replace("\\", "/").rpartition("/")[2].strip() if named else "")
    return [own, *(leaves(body) if word == "Message" else ())]


def test_the_tree_of_another_parser() -> None:
    """Leaves, their types and file names are those of Stalwart's mail-parser, but for messages that are listed with the reason."""
    folder = fixtures.folder("05_mime") / "stalwart_mail_parser" / "eml"
    differ = {
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("*.eml")
        if [(part.content_type, part.file_name) for part in parse_structure(path.read_bytes()).parts]
        != leaves(json.loads(path.with_suffix(".json").read_text("utf-8")))
    }
    assert differ == {name for names in OTHERWISE.values() for name in names.split()}


PIECES = [
    b"--b",
    b"--",
    b"\r\n",
    b"\n",
    b"Content-Type: ",
    b"multipart/mixed; boundary=b",
    b"text/html",
    b"message/rfc822",
    b"x",
    b" ",
    b";",
    b'"',
    b"<",
]


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_any_octets(octets: bytes) -> None:
    """Whatever the octets: parts inside the message, and text."""
    structure = parse_structure(octets)
    assert all(0 <= part.start <= part.end <= len(octets) for part in structure.parts)
    for part in structure.parts:
        part.decoded(octets, 100)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/plain; charset=utf-8",
        b'Content-Type: Text/HTML;charset="utf-8" ; name="a b.html"',
        b'Content-Type: application/pdf; name="a.pdf"; name=b.pdf\r\nContent-Disposition: attachment; filename=c.pdf',
        b"Content-Type: text/plain; charset=utf-8 (a comment)",
        b"Content-Type: text/plain; name*=utf-8''%e2%80%ae.exe",
        b'Content-Type: text/plain; name="a\\"b"',
        b"Content-Type: text/plain; name==?utf-8?q?x?=",
        b"Content-Type: text/plain;;; charset=x;",
        b"Content-Type: ;\r\nContent-Type: text/html",
        b"Content-Type: text/html\r\nContent-Type: text/plain",
        b"Content-Transfer-Encoding: BASE64 \r\nContent-Disposition: inline",
        b"Content-Disposition: attachment; filename=a b.pdf",
    ],
)
def test_plain_fields_read_the_same_either_way(fields: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way for fields of the usual shape gives what the standard library gives."""
    octets = fields + b"\r\n\r\nx"
    short = parse_structure(octets)
    monkeypatch.setattr(mime, "_plain", lambda lines: None)
    assert parse_structure(octets) == short
