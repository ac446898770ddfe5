"""A message as the numbers of its features: hashed 4-grams of octets, of the header block and of the decoded text (design 6).

Promises
- `extract` never raises, whatever the message is, and looks at a few kilobytes: about 0.1 ms beside the MIME reading other rules need as well.
- The same message gives the same features as it comes in at SMTP, as it is stored, and as a file with LF or CRLF: line ends and what a receiving
  side adds on top (SKIPPED, and our own Received) take no part. `digest` says in the same sense which message it is.
- Features are indexes below SIZE, sorted, each once. Those of the header lie in the lower half, those of the text in the upper, so that a seed
  can be of text alone. `pack` makes octets of them for the journal, `unpack` refuses octets that are no such thing (DamagedError).
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
from numpy.typing import NDArray

from jetmail.classifier.errors import DamagedError
from jetmail.mail.message import Message

Features = NDArray[np.uint32]

BITS = 20
SIZE = 1 << BITS
HALF = SIZE >> 1
VERSION = 1  # of the features: a model is of use only to the ones it has learnt

HEADER_OCTETS = 2_500
TEXT_OCTETS = 3_500
MAX_DIGESTED = 1024 * 1024  # octets of the body that say which message it is
MAX_FEATURES = HEADER_OCTETS + TEXT_OCTETS
_FIRST_LOOK = TEXT_OCTETS * 5 // 4  # characters that nearly always hold so many once white space is single
_FIELD_OCTETS = 600  # of one field: a long To or a signature must not push out the rest

# Written by whoever receives, not by whoever sends; and the opinions of other filters, which may be forged and are not there on other days.
SKIPPED = frozenset(
    {
        b"return-path", b"delivered-to", b"envelope-to", b"x-original-to", b"x-envelope-to", b"x-envelope-from", b"received-spf",
        b"authentication-results", b"arc-seal", b"arc-message-signature", b"arc-authentication-results", b"lines", b"status", b"x-status",
        b"x-uid", b"x-keywords", b"x-mozilla-status", b"x-mozilla-status2", b"x-virus-scanned", b"x-greylist", b"x-spam",
        b"x-rspamd-queue-id", b"x-rspamd-server", b"x-spamd-result", b"x-spamd-bar", b"x-bogosity", b"x-junk-score",
    }
)  # fmt: skip
_SKIPPED_PREFIX = (b"x-spam-", b"x-jetmail-")
_HEADER_SALT = np.uint32(0x5BD1E995)
_TEXT_SALT = np.uint32(0x27D4EB2F)
_MULTIPLIER = np.uint32(2654435761)  # Knuth's: the upper bits of the product are well mixed
_SHIFT = np.uint32(32 - BITS + 1)
_NO_GRAMS = np.zeros(0, np.uint32)


def extract(message: Message, hostname: str = "") -> Features:
    """The features of a message. `hostname` is ours: Received fields that name it after 'by' are our own doing."""
    header, text = _grams(header_octets(message, hostname)), _grams(text_octets(message))
    found = np.concatenate((*header, *text)).astype(np.uint32, copy=False)
    in_header = sum(map(len, header))
    found[:in_header] ^= _HEADER_SALT
    found[in_header:] ^= _TEXT_SALT
    found *= _MULTIPLIER
    found >>= _SHIFT
    found[in_header:] += np.uint32(HALF)
    if not len(found):
        return found
    found.sort()
    keep = np.empty(len(found), np.bool_)
    keep[0] = True
    np.not_equal(found[1:], found[:-1], out=keep[1:])
    return found[keep]


def text_only(features: Features) -> Features:
    """Those of the text and the subject."""
    return features[np.searchsorted(features, HALF) :]


def header_octets(message: Message, hostname: str = "") -> bytes:
    """What of the header block takes part."""
    pieces: list[bytes] = []
    left = HEADER_OCTETS
    for raw in _fields(message, hostname):
        piece = raw[:_FIELD_OCTETS].replace(b"\r", b"")[:left]
        pieces.append(piece)
        left -= len(piece)
        if left <= 0:
            break
    return b"".join(pieces)


def text_octets(message: Message) -> bytes:
    """What of subject and text takes part: decoded, tags cut out, white space as single blanks."""
    text = message.structure.text
    words = " ".join(text[:_FIRST_LOOK].split())
    if len(words) < TEXT_OCTETS and len(text) > _FIRST_LOOK:
        words = " ".join(text[: TEXT_OCTETS * 4].split())
    words = words[:TEXT_OCTETS]
    return f"{message.subject[:300]}\n{words}".encode("utf-8", "replace")[:TEXT_OCTETS]


def digest(message: Message, hostname: str = "") -> str:
    """Which message it is, 32 hexadecimal digits: the same however it came to us."""
    summed = hashlib.blake2b(digest_size=16)
    for raw in _fields(message, hostname):
        summed.update(raw.replace(b"\r", b"").rstrip(b"\n") + b"\n")
    summed.update(b"\n")
    body = message.whole()[message.head_size : message.head_size + MAX_DIGESTED]
    summed.update(body.replace(b"\r", b"").rstrip(b"\n"))
    return summed.hexdigest()


def pack(features: Features) -> bytes:
    """Octets for the journal, some 1.3 each."""
    gaps = np.diff(features, prepend=np.uint32(0)).astype("<u4")
    planes = gaps.view(np.uint8).reshape(-1, 4)[:, :3].T
    return zlib.compress(planes.tobytes(), 1)


def unpack(octets: bytes) -> Features:
    """What was packed. Raises DamagedError."""
    try:
        inflater = zlib.decompressobj()
        planes = inflater.decompress(octets, 3 * MAX_FEATURES + 3)
    except zlib.error as error:
        raise DamagedError(f"features do not unpack: {error}") from None
    if not inflater.eof or len(planes) % 3:
        raise DamagedError("features are cut short or too many")
    gaps = np.zeros((len(planes) // 3, 4), np.uint8)
    gaps[:, :3] = np.frombuffer(planes, np.uint8).reshape(3, -1).T
    numbers = np.cumsum(gaps.view("<u4").ravel(), dtype=np.uint64)
    if len(numbers) and (numbers[-1] >= SIZE or np.any(np.diff(numbers) == 0)):
        raise DamagedError("features are beyond the table or not in order")
    return numbers.astype(np.uint32)


def _grams(octets: bytes) -> list[NDArray[np.uint32]]:
    """Every four octets in a row as one number: those that begin at the octets 0, 4, 8 ..., at 1, 5, 9 ..., and so on, read as they lie."""
    return [np.frombuffer(octets, "<u4", (len(octets) - start) >> 2, start) for start in range(min(4, len(octets) - 3))] or [_NO_GRAMS]


def _fields(message: Message, hostname: str) -> list[bytes]:
    ours = hostname.lower().encode("ascii", "replace")
    kept: list[bytes] = []
    for name, raw in message.fields:
        if name in SKIPPED or name.startswith(_SKIPPED_PREFIX):
            continue
        if ours and name == b"received" and _is_ours(raw, ours):
            continue
        kept.append(raw)
    return kept


def _is_ours(raw: bytes, ours: bytes) -> bool:
    _, found, after = raw[:2_000].lower().partition(b"by " + ours)
    return bool(found) and after[:1] in (b"", b" ", b"\t", b"\r", b"\n", b";")
