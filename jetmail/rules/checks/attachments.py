"""What the message carries: by what the files are, not by what they are called, and by what is in them (rules.analysis.files)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail import filetype
from jetmail.mail.message import Message
from jetmail.rules.analysis import letters
from jetmail.rules.analysis.content import read_content
from jetmail.rules.analysis.files import File, read_files
from jetmail.rules.analysis.rule import ContentOptions, ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

_SAFE_LOOKING = frozenset({"document", "picture", "sound", "video", "text", "page", "mail"})
_RUNS = frozenset({"program", "script", "shortcut"})
_PADDED = re.compile(r"\S\s{6,}\.?\w{1,5}$|[._-]{8,}")
_RARE = frozenset({"ace", "arj", "lha", "cab", "compress", "lzip", "zstd", "xz", "bzip2"})
_OF_FLAW = (
    ("locked", "ARCHIVE_LOCKED"),
    ("depth", "ARCHIVE_DEEP"),
    ("bomb", "ARCHIVE_BOMB"),
    ("members", "ARCHIVE_MANY"),
    ("broken", "ARCHIVE_BROKEN"),
)
_MIME_FAMILIES = {"image": "picture", "audio": "sound", "video": "video"}


@dataclass(frozen=True, slots=True)
class AttachmentOptions(ContentOptions):
    """`most`: a file that runs is reason enough by itself."""

    most: float = 8.0


@implementer(IRule)
class Attachments(ContentRule):
    """Findings about attached files and what is packed in them."""

    SYMBOLS = symbols(
        "Files",
        ("ATTACHMENT_PROGRAM", 7.0, "A program is attached."),
        ("ATTACHMENT_SCRIPT", 5.0, "A script is attached that runs when it is opened."),
        ("ATTACHMENT_SHORTCUT", 5.0, "A shortcut is attached that starts something when it is opened."),
        ("ATTACHMENT_DISK_IMAGE", 3.5, "A disk image is attached."),
        ("ATTACHMENT_RARE_ARCHIVE", 2.0, "An archive of a kind rarely used is attached."),
        ("ATTACHMENT_DISGUISED", 2.5, "An attached file is something else than its name says."),
        ("ATTACHMENT_DOUBLE_EXTENSION", 3.0, "An attached file hides its real extension behind another."),
        ("ATTACHMENT_NAME_REVERSED", 5.0, "The name of an attached file is written backwards to hide its extension."),
        ("ATTACHMENT_NAME_PADDED", 2.0, "The name of an attached file is padded to hide its extension."),
        ("ATTACHMENT_MACRO", 2.5, "An attached document holds a program."),
        ("ATTACHMENT_OBJECT", 2.5, "An attached document holds an object that starts something."),
        ("ATTACHMENT_REMOTE", 3.5, "An attached document fetches a template or object from elsewhere when it is opened."),
        ("ATTACHMENT_LOCKED", 1.2, "An attached document needs a password, so that nobody can look into it."),
        ("ATTACHMENT_PAGE", 1.2, "A web page is attached."),
        ("ATTACHMENT_PAGE_TRAP", 4.0, "An attached web page asks for a password, leads elsewhere or hides its code."),
        ("ATTACHMENT_DRAWING_CODE", 4.0, "An attached drawing holds a program."),
        ("ATTACHMENT_NOTEBOOK", 3.0, "A notebook is attached, in which files can be hidden."),
        ("PDF_SCRIPT", 2.0, "An attached PDF holds a program."),
        ("PDF_LAUNCH", 4.5, "An attached PDF starts something when it is opened."),
        ("PDF_EMBEDDED", 1.0, "An attached PDF holds other files."),
        ("ARCHIVE_PROGRAM", 6.0, "There is a program in an attached archive."),
        ("ARCHIVE_SCRIPT", 5.0, "There is a script or a shortcut in an attached archive."),
        ("ARCHIVE_MACRO", 3.0, "A document in an attached archive holds a program."),
        ("ARCHIVE_DISK_IMAGE", 3.5, "There is a disk image in an attached archive."),
        ("ARCHIVE_MANY", 0.5, "An attached archive holds more files than are looked at."),
        ("ARCHIVE_DOUBLE_EXTENSION", 3.0, "A file in an attached archive hides its real extension behind another."),
        ("ARCHIVE_PAGE", 2.0, "There is a web page in an attached archive."),
        ("ARCHIVE_LOCKED", 1.8, "An attached archive needs a password, so that nobody can look into it."),
        ("ARCHIVE_NESTED", 1.0, "There are archives in an attached archive."),
        ("ARCHIVE_DEEP", 3.0, "Archives in archives, deeper than anybody packs them."),
        ("ARCHIVE_BOMB", 5.0, "An attached archive would grow without measure."),
        ("ARCHIVE_BROKEN", 0.6, "An attached archive is broken."),
        ("ATTACHMENT_ONLY", 0.6, "There is hardly anything but an attached file."),
    )  # fmt: skip
    Options = AttachmentOptions

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        files = message.once(read_files)
        if not files:
            return
        for file in files:
            self._name(notes, file)
            self._kind(notes, file)
            self._document(notes, file)
            self._archive(notes, file)
        content = message.once(read_content)
        if content.letters < 60 and any(file.kind.family in ("document", "archive", "page") for file in files):
            notes.add("ATTACHMENT_ONLY")

    def _name(self, notes: Notes, file: File) -> None:
        name = file.name
        if letters.OVERRIDES.search(name):
            notes.add("ATTACHMENT_NAME_REVERSED", repr(name)[:100])
        if _PADDED.search(name):
            notes.add("ATTACHMENT_NAME_PADDED", name[:100])
        if has_double_extension(name):
            notes.add("ATTACHMENT_DOUBLE_EXTENSION", name[:100])

    def _kind(self, notes: Notes, file: File) -> None:
        kind, named = file.kind, filetype.family_of(file.part.extension)
        says_nothing = kind.family in ("unknown", "text") or (kind.family == "page" and named == "script")  # .hta: a page that runs
        family = named or kind.family if says_nothing else kind.family
        detail = f"{file.name[:80]} ({kind.name})"
        if family == "program" or named == "program":
            notes.add("ATTACHMENT_PROGRAM", detail)
        elif family == "script" and (named == "script" or kind.family == "script"):
            runs = _runs_by_name(file.part.extension) or (not named and kind.name != "shell")
            notes.add("ATTACHMENT_SCRIPT", detail, 1.0 if runs else 0.2)
        elif family == "shortcut" or named == "shortcut":
            notes.add("ATTACHMENT_SHORTCUT", detail, 0.5 if file.part.extension == "url" and kind.name in ("url", "text") else 1.0)
        elif family == "disk-image" or named == "disk-image":
            notes.add("ATTACHMENT_DISK_IMAGE", detail)
        elif kind.name in _RARE and not (kind.name in ("xz", "bzip2", "zstd") and ".tar" in file.name):
            notes.add("ATTACHMENT_RARE_ARCHIVE", detail)
        elif kind.name == "onenote" or file.part.extension in ("one", "onepkg"):
            notes.add("ATTACHMENT_NOTEBOOK", detail)
        said = named or _MIME_FAMILIES.get(file.part.content_type.partition("/")[0], "")
        if said in _SAFE_LOOKING and kind.family in ("program", "script", "shortcut", "archive", "disk-image", "page") and said != kind.family:
            if not (kind.family == "page" and said in ("text", "mail", "document", "picture")) or said == "picture" and kind.name != "svg":
                notes.add("ATTACHMENT_DISGUISED", detail, 1.0 if kind.family != "page" else 0.6)

    def _document(self, notes: Notes, file: File) -> None:
        traits, name = file.traits, file.name[:100]
        if file.kind.family == "document" and file.kind.name != "pdf":
            if "macro" in traits or file.part.extension in filetype.MACRO_EXTENSIONS:
                notes.add("ATTACHMENT_MACRO", name)
            if "object" in traits:
                notes.add("ATTACHMENT_OBJECT", name)
            if "remote" in traits:
                notes.add("ATTACHMENT_REMOTE", name)
        if file.kind.family == "document" and "locked" in traits:
            notes.add("ATTACHMENT_LOCKED", name, 0.5 if file.kind.name == "pdf" else 1.0)
        if file.kind.name == "pdf":
            if "launch" in traits:
                notes.add("PDF_LAUNCH", name)
            if "script" in traits:
                notes.add("PDF_SCRIPT", name)
            if "embedded" in traits:
                notes.add("PDF_EMBEDDED", name)
        if file.kind.name == "svg":
            if "script" in traits:
                notes.add("ATTACHMENT_DRAWING_CODE", name)
        elif file.kind.family == "page" or filetype.family_of(file.part.extension) == "page":
            if file.part.disposition != "attachment" and file.part.content_type == "text/html" and not file.name:
                return
            notes.add("ATTACHMENT_PAGE", name)
            if traits & {"password", "disguised-code", "moves"} or {"form", "script"} <= traits:
                notes.add("ATTACHMENT_PAGE_TRAP", f"{name}: {', '.join(sorted(traits))}")

    def _archive(self, notes: Notes, file: File) -> None:
        if file.kind.family != "archive" and file.kind.name != "tnef":
            return
        traits, name = file.traits, file.name[:100]
        for flaw, word in _OF_FLAW:
            if flaw in traits:
                notes.add(word, name)
        for member in file.listing.members:
            named = filetype.family_of(member.extension)
            detail = f"{name}: {member.name[:80]}"
            if member.kind.family == "program" or named == "program":
                notes.add("ARCHIVE_PROGRAM", detail)
            elif member.kind.family == "shortcut" or named == "shortcut" or (named == "script" and _runs_by_name(member.extension)):
                notes.add("ARCHIVE_SCRIPT", detail)
            elif "disk-image" in (member.kind.family, named):
                notes.add("ARCHIVE_DISK_IMAGE", detail)
            elif "macro" in member.traits or member.extension in filetype.MACRO_EXTENSIONS:
                notes.add("ARCHIVE_MACRO", detail)
            elif named == "page" and len(file.listing.members) <= 3:
                notes.add("ARCHIVE_PAGE", detail)
            if has_double_extension(member.name):
                notes.add("ARCHIVE_DOUBLE_EXTENSION", detail)
            if member.kind.family == "archive":
                notes.add("ARCHIVE_NESTED", detail)


def has_double_extension(name: str) -> bool:
    """invoice.pdf.exe: what runs, after an extension that does not."""
    parts = name.rpartition("/")[2].rstrip(". ").lower().rsplit(".", 2)
    if len(parts) < 3:
        return False
    last, before = filetype.family_of(parts[2].strip()), filetype.family_of(parts[1].strip())
    return (
        (last in _RUNS or last in ("disk-image", "page"))
        and before in ("document", "picture", "sound", "video", "text")
        and _runs_or_page(parts[2].strip())
    )


def _runs_or_page(extension: str) -> bool:
    return filetype.family_of(extension) != "script" or _runs_by_name(extension)


def _runs_by_name(extension: str) -> bool:
    """Scripts that start at a click where most people read their mail; the rest (py, sh, rb) are what programmers send one another."""
    return filetype.family_of(extension) == "script" and extension not in _SOURCES


_SOURCES = frozenset("py sh bash csh pl rb php job ksh pyc pyw vb bas reg inf scpt applescript theme cs ws ade adp mde mdb".split())
