"""Where the links lead: hosts that pass for others, places anybody can have, roads that hide their end."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.analysis import hosts, letters
from jetmail.rules.analysis.content import MAX_TEXT_FOR_URLS, Content, read_content
from jetmail.rules.analysis.hosts import Url
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

MAX_JUDGED = 100  # different hosts
MANY_HOSTS = 6
MAX_BARE = 300  # slashes before which a host without a scheme is looked for

_NESTED = re.compile(r"[?&#;/=](?:[a-z_]{0,20}=)?https?(?::|%3a)", re.IGNORECASE)
_ENCODED_LETTERS = re.compile(r"(?:%(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])){3}", re.IGNORECASE)
_PROGRAM = re.compile(r"\.(?:exe|scr|msi|bat|cmd|js|vbs|hta|jar|apk|iso|img|ps1|lnk|zip|rar|7z)(?:[?#]|$)", re.IGNORECASE)
_TILDE = re.compile(r"/(?:wp-(?:includes|admin)/|wp-content/(?!uploads)|\.well-known/(?!acme))", re.IGNORECASE)
_BEACON = re.compile(r"unsub|optout|opt-out|preferenc|abmeld|desinscri|remove|list-manage", re.IGNORECASE)


@implementer(IRule)
class Urls(ContentRule):
    """Findings about addresses of the web."""

    SYMBOLS = symbols(
        "Links",
        ("URL_ADDRESS", 2.5, "A link leads to a bare IP address."),
        ("URL_CREDENTIALS", 2.0, "A link has a name before the host to mislead the reader."),
        ("URL_PORT", 1.0, "A link leads to an unusual port."),
        ("URL_HOMOGRAPH", 3.0, "A link's host has letters of another alphabet that pass for others."),
        ("URL_BRAND_HOST", 2.5, "A link's host contains the name of a company it does not belong to."),
        ("URL_SHORTENER", 1.2, "A link hides where it leads behind a short address."),
        ("URL_HOSTING", 1.2, "A link leads to a page anybody can put up without a name."),
        ("URL_HOSTING_ONLY", 1.0, "All links lead to pages anybody can put up without a name."),
        ("URL_REDIRECTOR", 1.5, "A link leads through a page that sends on to anywhere."),
        ("URL_NESTED", 0.5, "A link holds another address it leads on to."),
        ("URL_RISKY_SUFFIX", 1.2, "A link's host is under a suffix that is abused a lot."),
        ("URL_RANDOM_HOST", 0.8, "A link's host is letters thrown together."),
        ("URL_MANY_LABELS", 0.8, "A link's host has unusually many labels."),
        ("URL_ENCODED", 1.2, "A link spells ordinary letters as numbers."),
        ("URL_RECIPIENT", 0.8, "A link carries the recipient's address."),
        ("URL_RECIPIENT_FRAGMENT", 2.5, "A link carries the recipient's address where only a forged sign-in page reads it."),
        ("URL_PROGRAM", 1.0, "A link leads straight to a program or an archive."),
        ("URL_HIDDEN_FOLDER", 1.5, "A link leads into the works of somebody's site, as pages put there by intruders do."),
        ("URL_PICTURE_PLACE", 1.3, "Pictures come from a place where anybody can put them."),
        ("LINK_TEXT_HOST", 1.0, "A link shows one host and leads to another."),
        ("LINK_TEXT_BRAND", 3.0, "A link shows the host of a known company and leads elsewhere."),
        ("LINKS_ONE_FOREIGN", 0.8, "Everything in the message leads to one place that is not the sender's."),
        ("LINKS_NOT_THE_BRAND", 2.2, "The message is from a known company's domain, and no link leads there."),
        ("LINKS_ANSWER_FREE_MAIL", 1.5, "A link offers to write to a free mail account that is not the sender's."),
        ("LINKS_SAME", 0.5, "The same address stands behind nearly every link."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        if not message.value(b"in-reply-to"):  # an answer quotes who wrote what
            self._answers(notes, content)
        self._pictures(notes, content)
        self._short(notes, content)
        if not content.urls:
            return
        places = self.maps.places
        redirectors = tuple(places.redirectors)
        own = content.registered
        seen: set[str] = set()
        hosted = 0
        # Among many hosts (a digest, a newsletter with advertisements) one odd one says little.
        registered = {hosts.registrable(host) for host in content.hosts}
        notes.dilution = 1.0 if len(registered) <= MANY_HOSTS else max(0.3, MANY_HOSTS / len(registered))
        for url in content.urls:
            if url.host not in seen and len(seen) < MAX_JUDGED:
                seen.add(url.host)
                hosted += self._host(notes, url, own)
            rest = url.rest
            if url.user and not url.user.startswith("mailto"):
                notes.add("URL_CREDENTIALS", url.raw[:100])
            if url.port and url.port not in (80, 443, 8080, 8443):
                notes.add("URL_PORT", f"{url.host}:{url.port}")
            place = url.host + rest
            if place.startswith(redirectors):
                notes.add("URL_REDIRECTOR", place[:100])
            elif len(rest) > 12 and _NESTED.search(rest[:500]):
                notes.add("URL_NESTED", place[:100])
            if "%" in rest and _ENCODED_LETTERS.search(rest[:500]):
                notes.add("URL_ENCODED", place[:100])
            if _PROGRAM.search(rest[-60:]):
                notes.add("URL_PROGRAM", place[:100])
            if hosts.registrable(url.host) != own and _TILDE.search(rest[:300]):
                notes.add("URL_HIDDEN_FOLDER", place[:100])
        if seen and hosted == len(seen) and own not in places.hosting:
            notes.add("URL_HOSTING_ONLY")
        self._recipient(notes, facts, content)
        self._links(notes, content)

    def _host(self, notes: Notes, url: Url, own: str) -> bool:
        """-> whether anybody could have put the page up."""
        places = self.maps.places
        host = url.host
        if url.address:
            if not hosts.is_public(host):
                return False
            notes.add("URL_ADDRESS", host)
            return False
        registered = hosts.registrable(host)
        if "xn--" in host and letters.mixed_words(hosts.readable(host)):
            notes.add("URL_HOMOGRAPH", hosts.readable(host))
        if registered == own:
            return False
        if brand := self.maps.brands.in_host(host):
            notes.add("URL_BRAND_HOST", f"{brand} in {host}")
        if hosts.covers(places.shorteners, host):
            notes.add("URL_SHORTENER", host)
        label = registered.partition(".")[0]
        is_hosted = bool(hosts.covers(places.hosting, host))
        if is_hosted:
            notes.add("URL_HOSTING", host)
        elif letters.looks_random(label):
            notes.add("URL_RANDOM_HOST", host)
        if host.rpartition(".")[2] in places.risky_suffixes or hosts.suffix(host) in places.risky_suffixes:
            notes.add("URL_RISKY_SUFFIX", host)
        if host.count(".") >= 5:
            notes.add("URL_MANY_LABELS", host)
        return is_hosted

    def _short(self, notes: Notes, content: Content) -> None:
        for host in hosts.bare_hosts(content.structure.text[:MAX_TEXT_FOR_URLS], MAX_BARE):
            if hosts.covers(self.maps.places.shorteners, host):
                notes.add("URL_SHORTENER", host)
                return

    def _answers(self, notes: Notes, content: Content) -> None:
        free_mail = self.maps.places.free_mail
        own = f"{content.local}@{content.domain}".lower()
        written = {own, *(str(box.address).lower() for box in content.reply_to)}
        for address in content.answers if len(content.answers) <= 3 else ():  # a digest names its authors
            domain = address.rpartition("@")[2]
            if domain in free_mail and address not in written and not content.is_list and content.registered not in free_mail:
                notes.add("LINKS_ANSWER_FREE_MAIL", address)

    def _recipient(self, notes: Notes, facts: Facts, content: Content) -> None:
        for recipient in facts.recipients[:5]:
            address = str(recipient.address).lower()
            packed = base64.b64encode(address.encode()).decode().rstrip("=").lower()
            for url in content.urls[:50]:
                rest = unquote(url.rest).lower() if "%" in url.rest else url.rest.lower()
                if address not in rest and packed not in rest:
                    continue
                _, _, fragment = rest.partition("#")
                if address in fragment or packed in fragment:
                    notes.add("URL_RECIPIENT_FRAGMENT", url.raw[:100])
                elif not _BEACON.search(url.raw):
                    notes.add("URL_RECIPIENT", url.raw[:100])

    def _links(self, notes: Notes, content: Content) -> None:
        brands = self.maps.brands
        own = content.registered
        for link in content.links[:200]:
            if not link.shown:
                continue
            shown, led = hosts.registrable(link.shown), link.url.host if link.url.address else hosts.registrable(link.url.host)
            if shown == led or (link.url.address and not hosts.is_public(led)):
                continue
            label = shown.partition(".")[0]
            sighting = brands.in_name(label)
            if (
                sighting is not None
                and brands.owns(sighting.name, shown)
                and not brands.owns(sighting.name, led)
                and not brands.owns(sighting.name, own or "x")
            ):
                notes.add("LINK_TEXT_BRAND", f"{link.shown} -> {link.url.host}")
            elif led != own and shown != own:
                notes.add("LINK_TEXT_HOST", f"{link.shown} -> {link.url.host}")
        registered = {hosts.registrable(host) for host in content.hosts}
        is_free = content.registered in self.maps.places.free_mail
        brand = brands.of_domain(content.domain) if content.domain and content.links and not is_free else ""
        if brand and not content.is_list and not any(brands.owns(brand, host) for host in content.hosts):
            notes.add("LINKS_NOT_THE_BRAND", f"{content.domain} -> {content.hosts[0]}")
        if len(registered) == 1 and own and own not in registered and content.links:
            notes.add("LINKS_ONE_FOREIGN", content.hosts[0])
        if len(content.links) >= 3 and len({link.url.raw for link in content.links}) == 1:
            notes.add("LINKS_SAME", content.links[0].url.host)

    def _pictures(self, notes: Notes, content: Content) -> None:
        for _, page in content.structure.pages[:5]:
            for image in page.images[:50]:
                url = hosts.parse_url(image.source) if image.source[:4].lower() == "http" else None
                if url is not None and hosts.covers(self.maps.places.pictures, url.host):
                    notes.add("URL_PICTURE_PLACE", url.host)
                    return
