"""What a file is, by what stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import filetype


@pytest.mark.parametrize(
    ("octets", "name", "family"),
    [
        (b"MZ" + b"\0" * 60, "dos", "program"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", "mach-o", "program"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "class", "program"),
        (b"PK\x03\x04rest", "zip", "archive"),
        (b"\x1f\x8b\x08", "gzip", "archive"),
        (b"\0" * 257 + b"ustar\0", "tar", "archive"),
        (b"%PDF-1.4", "pdf", "document"),
        (b"\r\n \xef\xbb\xbf%PDF-1.4", "pdf", "document"),
        (b"{\\rtf1", "rtf", "document"),
        (b"  <!DOCTYPE html><p>", "html", "page"),
        (b"\xff\xfe" + "<html>".encode("utf-16-le"), "html", "page"),
        (b"<?xml version='1.0'?><svg>", "svg", "page"),
        (b"<?xml version='1.0'?><kml>", "xml", "text"),
        (b"#!/bin/sh\n", "shell", "script"),
        (b"Set x = CreateObject(\"WScript.Shell\")", "script", "script"),
        (b"GIF89a", "gif", "picture"),
        (b"From: a\r\nTo: b\r\nSubject: c\r\n\r\n", "mail", "mail"),
        (b"plain words", "text", "text"),
        (b"\0\1\2\3", "unknown", "unknown"),
        (b"", "unknown", "unknown"),
    ],
)  # fmt: skip
def test_kinds(octets: bytes, name: str, family: str) -> None:
    """The mark decides, not the name."""
    assert filetype.kind_of(octets) == (name, family)


def test_every_signature_is_reached() -> None:
    """No mark of the table is hidden by one before it."""
    for offset, mark, kind in filetype._SIGNATURES:
        found = filetype.kind_of(b"\xc8" * offset + mark + b"\0" * 40)
        assert found.family == kind.family, kind


def test_families_of_names() -> None:
    """What opens by a click is known by its extension."""
    assert [filetype.family_of(each) for each in ("exe", "js", "lnk", "iso", "zip", "docx", "html", "png", "xyz", "")] == [
        "program", "script", "shortcut", "disk-image", "archive", "document", "page", "picture", "", "",
    ]  # fmt: skip


@given(st.binary(max_size=500))
def test_total(octets: bytes) -> None:
    """Any octets are of some family."""
    assert filetype.kind_of(octets).family in filetype.FAMILIES
