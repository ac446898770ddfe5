"""What a document would do when it is opened: programs in it, objects that start something, what it fetches, whether it is locked. By marks in
its octets, so that a document in an archive is judged as one that is attached.

Pure functions; never raise; linear in what they are given. What they answer are words of 'macro', 'object', 'locked', 'script', 'launch',
'embedded', 'opens', 'form'.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Set
from itertools import islice

from jetmail.mail import filetype
from jetmail.mail.filetype import Kind

SAMPLE = 4 << 20  # octets of a document that are looked at
MAX_MARKS = 10_000
MAX_STREAMS = 200  # object streams of a PDF that are unpacked
MAX_STREAM = 128 * 1024  # octets of one of them
MAX_STREAMS_IN_ALL = 1 << 20
_PDF_NAME = re.compile(rb"#([0-9a-fA-F]{2})")
_PDF_MARKS = {
    b"JavaScript": "script",
    b"JS": "script",
    b"Launch": "launch",
    b"Encrypt": "locked",
    b"EmbeddedFile": "embedded",
    b"RichMedia": "embedded",
    b"OpenAction": "opens",
    b"AA": "opens",
    b"SubmitForm": "form",
}
_PDF_MARK = re.compile(rb"/(%s)(?![^\s/<>\[\]()])" % b"|".join(_PDF_MARKS))
_PDF_STREAM = re.compile(rb"/ObjStm\b[^>]{0,400}+>>\s{0,4}+stream\r?\n")


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le")


_OLE_MARKS = (
    (_wide("_VBA_PROJECT"), "macro"),
    (_wide("VBA"), "macro"),
    (_wide("Macros"), "macro"),
    (b"Attribut\0e VB_", "macro"),
    (_wide("EncryptedPackage"), "locked"),
    (_wide("Equation Native"), "object"),
    (_wide("Ole10Native"), "object"),
)
# A sheet of a workbook whose cells are a program: macros of Excel 4, which need no VBA. BIFF 8, BoundSheet8: size, where it is, visible or not,
# kind 1, length and form of its name.
_MACRO_SHEET = re.compile(rb"\x85\0[\x08-\x48]\0.{4}[\0-\x02]\x01[\x01-\x1f][\0\x01]", re.DOTALL)
_OLE_PROGRAM = (_wide("\u4840"), b"Installation Database", b"Windows Installer")


def of_names(kind: Kind, names: Set[str]) -> tuple[Kind, set[str]]:
    """A zip by the names of what lies directly in it -> (what it is, traits): a document or a program, or `kind` where it is an archive after all."""
    if "[Content_Types].xml" in names:
        traits = set()
        lowered = [name.lower() for name in names]
        if any(name.endswith("vbaproject.bin") for name in lowered) or any("/macrosheets/" in name for name in lowered):
            traits.add("macro")
        if any("/embeddings/" in name and name.endswith((".bin", ".exe")) for name in lowered) or any("/activex/" in name for name in lowered):
            traits.add("object")
        return filetype.OOXML, traits
    if "AndroidManifest.xml" in names:
        return filetype.APK, set()
    if "META-INF/MANIFEST.MF" in names and any(name.endswith(".class") for name in names):
        return filetype.JAR, set()
    if "mimetype" in names and "content.xml" in names:
        return filetype.ODF, {"macro"} if any(name.startswith(("Basic/", "Scripts/")) for name in names) else set()
    return kind, set()


def of_ole(octets: bytes) -> tuple[Kind, set[str]]:
    """A compound file of Microsoft's -> (what it is, traits)."""
    data = octets[:SAMPLE]
    traits = {trait for mark, trait in _OLE_MARKS if mark in data}
    if _wide("Workbook") in data and _MACRO_SHEET.search(data):
        traits.add("macro")
    is_program = any(mark in data for mark in _OLE_PROGRAM) and "macro" not in traits
    return Kind("msi", "program") if is_program else filetype.OLE, traits


def of_pdf(octets: bytes) -> set[str]:
    """The traits of a PDF, those of objects packed into object streams (ISO 32000 7.5.7) among them."""
    data = octets[:SAMPLE]
    traits = _marks(data)
    left = MAX_STREAMS_IN_ALL
    for found in islice(_PDF_STREAM.finditer(data), MAX_STREAMS) if b"/ObjStm" in data else ():
        if left <= 0:
            break
        try:
            packed = zlib.decompressobj().decompress(data[found.end() : found.end() + MAX_STREAM], min(left, MAX_STREAM))
        except zlib.error:  # encrypted, or of another filter
            continue
        left -= len(packed)
        traits |= _marks(packed)
    return traits


def _marks(data: bytes) -> set[str]:
    if b"#" in data:
        data = _PDF_NAME.sub(lambda found: bytes((int(found[1], 16),)), data)
    return {_PDF_MARKS[found[1]] for found in islice(_PDF_MARK.finditer(data), MAX_MARKS)}
