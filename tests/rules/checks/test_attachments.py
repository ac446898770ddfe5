"""Findings about files, and the policy of a domain about them."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import tarfile
import zipfile
import zlib
from typing import Any, Literal

import pytest

from jetmail.mail.message import Message
from jetmail.rules.attachments import AttachmentPolicy, parse
from jetmail.rules.checks.attachment_policy import AttachmentRule
from jetmail.rules.rule import NoOptions
from jetmail.rules.verdict import NO_OPINION, Action
from tests.mail.test_sevenzip import PACKED as SEVEN_ZIP
from tests.rules import samples
from tests.rules.checks.judging import parts, symbols

PE = b"MZ" + b"\0" * 58 + struct.pack("<L", 64) + b"PE\0\0" + b"x" * 200
LNK = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + b"\0" * 60
WORKBOOK = "Workbook".encode("utf-16-le")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
PDF = b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n"
TEXT = "Content-Type: text/plain\r\n\r\nPlease see the attached file, and tell me what you think of it when you have read it."


def sheet(name: bytes, kind: int, state: int = 0) -> bytes:
    """What a workbook of Excel 97 to 2003 says of one of its sheets (BoundSheet8): kind 0 has cells, 1 macros, 2 a chart."""
    body = struct.pack("<LBBBB", 0x1234, state, kind, len(name), 0) + name
    return struct.pack("<HH", 0x85, len(body)) + body


def packed(**files: bytes) -> bytes:
    """A zip; a name's __ is a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


def locked(**files: bytes) -> bytes:
    """A zip whose members say that they are encrypted."""
    octets = bytearray(packed(**files))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = octets.find(mark)
        while at >= 0:
            octets[at + place] |= 1
            at = octets.find(mark, at + 4)
    return bytes(octets)


def tarred(name: str, content: bytes, packer: Literal["gz", "bz2", "xz"] = "gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packer}") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tnef(name: str, content: bytes) -> bytes:
    """What Outlook makes of a letter with a file (MS-OXTNEF)."""
    attributes = ((0x00069002, b"\0" * 14), (0x0006800F, content), (0x00018010, name.encode() + b"\0"))
    return b"\x78\x9f\x3e\x22\1\0" + b"".join(struct.pack("<BLL", 2, number, len(value)) + value + b"\0\0" for number, value in attributes)


def letter(content: bytes, name: str, kind: str = "application/octet-stream") -> Message:
    """A letter with that file."""
    encoded = base64.encodebytes(content).decode()
    return parts(
        TEXT, f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}'
    )


MACRO_DOCUMENT = packed(**{"[Content_Types]__xml": b"x", "word/vbaProject__bin": b"x"})
LETTER = letter(PE, "setup.exe").whole()


@pytest.mark.parametrize(
    ("content", "name", "symbol"),
    [
        (PE, "setup.exe", "ATTACHMENT_PROGRAM"),
        (PE, "holiday.jpg", "ATTACHMENT_PROGRAM"),
        (PE, "holiday.jpg", "ATTACHMENT_DISGUISED"),
        (b"\x7fELF" + b"\0" * 60, "tool", "ATTACHMENT_PROGRAM"),
        (b"var a = 1;", "invoice.js", "ATTACHMENT_SCRIPT"),
        (b"@echo off\r\ndel x", "readme", "ATTACHMENT_SCRIPT"),
        (LNK, "folder.lnk", "ATTACHMENT_SHORTCUT"),
        (LNK, "folder.pdf", "ATTACHMENT_SHORTCUT"),
        (b"\0" * 32_769 + b"CD001" + b"\0" * 100, "invoice.img", "ATTACHMENT_DISK_IMAGE"),
        (b"\0" * 7 + b"**ACE**" + b"\0" * 50, "x.ace", "ATTACHMENT_RARE_ARCHIVE"),
        (PE, "invoice.pdf.exe", "ATTACHMENT_DOUBLE_EXTENSION"),
        (b"x", "invoice\u202efdp.exe".encode().decode("latin-1"), "ATTACHMENT_PROGRAM"),
        (b"x", "invoice.pdf          .exe", "ATTACHMENT_NAME_PADDED"),
        (OLE + "_VBA_PROJECT".encode("utf-16-le"), "plan.doc", "ATTACHMENT_MACRO"),
        (packed(**{"[Content_Types]__xml": b"x", "word/vbaProject__bin": b"x"}), "plan.docx", "ATTACHMENT_MACRO"),
        (b"{\\rtf1 {\\object\\objdata 0105}}", "plan.rtf", "ATTACHMENT_OBJECT"),
        (packed(**{"[Content_Types]__xml": b"x", "word/_rels/settings__xml__rels":
                   b'<Relationship Type="x/attachedTemplate" Target="https://x.example/t.dotm"/>'}), "plan.docx", "ATTACHMENT_REMOTE"),
        (OLE + WORKBOOK + sheet(b"Macro1", 1), "plan.xls", "ATTACHMENT_MACRO"),
        (OLE + WORKBOOK + sheet(b"Sheet1", 0) + sheet(b"Hidden", 1, state=2), "plan.xls", "ATTACHMENT_MACRO"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "plan.docx", "ATTACHMENT_LOCKED"),
        (b"<html><p>Hello</p></html>", "page.html", "ATTACHMENT_PAGE"),
        (b"<html><form><input type=password></form></html>", "page.html", "ATTACHMENT_PAGE_TRAP"),
        (b"<html><script>location.href=atob('aHR0cA==')</script></html>", "page.htm", "ATTACHMENT_PAGE_TRAP"),
        (b"<svg xmlns='x'><script>go()</script></svg>", "drawing.svg", "ATTACHMENT_DRAWING_CODE"),
        (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d" + b"\0" * 30, "notes.one", "ATTACHMENT_NOTEBOOK"),
        (PDF + b"<< /S /JavaScript /JS (app.alert(1)) >>", "a.pdf", "PDF_SCRIPT"),
        (PDF + b"<< /S /J#61vaScript >>", "a.pdf", "PDF_SCRIPT"),
        (PDF + b"<< /S /Launch /F (cmd.exe) >>", "a.pdf", "PDF_LAUNCH"),
        (PDF + b"<< /Type /EmbeddedFile >>", "a.pdf", "PDF_EMBEDDED"),
        (PDF + b"trailer << /Encrypt 5 0 R >>", "a.pdf", "ATTACHMENT_LOCKED"),
        (packed(setup__exe=PE), "files.zip", "ARCHIVE_PROGRAM"),
        (packed(setup__dat=PE), "files.zip", "ARCHIVE_PROGRAM"),
        (packed(invoice__js=b"x"), "files.zip", "ARCHIVE_SCRIPT"),
        (packed(invoice__pdf__exe=PE), "files.zip", "ARCHIVE_DOUBLE_EXTENSION"),
        (packed(page__html=b"<html>"), "files.zip", "ARCHIVE_PAGE"),
        (packed(inner__zip=packed(setup__exe=PE)), "files.zip", "ARCHIVE_PROGRAM"),
        (packed(inner__zip=packed(a__txt=b"x")), "files.zip", "ARCHIVE_NESTED"),
        (packed(a__zip=packed(b__zip=packed(c__zip=packed(d__zip=packed(e__txt=b"x"))))), "files.zip", "ARCHIVE_DEEP"),
        (tarred("setup.exe", PE), "files.tar.gz", "ARCHIVE_PROGRAM"),
        (SEVEN_ZIP, "files.7z", "ARCHIVE_PROGRAM"),
        (SEVEN_ZIP, "files.7z", "ARCHIVE_DOUBLE_EXTENSION"),
        (locked(report__pdf=b"x"), "files.zip", "ARCHIVE_LOCKED"),
        (packed(zeros__bin=b"\0" * (60 << 20)), "files.zip", "ARCHIVE_BOMB"),
        (packed(a__txt=b"x")[:40], "files.zip", "ARCHIVE_BROKEN"),
        (packed(plan__doc=OLE + "_VBA_PROJECT".encode("utf-16-le")), "files.zip", "ARCHIVE_MACRO"),
        (packed(plan__docx=MACRO_DOCUMENT), "files.zip", "ARCHIVE_MACRO"),
        (packed(invoice__iso=b"\0" * 32_769 + b"CD001" + b"\0" * 100), "files.zip", "ARCHIVE_DISK_IMAGE"),
        (packed(**{f"{number}__txt": b"x" for number in range(600)}, setup__exe=PE), "files.zip", "ARCHIVE_PROGRAM"),
        (packed(**{f"{number}__txt": b"x" for number in range(600)}), "files.zip", "ARCHIVE_MANY"),
        (tarred("setup.exe", PE, "bz2"), "files.tar.bz2", "ARCHIVE_PROGRAM"),
        (tarred("setup.exe", PE, "xz"), "files.tar.xz", "ARCHIVE_PROGRAM"),
        (tnef("setup.exe", PE), "winmail.dat", "ARCHIVE_PROGRAM"),
        (LETTER, "message.eml", "ATTACHMENT_PROGRAM"),
        (LETTER, "message", "ATTACHMENT_PROGRAM"),
        (b"<html><script>x()</script></html>", "invoice.hta", "ATTACHMENT_SCRIPT"),
        (b"x", "invoice.pdf.exe.", "ATTACHMENT_DOUBLE_EXTENSION"),
        (PDF + b"9 0 obj << /Type /ObjStm /Filter /FlateDecode /N 1 >> stream\n" + zlib.compress(b"<< /S /JavaScript >>"), "a.pdf", "PDF_SCRIPT"),
    ],
)  # fmt: skip
def test_files(content: bytes, name: str, symbol: str) -> None:
    """Each kind of file has its symbol, whatever its name says."""
    assert symbol in symbols(letter(content, name))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PDF, "invoice.pdf"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "photo.v2.png"),
        (packed(report__pdf=PDF, notes__txt=b"x"), "files.zip"),
        (packed(**{"[Content_Types]__xml": b"x", "word/document__xml": b"x"}), "plan.docx"),
        (OLE, "plan.xls"),
        (OLE + WORKBOOK + sheet(b"Sheet1", 0) + sheet(b"Chart1", 2), "plan.xls"),
        (b"a;b;c\r\n1;2;3\r\n", "table.2023.csv"),
        (b"diff --git a/x b/x\n", "fix.patch"),
        (b"#!/bin/sh\necho\n", "run.sh"),
        (packed(plan__docx=packed(**{"[Content_Types]__xml": b"x", "word/document__xml": b"x"}), old__xls=OLE), "files.zip"),
        (tarred("src/notes.txt", b"words"), "src-1.0.tar.gz"),
        (tnef("plan.pdf", PDF), "winmail.dat"),
    ],
)
def test_honest_files(content: bytes, name: str) -> None:
    """What people send one another weighs next to nothing."""
    assert symbols(letter(content, name)) <= {"ATTACHMENT_SCRIPT"}


def test_reversed_names() -> None:
    """A name with a character that turns the reading direction."""
    message = parts(TEXT, "Content-Type: application/octet-stream; name*=utf-8''invoice%E2%80%AEfdp.exe\r\n\r\nx")
    assert {"ATTACHMENT_NAME_REVERSED", "ATTACHMENT_PROGRAM"} <= symbols(message)


def test_names_that_differ() -> None:
    """Of two names the one that runs is the one that counts, and octets of UTF-8 in it are read."""
    head = 'Content-Type: application/x; name="invoice.exe"\r\nContent-Disposition: attachment; filename="invoice.pdf"\r\n\r\nx'
    assert "ATTACHMENT_PROGRAM" in symbols(parts(TEXT, head))
    assert "ATTACHMENT_NAME_REVERSED" in symbols(parts(TEXT, 'Content-Type: application/x; name="invoice\u202efdp.exe"\r\n\r\nx'))


def test_files_in_other_wrappings() -> None:
    """A program within an attached message in base64, uuencoded as a part, or written into the text as before MIME."""
    lines = b"".join(binascii.b2a_uu(PE[at : at + 45]) for at in range(0, len(PE), 45)).decode()
    written = f"begin 644 setup.bin\n{lines}`\nend\n".replace("\n", "\r\n")
    within = base64.encodebytes(LETTER).decode()
    assert "ATTACHMENT_PROGRAM" in symbols(parts(TEXT, f"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{within}"))
    assert "ATTACHMENT_PROGRAM" in symbols(parts(TEXT, f"Content-Type: application/x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n{written}"))
    assert "ATTACHMENT_PROGRAM" in symbols(parts(f"{TEXT}\r\n{written}Bye\r\n"))
    assert "ATTACHMENT_PROGRAM" not in symbols(parts(f"{TEXT}\r\nbegin 644 a new life\r\nMore of it below\r\n"))


def test_nothing_but_a_file() -> None:
    """A message that is only a file."""
    message = parts('Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment\r\n\r\n%PDF-1.4')
    assert "ATTACHMENT_ONLY" in symbols(message)


def ruled(message: Message, **wanted: Any) -> Action | None:
    """What the rule says under that policy."""
    policy = samples.policy(attachments=parse(wanted) if wanted else AttachmentPolicy())
    verdict = AttachmentRule("attachment-policy", NoOptions()).judge(samples.facts(message), policy)
    return verdict.ruling.action if verdict.ruling is not None else None


@pytest.mark.parametrize(
    ("content", "name", "wanted", "action"),
    [
        (PE, "a.txt", {"types": ["program"]}, Action.REJECT),
        (b"x", "a.exe", {"types": ["program"]}, Action.REJECT),
        (b"x", "a.exe", {"types": ["script"]}, None),
        (b"x", "a.TXT", {"extensions": [".txt"]}, Action.REJECT),
        (b"x", "a.txt", {"extensions": ["txt"], "action": "quarantine"}, Action.QUARANTINE),
        (b"x", "a.txt", {"extensions": ["txt"], "action": "off"}, None),
        (packed(a__exe=PE), "a.zip", {"types": ["program"]}, Action.REJECT),
        (packed(a__exe=PE), "a.zip", {"types": ["program"], "archives": False}, None),
        (packed(b__zip=packed(a__txt=b"x")), "a.zip", {"extensions": ["txt"]}, Action.REJECT),
        (locked(a__txt=b"x"), "a.zip", {"locked": True}, Action.REJECT),
        (packed(a__txt=b"x"), "a.zip", {"types": ["archive"]}, Action.REJECT),
        (packed(**{"[Content_Types]__xml": b"x", "word/vbaProject__bin": b"x"}), "a.docx", {"types": ["macro"]}, Action.REJECT),
        (packed(**{"[Content_Types]__xml": b"x"}), "a.docx", {"types": ["archive", "macro"]}, None),
        (packed(a__doc=MACRO_DOCUMENT), "a.zip", {"types": ["macro"]}, Action.REJECT),
        (packed(a__docx=packed(**{"[Content_Types]__xml": b"x"})), "a.zip", {"extensions": ["xml"], "types": ["macro"]}, None),
        (tnef("a.exe", PE), "winmail.dat", {"types": ["program"]}, Action.REJECT),
        (LETTER, "a.eml", {"types": ["program"]}, Action.REJECT),
        (PE, "a.exe", {}, None),
    ],
)
def test_policy(content: bytes, name: str, wanted: dict[str, Any], action: Action | None) -> None:
    """By type, by extension, within archives, locked; refused or held as the domain has chosen."""
    assert ruled(letter(content, name), **wanted) is action


def test_no_policy_looks_at_nothing() -> None:
    """Where nothing is set the message is not even taken apart."""
    message = letter(PE, "a.exe")
    rule = AttachmentRule("attachment-policy", NoOptions())
    assert rule.judge(samples.facts(message), samples.policy()) is NO_OPINION
    assert not message._read
