"""Letters that pretend to be others: invisible ones, words of two alphabets, alphabets made of symbols, digits for letters.

Pure functions of text, linear in it. Unicode TR 39 has the whole table of confusables; here is the part that passes for Latin letters at a
glance, because
names of brands are what is imitated.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Zero-width characters, soft hyphen, direction marks and overrides: nothing to see, and words no longer match.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f]"
)
# Joiners have their use in emoji and Persian; these have none within a Latin word, but for soft hyphens between its syllables: nobody parts off a
# single letter.
_INSIDE = re.compile(
    r"(?<=[A-Za-z\u00c0-\u024f])[\u200b\u2060\u2062-\u2064\ufeff\u180e\u034f]+(?=[A-Za-z\u00c0-\u024f])|"
    r"\b[A-Za-z\u00c0-\u024f]\u00ad+(?=[A-Za-z\u00c0-\u024f])|(?<=\u00ad)[A-Za-z\u00c0-\u024f](?:\b|\u00ad+)"
)
OVERRIDES = re.compile("[\u202d\u202e\u2066-\u2068]")

_LATIN = "A-Za-z\u00c0-\u024f"
_OTHER = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u13a0-\u13ff\ua4d0-\ua4fd"  # Greek, Cyrillic, Armenian, Cherokee, Lisu
_MIXED = re.compile(f"[{_LATIN}][{_OTHER}]|[{_OTHER}][{_LATIN}]")
_HAS_OTHER = re.compile(f"[{_OTHER}]")
_STYLED = re.compile("[\U0001d400-\U0001d7ff\uff21-\uff3a\uff41-\uff5a\u24b6-\u24e9\U0001f110-\U0001f189]")
_PICTURE = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\u2190-\u21ff\u25a0-\u25ff]")
_COMBINING = re.compile("[\u0300-\u036f]")
_CUTTING = "\u00ad\u200b\u2060\u2062\u2063\u2064\ufeff\u180e\u034f"  # of which _INSIDE speaks
_BEYOND = re.compile("[^\x00-\xff]+")

_PAIRS = (
    "аa еe оo рp сc уy хx іi јj ѕs ԁd ԛq ԝw һh кk мm нh вb тt гr пn АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS ԌG αa βb εe "
    "ιi κk νv οo ρp τt υu χx ωw ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX օo սu ոn հh ցg ɡg ıi ⅼl ℓl ӏl Ӏl"
)
_LOOKS_LIKE = str.maketrans({pair[0]: pair[1] for pair in _PAIRS.split()})
_DIGITS = str.maketrans("0134578@$!|", "oleastbasll")


def folded(text: str) -> str:
    """Lower case, styled alphabets and accents gone, invisible characters gone, what passes for Latin made Latin. What one reads at a glance."""
    if text.isascii():
        return text.lower()
    text = INVISIBLE.sub("", text)
    if text.isascii():
        return text.lower()
    text = _COMBINING.sub("", unicodedata.normalize("NFKD", text))
    if _MIXED.search(text):
        text = text.translate(_LOOKS_LIKE)
    return text.lower()


@lru_cache(maxsize=4096)
def skeleton(word: str) -> str:
    """A word as the eye takes it: two words that look alike have the same one. Not for showing."""
    if word.isascii():
        text = word.lower().translate(_DIGITS)
        return text.replace("rn", "m").replace("vv", "w").replace("cl", "d").replace("i", "l")
    text = _COMBINING.sub("", unicodedata.normalize("NFKD", INVISIBLE.sub("", word))).translate(_LOOKS_LIKE).lower().translate(_DIGITS)
    return text.replace("rn", "m").replace("vv", "w").replace("cl", "d").replace("i", "l")


def beyond_latin1(text: str) -> str:
    """The characters of a text that Latin-1 has not, in order: the few that have to be looked at for most of what is asked here."""
    try:
        text.encode("latin-1")  # answers for plain text at the price of copying it
    except UnicodeEncodeError:
        return "".join(_BEYOND.findall(text))
    return ""


def mixed_words(text: str) -> int:
    """How many places within a word go from the Latin alphabet to one whose letters pass for it. Text that is wholly in another has none."""
    return len(_MIXED.findall(text)) if not text.isascii() and _HAS_OTHER.search(beyond_latin1(text)) else 0


def invisible_inside(text: str) -> int:
    """How many words of Latin letters are cut by something invisible."""
    return len(_INSIDE.findall(text)) if not text.isascii() and any(cutting in text for cutting in _CUTTING) else 0


def styled(text: str) -> int:
    """How many characters are letters of an alphabet made for formulas, forms or circles."""
    return len(_STYLED.findall(beyond_latin1(text))) if not text.isascii() else 0


def pictures(text: str) -> int:
    """How many emoji and dingbats."""
    return len(_PICTURE.findall(text)) if not text.isascii() else 0


_VOWELS = frozenset("aeiouy")


@lru_cache(maxsize=4096)
def looks_random(label: str) -> bool:
    """Whether a host's label or a local part is letters thrown together: digits all through, or no vowels to speak it with."""
    if len(label) < 7 or label.startswith("xn--"):
        return False
    changes = sum(first.isdigit() != second.isdigit() for first, second in zip(label, label[1:], strict=False) if first != "-" and second != "-")
    if changes >= 4:
        return True
    letters = [letter for letter in label if letter.isalpha()]
    if len(letters) < 7:
        return False
    run = longest = 0
    for letter in label:
        run = run + 1 if letter.isalpha() and letter not in _VOWELS else 0
        longest = max(longest, run)
    vowels = sum(letter in _VOWELS for letter in letters)
    return longest >= 7 or vowels * 10 < len(letters) or (longest >= 5 and changes >= 2)


def looks_shaken(word: str) -> bool:
    """Whether capitals and digits stand in a word where a generator put them: PiWUEABHLf, 9x25wspgup."""
    if len(word) < 7 or not word.isascii():
        return False
    changes = sum(first.islower() and second.isupper() for first, second in zip(word, word[1:], strict=False))
    turns = sum(first.isdigit() != second.isdigit() for first, second in zip(word, word[1:], strict=False) if first.isalnum() and second.isalnum())
    return (changes >= 2 and word[0].islower() != word[0].isupper() and not word.islower() and sum(map(str.isupper, word)) >= 4) or turns >= 4
