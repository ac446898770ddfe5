"""How an input is made from those that are known: damage as the network does it, and damage that knows what mail looks like.

Pure but for the `Random` it is given. An input of several parts (a message and the DNS records it meets) has SEPARATOR between them, and the
mutations treat it as they treat any other token. No input is longer than MAX_INPUT.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from random import Random

SEPARATOR = b"\x1e\n"
MAX_INPUT = 1 << 20
LONG_ONE_IN = 150  # inputs that are grown past a few kilobytes: they cost most of the time and find what is not linear

COMMON = (
    b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\t", b" ", b"\"", b"\\", b"(", b")", b"<", b">", b"@", b",", b";", b":", b"=", b"%", b".", b"--", b"=?",
    b"?=", b"=?utf-8?b?", b"=?utf-8?q?=00?=", b"\r\n\r\n", b"\r\n ", b"\r\n.\r\n", b"\xc3\xa9", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"xn--", b"*0*=utf-8''", SEPARATOR,
)  # fmt: skip
NUMBERS = (
    b"0", b"-1", b"00", b"1", b"255", b"256", b"65535", b"65536", b"2147483648", b"4294967296", b"18446744073709551616", b"9" * 40, b"9" * 5000,
    b"1e9", b"0x7f", "\u0663".encode(), "\u00b2".encode(),
)  # fmt: skip
_NUMBER = re.compile(rb"[0-9]+")
_WORD = re.compile(rb"[A-Za-z0-9_.@-]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{16,}={0,2}")
_FIELD = re.compile(rb"^[A-Za-z-]{2,40}:[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
_BOUNDARY = re.compile(rb"boundary=\"?([^\"\r\n;]{1,70})", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")

Mutation = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]


def mutated(random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes], start: bytes | None = None) -> bytes:
    """A new input from one of the corpus, by one to eight mutations."""
    octets = random.choice(corpus) if start is None else start
    for _ in range(1 << random.randrange(4)):
        octets = random.choice(_MUTATIONS)(random, octets, corpus, tokens)[:MAX_INPUT]
    if random.randrange(LONG_ONE_IN) == 0:
        octets = _grown(random, octets, tokens)
    return octets[:MAX_INPUT]


def _place(random: Random, octets: bytes) -> int:
    """Anywhere, but mostly where something begins or ends."""
    if octets and random.randrange(3):
        start = random.randrange(len(octets))
        if found := re.compile(rb"[\s\"<>@;:=,()]").search(octets, start):
            return found.start() + random.randrange(2)
    return random.randint(0, len(octets))


def _span(random: Random, octets: bytes) -> tuple[int, int]:
    start = _place(random, octets)
    return start, min(len(octets), start + 1 + int(random.expovariate(1 / 12)))


def _flip(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    if not octets:
        return bytes((random.randrange(256),))
    changed = bytearray(octets)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(changed))
        changed[place] = changed[place] ^ (1 << random.randrange(8)) if random.randrange(2) else random.randrange(256)
    return bytes(changed)


def _token(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    place = _place(random, octets)
    end = place if random.randrange(2) else _span(random, octets)[1]
    return octets[:place] + random.choice(random.choice((tokens or COMMON, COMMON))) + octets[max(place, end) :]


def _delete(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _span(random, octets)
    return octets[:start] + octets[end:] if random.randrange(8) else octets[:start]


def _copy(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _span(random, octets)
    place = _place(random, octets)
    return octets[:place] + octets[start:end] * random.choice((1, 1, 2, 3, 16)) + octets[place:]


def _splice(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    other = random.choice(corpus)
    if random.randrange(2):
        return octets[: _place(random, octets)] + other[_place(random, other) :]
    start = _place(random, other)
    place = _place(random, octets)
    return octets[:place] + other[start : start + random.randint(1, 400)] + octets[place:]


def _number(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(octets[:20_000]))
    if not found:
        return _token(random, octets, corpus, tokens)
    one = random.choice(found)
    number = random.choice(NUMBERS) if random.randrange(2) else b"%d" % max(0, int(one[0][:20]) + random.choice((-1, 1, 2, 255)))
    return octets[: one.start()] + number + octets[one.end() :]


def _case(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _span(random, octets)
    return octets[:start] + octets[start:end].swapcase() + octets[end:]


def _word(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """One word where another stood, or the same again everywhere."""
    found = _WORD.findall(octets[:20_000])
    if not found:
        return _flip(random, octets, corpus, tokens)
    one = random.choice(found)
    other = random.choice((random.choice(found), random.choice(tokens or COMMON)))
    return octets.replace(one, other, random.choice((1, -1))) if len(other) < 200 else octets.replace(one, other, 1)


def _field(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A header field twice, gone, moved, from elsewhere, or folded anew."""
    found = list(_FIELD.finditer(octets[:50_000]))
    if not found:
        return _token(random, octets, corpus, tokens)
    one, other = random.choice(found), random.choice(found)
    foreign = _FIELD.findall(random.choice(corpus)[:50_000])
    match random.randrange(6):
        case 0:
            return octets[: other.start()] + one[0] * random.choice((1, 1, 1, 2, 60)) + octets[other.start() :]
        case 1:
            return octets[: one.start()] + octets[one.end() :]
        case 2 if foreign:
            return octets[: one.start()] + random.choice(foreign) + octets[one.start() :]
        case 3:
            name = one[0].partition(b":")[0]
            return octets[: other.start()] + name + b":" + other[0].partition(b":")[2] + octets[other.end() :]
        case 4:
            return (
                octets[: one.start()] + one[0].replace(b" ", random.choice((b"\r\n ", b"\n\t", b"  ", b"\r\n\r\n", b"\r\n")), 3) + octets[one.end() :]
            )
    return octets[: one.start()] + one[0].replace(b"\r\n", random.choice((b"\n", b"\r", b"\r\r\n", b""))) + octets[one.end() :]


def _boundary(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Parts that end, begin or are named where they should not."""
    names = _BOUNDARY.findall(octets[:100_000])
    if not names:
        return _token(random, octets, corpus, tokens)
    name = random.choice(names)
    place = _place(random, octets)
    match random.randrange(5):
        case 0:
            return octets[:place] + b"\r\n--" + name + random.choice((b"\r\n", b"--\r\n", b"-", b" \t\r\n", b"x\r\n", b"")) + octets[place:]
        case 1:
            return octets.replace(b"--" + name, b"--" + random.choice(names) + random.choice((b"", b"-", b"x")), random.choice((1, 2, -1)))
        case 2:
            return octets.replace(name, random.choice((b"", b"-", b"a", name * 2, name[:1], b"--")), random.choice((1, -1)))
        case 3:
            inner = b'\r\n--%s\r\nContent-Type: multipart/mixed; boundary="%s"\r\n\r\n' % (
                name,
                random.choice((name, name + b"x", name[:-1] or b"y")),
            )
            return octets[:place] + inner + octets[place:]
    return octets.replace(b"--" + name + b"--", b"", 1)


def _encoding(random: Random, octets: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Damage inside base64, where the damage of octets would only make it unreadable; or text that becomes base64."""
    found = list(_BASE64.finditer(octets[:200_000]))
    if not found:
        start, end = _span(random, octets)
        return octets[:start] + base64.b64encode(octets[start:end]) + octets[end:]
    one = random.choice(found)
    try:
        inner = base64.b64decode(one[0] + b"==")
    except (binascii.Error, ValueError):
        return _flip(random, octets, corpus, tokens)
    inner = random.choice((_flip, _token, _delete, _copy))(random, inner, corpus, tokens)
    return octets[: one.start()] + base64.encodebytes(inner).replace(b"\n", b"\r\n") + octets[one.end() :]


def _grown(random: Random, octets: bytes, tokens: Sequence[bytes]) -> bytes:
    """A piece of it, or a token, thousands of times: what is not linear shows."""
    size = random.choice((10_000, 60_000, 100_000, 100_000, 300_000, MAX_INPUT))
    start, end = _span(random, octets)
    piece = random.choice(
        (octets[start:end], random.choice(tokens or COMMON), random.choice(COMMON), octets[start:end] + random.choice(COMMON), octets)
    )
    if not piece:
        return octets
    block = piece * (size // len(piece))
    place = random.choice((start, end, len(octets)))
    return octets[:place] + block + octets[place:]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip, _token, _token, _token, _delete, _copy, _splice, _number, _case, _word, _field, _boundary, _encoding,
)  # fmt: skip


def minimised(octets: bytes, fails: Callable[[bytes], bool], tries: int = 400) -> bytes:
    """A smaller input that still fails: pieces are taken out, large ones first, while that lasts."""
    size = len(octets) // 2
    while size >= 1 and tries > 0:
        place = 0
        while place < len(octets) and tries > 0:
            tries -= 1
            shorter = octets[:place] + octets[place + size :]
            if fails(shorter):
                octets = shorter
            else:
                place += size
        size //= 2
    return octets
