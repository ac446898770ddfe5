"""Names that strangers like to wear: finding one in a name, a text or a host, and telling whose domains may wear it.

A name is found as words ("Bank of America"), grown together ("bankofamerica") or imitated letter by letter ("rnicrosoft", "Iedger"). A domain is the
brand's own when it is listed, or is the name itself under .com or a country's suffix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from jetmail.rules.analysis import hosts, letters

_WORD = re.compile(r"[a-z0-9]+")
_LONG_WORD = re.compile(r"[^\W_]{5,}")
_MAX_HARMLESS = 16_384
_OPEN_SUFFIXES = frozenset({"com", "net", "org", "io", "eu", "bank", "int", "gov"})
# Words a company writes beside its name when it writes to customers.
_OFFICIAL = frozenset(
    """support team teams account accounts security secure alert alerts service services customer customers care help helpdesk desk center
    centre online info information
    notice notification notifications billing payment payments invoice bank banking inc llc ltd corp corporation official reward rewards promo
    promotion winner survey store
    shop delivery express shipping tracking track parcel package mail office admin administrator verification verify update updates login id
    no reply noreply department dept
    wallet pay prime member members membership club gift card cards news newsletter protection safety fraud the com net org io co
    customerservice mailer daemon system
    confirmation confirm order orders status subscription renewal live data session storage app drive kundenservice kundendienst sicherheit
    konto service sicherheitsteam soporte
    atencion cliente clientes seguridad servicio servicios atendimento suporte seguranca assistenza clienti servizio sicurezza client
    assistance securite equipe equipo
    klantenservice klanten beveiliging gewinner gewinnspiel dept unusual activity signin giveaway foundation token tokens nft airdrop web3
    crypto exchange for your from message
    messages mailbox webmail report reports document documents file files share shared cloud premium plus business global international usa uk
    us de fr br es it eu
    claims claim committee winners lottery award awards donation donations mr mrs ms dr""".split()
)


# Whose customers write from their domains.
_EVERYBODY = frozenset({"google", "gmail", "yahoo", "outlook", "icloud", "proton", "la poste", "linkedin", "telekom", "verizon", "xfinity"})
_RENTED = frozenset("onmicrosoft.com secureserver.net amazonses.com amazonaws.com awscloud.com googlegroups.com live.com msn.com".split())


class Sighting(NamedTuple):
    """`name` of the brand; `imitated`: letters were swapped for lookalikes; `alone`: nothing else is said, or only what a company says of itself."""

    name: str
    imitated: bool
    alone: bool


class Brands:
    """The brands of etc/maps/brands.toml: name -> its domains, a text. Their answers never change; what is kept only makes them quick."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._domains: dict[str, frozenset[str]] = {}
        self._by_domain: dict[str, str] = {}
        self._common: set[str] = set()
        self._names: set[str] = set()
        self._by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._joined: dict[str, str] = {}
        self._skeletons: dict[str, str] = {}
        for key, domains in table.items():
            name = key.lstrip("+*").lower()
            words = tuple(_WORD.findall(name))
            joined = "".join(words)
            self._domains[name] = frozenset([*domains.lower().split()])
            for domain in self._domains[name]:
                self._by_domain.setdefault(domain, name)
            if key.startswith(("+", "*")):
                self._common.add(name)
            if key.startswith("*"):
                self._names.add(name)
            self._by_first.setdefault(words[0], []).append((words, name))
            self._joined.setdefault(joined, name)
            if len(joined) >= 5:
                self._skeletons.setdefault(letters.skeleton(joined), name)
        self._hosts = lru_cache(maxsize=4096)(self._in_host)
        self._harmless: set[str] = set()  # what stood between blanks elsewhere and imitates nobody: most words of any language

    def owns(self, name: str, domain: str) -> bool:
        """Whether mail or links of that brand may come from that domain."""
        registered = hosts.registrable(domain)
        owned = self._domains[name]
        if registered in owned or domain in owned or hosts.covers(owned, domain):
            return True
        label, _, suffix = registered.partition(".")
        label = label.replace("-", "")
        wanted = "".join(_WORD.findall(name))
        return label == wanted and (suffix in _OPEN_SUFFIXES or len(suffix.rpartition(".")[2]) == 2)

    def of_domain(self, domain: str) -> str:
        """The brand a domain of mail belongs to, '' for none. Houses whose domains anybody writes from have none here."""
        registered = hosts.registrable(domain)
        if registered in _RENTED:
            return ""
        name = self._by_domain.get(registered) or self._joined.get(registered.partition(".")[0].replace("-", ""), "")
        return name if name and name not in self._common and name not in _EVERYBODY and self.owns(name, domain) else ""

    def in_name(self, name: str) -> Sighting | None:
        """The brand a display name shows, the first of several."""
        text = letters.folded(name)
        words = _WORD.findall(text)[:20]
        if not words:
            return None
        imitation = self._imitated(name)
        if imitation:
            return Sighting(imitation, True, True)
        for place, word in enumerate(words):
            for parts, brand in [*self._by_first.get(word, ()), *(((word,), each) for each in self._grown(word))]:
                if tuple(words[place : place + len(parts)]) == parts:
                    others = [*words[:place], *words[place + len(parts) :]]
                    alone = all(other in _OFFICIAL or other.isdigit() for other in others)
                    if brand not in self._common or (alone and (others or brand not in self._names)):
                        return Sighting(brand, False, alone)
        joined = self._joined.get("".join(words), "")
        return Sighting(joined, True, True) if len(joined) > 4 and len(words) > 1 and joined not in self._common else None

    def _grown(self, word: str) -> list[str]:
        brand = self._joined.get(word) if len(word) > 5 else None
        return [brand] if brand is not None and " " in brand else []

    def _imitated(self, text: str) -> str:
        """The brand a word imitates without being it, '' for none."""
        harmless = self._harmless
        for piece in set(text.split()) - harmless:
            for word in _LONG_WORD.findall(piece):
                if len(word) <= 24:
                    brand = self._skeletons.get(letters.skeleton(word))
                    if brand is not None and word.lower() not in self._joined and not word.isdigit():
                        return brand
            if len(piece) <= 30:
                if len(harmless) >= _MAX_HARMLESS:
                    harmless.clear()
                harmless.add(piece)
        return ""

    def imitated_in(self, text: str) -> str:
        """The brand some word of a text imitates letter by letter, '' for none."""
        return self._imitated(text)

    def in_text(self, text: str) -> list[str]:
        """The brands named in a folded text, ordinary words left out."""
        found: list[str] = []
        words = _WORD.findall(text)
        for place, word in enumerate(words):
            for parts, brand in self._by_first.get(word, ()):
                if brand not in self._common and brand not in found and tuple(words[place : place + len(parts)]) == parts:
                    found.append(brand)
        return found

    def in_host(self, host: str) -> str:
        """The brand a host shows in a label without being its own, '' for none: paypal.secure-login.example, paypal-login.example, paypa1.example."""
        return self._hosts(host)

    def _in_host(self, host: str) -> str:
        shown = hosts.readable(host)
        suffix = hosts.suffix(host)
        for label in shown.removesuffix(suffix).split("."):
            words = [word for word in re.split(r"[-_]", label) if word]
            joined = "".join(words)
            candidates = [*words, joined, *("".join(words[place : place + 2]) for place in range(len(words) - 1))]
            for word in candidates:
                brand = self._joined.get(word)
                if brand is None and len(word) >= 5:
                    brand = self._skeletons.get(letters.skeleton(word))
                if brand is None and len(word) > 9:
                    brand = next(
                        (name for whole, name in self._joined.items() if len(whole) >= 7 and (word.startswith(whole) or word.endswith(whole))), None
                    )
                if brand is not None and (len(word) >= 4) and not self.owns(brand, host):
                    if brand in self._common and len(words) < 2 and word == brand.replace(" ", ""):
                        continue
                    return brand
        return ""
