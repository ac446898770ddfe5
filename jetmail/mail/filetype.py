"""What a file is, by what stands in it and not by its name. Values and one pure function; linear, never raises.

A kind has a name and a family; rules and attachment policies speak of families: program, script, shortcut, disk-image, archive, document,
page (HTML, SVG), picture, sound, video, font, mail, text, unknown.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD = 4_096  # octets that are looked at, but for the few kinds whose mark stands further in


class Kind(NamedTuple):
    """`name` such as 'zip' or 'pe'; `family` as above."""

    name: str
    family: str


UNKNOWN = Kind("unknown", "unknown")
TEXT = Kind("text", "text")
PE, DOS, ELF, MACH_O = Kind("pe", "program"), Kind("dos", "program"), Kind("elf", "program"), Kind("mach-o", "program")
ZIP, RAR, RAR5, SEVEN_ZIP, CAB, GZIP, TAR = (Kind(name, "archive") for name in ("zip", "rar", "rar5", "7z", "cab", "gzip", "tar"))
OLE, OOXML, ODF, RTF, PDF = (
    Kind("ole2", "document"),
    Kind("ooxml", "document"),
    Kind("odf", "document"),
    Kind("rtf", "document"),
    Kind("pdf", "document"),
)
HTML, SVG, XML = Kind("html", "page"), Kind("svg", "page"), Kind("xml", "text")
JAR, APK = Kind("jar", "program"), Kind("apk", "program")

# Where the mark stands, the mark, what it means. The first that fits stands.
_SIGNATURES: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x7fELF", ELF),
    (0, b"\xfe\xed\xfa\xce", MACH_O),
    (0, b"\xfe\xed\xfa\xcf", MACH_O),
    (0, b"\xce\xfa\xed\xfe", MACH_O),
    (0, b"\xcf\xfa\xed\xfe", MACH_O),
    (0, b"dex\n03", Kind("dex", "program")),
    (0, b"\0asm\x01\0\0\0", Kind("wasm", "program")),
    (0, b"!<arch>\n", Kind("deb", "program")),
    (0, b"\xed\xab\xee\xdb", Kind("rpm", "program")),
    (0, b"xar!", Kind("xar", "program")),
    (0, b"\x78\x9f\x3e\x22", Kind("tnef", "mail")),
    (0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0", Kind("lnk", "shortcut")),
    (0, b"[InternetShortcut]", Kind("url", "shortcut")),
    (0, b"[Desktop Entry]", Kind("desktop", "shortcut")),
    (0, b"[Shell]", Kind("scf", "shortcut")),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK\x07\x08", ZIP),
    (0, b"Rar!\x1a\x07\x01\0", RAR5),
    (0, b"Rar!\x1a\x07\0", RAR),
    (0, b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (0, b"MSCF\0\0\0\0", CAB),
    (0, b"\x1f\x8b", GZIP),
    (0, b"BZh", Kind("bzip2", "archive")),
    (0, b"\xfd7zXZ\0", Kind("xz", "archive")),
    (0, b"(\xb5/\xfd", Kind("zstd", "archive")),
    (0, b"\x1f\x9d", Kind("compress", "archive")),
    (0, b"LZIP", Kind("lzip", "archive")),
    (7, b"**ACE**", Kind("ace", "archive")),
    (0, b"\x60\xea", Kind("arj", "archive")),
    (2, b"-lh", Kind("lha", "archive")),
    (257, b"ustar", TAR),
    (0, b"ITSF\x03", Kind("chm", "program")),
    (32_769, b"CD001", Kind("iso", "disk-image")),
    (0, b"vhdxfile", Kind("vhdx", "disk-image")),
    (0, b"conectix", Kind("vhd", "disk-image")),
    (0, b"KDMV", Kind("vmdk", "disk-image")),
    (0, b"MSWIM\0\0\0", Kind("wim", "disk-image")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (0, b"{\\rt", RTF),
    (0, b"%PDF-", PDF),
    (0, b"%!PS", Kind("postscript", "document")),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", Kind("onenote", "document")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("png", "picture")),
    (0, b"\xff\xd8\xff", Kind("jpeg", "picture")),
    (0, b"GIF8", Kind("gif", "picture")),
    (0, b"BM", Kind("bmp", "picture")),
    (0, b"II*\0", Kind("tiff", "picture")),
    (0, b"MM\0*", Kind("tiff", "picture")),
    (0, b"\0\0\x01\0", Kind("ico", "picture")),
    (8, b"WEBP", Kind("webp", "picture")),
    (4, b"ftyphei", Kind("heic", "picture")),
    (4, b"ftypavif", Kind("avif", "picture")),
    (4, b"ftyp", Kind("mp4", "video")),
    (0, b"\x1aE\xdf\xa3", Kind("matroska", "video")),
    (8, b"AVI ", Kind("avi", "video")),
    (8, b"WAVE", Kind("wav", "sound")),
    (0, b"ID3", Kind("mp3", "sound")),
    (0, b"\xff\xfb", Kind("mp3", "sound")),
    (0, b"OggS", Kind("ogg", "sound")),
    (0, b"fLaC", Kind("flac", "sound")),
    (0, b"wOFF", Kind("woff", "font")),
    (0, b"wOF2", Kind("woff2", "font")),
    (0, b"OTTO", Kind("otf", "font")),
    (0, b"<job id=", Kind("wsf", "script")),
    (0, b"#@~^", Kind("encoded script", "script")),
    (0, b"BEGIN:VCALENDAR", Kind("calendar", "text")),
    (0, b"BEGIN:VCARD", Kind("card", "text")),
)
_SHEBANG = re.compile(rb"#!\s*/")
_BATCH = re.compile(rb"\s*@?echo off\b", re.IGNORECASE)
_PAGE = re.compile(rb"<(?:!doctype html|html|head|body|script|meta|iframe|form|table|title|div)\b", re.IGNORECASE)
_XHTML = re.compile(rb"<html\b", re.IGNORECASE)
_SVG = re.compile(rb"<svg\b", re.IGNORECASE)
_SCRIPT = re.compile(
    rb"\b(?:WScript\.(?:Shell|CreateObject|Echo|Sleep)|ActiveXObject|CreateObject\s*\(|Scripting\.FileSystemObject|powershell(?:\.exe)?\s+-|Invoke-Expression|IEX\s*\(|"
    rb"New-Object\s+System\.|Start-Process|<hta:application|String\.fromCharCode\(\d+,)",
    re.IGNORECASE,
)
_MAIL = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]{1,40}: [^\r\n]{0,998}\r?\n(?:[ \t][^\r\n]{0,998}\r?\n)*){3}")

_PROGRAM_EXTENSIONS = """
    exe com scr pif cpl msi msp msc dll sys ocx drv jar apk app deb rpm pkg dmg gadget application appx appxbundle msix xll ax efi
    mst air chm hlp
"""
_SCRIPT_EXTENSIONS = """
    js jse vbs vbe wsf wsh wsc sct ws hta bat cmd ps1 ps1xml ps2 psm1 psd1 sh bash csh py pyc pyw rb pl php reg inf job vb bas cs ade adp
    mde mdb ksh command applescript scpt workflow iqy slk theme diagcab library-ms search-ms settingcontent-ms appref-ms
"""
_FAMILY_OF = {
    "program": _PROGRAM_EXTENSIONS,
    "script": _SCRIPT_EXTENSIONS,
    "shortcut": "lnk url scf desktop webloc website pif",
    "disk-image": "iso img vhd vhdx vmdk wim udf daa nrg mdf toast",
    "archive": "zip zipx rar r00 r01 7z gz tgz bz2 xz tar cab ace arj lzh lha z zst lz uue xxe b64 arc alz egg jar001",
    "document": "doc docx docm dot dotx dotm xls xlsx xlsm xlsb xlt xltx xltm xlam xla ppt pptx pptm pps ppsx "
    "ppsm pot potm ppam sldm rtf pdf odt ods odp one onepkg pub vsd vsdx eps ps wps mht mhtml",
    "page": "html htm shtml xhtml svg xht htmlx",
    "picture": "png jpg jpeg gif bmp tif tiff ico webp heic avif",
    "sound": "mp3 wav ogg flac m4a aac wma",
    "video": "mp4 avi mov mkv wmv webm m4v mpg mpeg",
    "font": "ttf otf woff woff2",
    "mail": "eml msg",
    "text": "txt csv md log ics vcf xml json yaml yml ini asc sig p7s p7m patch diff c h cpp tex",
}
_BY_EXTENSION = {extension: family for family, extensions in reversed(_FAMILY_OF.items()) for extension in extensions.split()}
FAMILIES = (*_FAMILY_OF, "unknown")
MACRO_EXTENSIONS = frozenset("docm dotm xlsm xltm xlam xlsb pptm potm ppam ppsm sldm xla xlm".split())


def family_of(extension: str) -> str:
    """The family files of that extension (lower case, no dot) belong to when opened, '' when nobody says."""
    return _BY_EXTENSION.get(extension, "")


def kind_of(octets: bytes) -> Kind:
    """What a file is, by its first octets (a disk image needs 33 KB of them)."""
    head = octets[:HEAD]
    if not head:
        return UNKNOWN
    if head[:2] == b"MZ":
        return PE if _is_pe(head) else DOS
    if head[:4] == b"\xca\xfe\xba\xbe":
        return MACH_O if int.from_bytes(head[4:8], "big") < 40 else Kind("class", "program")
    for offset, mark, kind in _SIGNATURES:
        if octets.startswith(mark, offset):
            return kind
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\0")[:1_024]
    if start.startswith(b"%PDF-") or b"%PDF-" in head[:1_024]:
        return PDF
    if _SHEBANG.match(start):
        return Kind("shell", "script")
    if _BATCH.match(start):
        return Kind("script", "script")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.replace(b"\0", b"")
        start = head[2:1_026]
    if b"\0" in head:
        return UNKNOWN
    if _SCRIPT.search(head) and not _PAGE.search(start):
        return Kind("script", "script")
    if start[:5].lower() == b"<?xml":
        return SVG if _SVG.search(head) else HTML if _XHTML.search(start) else XML
    if _SVG.match(start):
        return SVG
    if start[:1] == b"<" and _PAGE.search(start):
        return HTML
    if _MAIL.match(start):
        return Kind("mail", "mail")
    return TEXT


def _is_pe(head: bytes) -> bool:
    offset = int.from_bytes(head[60:64], "little")
    return head.startswith(b"PE\0\0", offset) or offset + 4 > HEAD
