"""One reading of a message that all rules over content share: `message.once(read_content)`.

Costs one pass over the text and the links. Never raises; lists are capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from jetmail.mail.address import Address
from jetmail.mail.mailbox import Mailbox, parse_mailboxes
from jetmail.mail.message import Message
from jetmail.mail.mime import Part, Structure
from jetmail.rules.analysis import hosts, letters
from jetmail.rules.analysis.hosts import Url
from jetmail.rules.analysis.wording import MAX_TEXT

MAX_URLS = 300
MAX_TEXT_FOR_URLS = 64 * 1024
_LIST_FIELDS = frozenset({b"list-id", b"list-post", b"mailing-list", b"x-mailing-list", b"x-beenthere"})


class SeenLink(NamedTuple):
    """A link of an HTML page with an address of the web. `shown` is the host its text shows, '' when the text is words."""

    url: Url
    label: str
    shown: str
    has_image: bool


@dataclass(frozen=True, slots=True)
class Content:
    """`text` is folded (rules.analysis.letters) and cut, its white space single blanks. `urls`: every address once, of links, forms and plain text;
    `links` those of HTML. `letters`: how many characters a person sees; `hidden_letters` how many there are besides. `name` and `domain` are those
    of the header From, '' where there is none.
    `is_list`: it says that a mailing list sent it.
    `answers`: addresses that links offer to write to, lower case."""

    structure: Structure
    text: str
    letters: int
    hidden_letters: int
    html: tuple[Part, ...]
    links: tuple[SeenLink, ...]
    urls: tuple[Url, ...]
    hosts: tuple[str, ...]
    mailboxes: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    name: str
    local: str
    domain: str
    subject: str
    folded_subject: str
    is_list: bool
    answers: tuple[str, ...]

    @property
    def registered(self) -> str:
        """The registered domain of the header From."""
        return hosts.registrable(self.domain) if self.domain else ""


def read_content(message: Message) -> Content:
    """See the module."""
    structure = message.structure
    links: list[SeenLink] = []
    urls: dict[str, Url] = {}
    answers: dict[str, None] = {}
    hidden = 0
    for _, page in structure.pages:
        hidden += _size(page.hidden)
        for link in page.links:
            url = urls.get(link.target) or hosts.parse_url(link.target)
            if url is None:
                if link.target[:7].lower() == "mailto:" and len(answers) < 20:
                    answers[unquote(link.target[7:]).partition("?")[0].strip().lower()[:320]] = None
                continue
            shown = hosts.host_shown(link.label) if "." in link.label else ""
            links.append(SeenLink(url, link.label, shown, link.has_image))
            if len(urls) < MAX_URLS:
                urls[link.target] = url
        for target in (*page.forms[:20], page.refresh):
            if target and len(urls) < MAX_URLS and (url := hosts.parse_url(target)) is not None:
                urls[target] = url
    text = structure.text
    if len(urls) < MAX_URLS:
        for url in hosts.urls_in(text[:MAX_TEXT_FOR_URLS], MAX_URLS - len(urls)):
            urls.setdefault(url.raw, url)
    mailbox = next((each for each in message.sender.mailboxes if each.address is not None), None)
    name = mailbox.name if mailbox is not None else message.sender.mailboxes[0].name if message.sender.mailboxes else ""
    address = mailbox.address if mailbox is not None else None
    replies = tuple(box for box in parse_mailboxes(message.value(b"reply-to"))[0] if box.address is not None) if message.value(b"reply-to") else ()
    subject = message.subject
    words = text[:MAX_TEXT].split()
    return Content(
        structure=structure,
        text=letters.folded(" ".join(words)),
        letters=max(0, len("".join(words)) - hidden),
        hidden_letters=hidden,
        html=tuple(part for part, _ in structure.pages),
        links=tuple(links),
        urls=tuple(urls.values()),
        hosts=tuple(dict.fromkeys(url.host for url in urls.values())),
        mailboxes=message.sender.mailboxes,
        reply_to=replies,
        name=name,
        local=address.local if address else "",
        domain=address.domain if address else "",
        subject=subject,
        folded_subject=letters.folded(subject),
        is_list=_is_list(message, name, address),
        answers=tuple(answers),
    )


def _is_list(message: Message, name: str, address: Address | None) -> bool:
    if " via " in name and address is not None:  # how lists rewrite From where its domain has a policy (RFC 7960 4.1.3.3)
        return any(box.address is not None and box.address.key == address.key for box in addressees(message))
    return any(name in _LIST_FIELDS for name, _ in message.fields) or message.value(b"precedence").lower() == b"list"


def _size(text: str) -> int:
    """How many characters there are to see."""
    return len("".join(text.split()))


def addressees(message: Message) -> tuple[Mailbox, ...]:
    """Everybody named in To and Cc, as far as they can be read."""
    found: list[Mailbox] = []
    for value in (*message.values(b"to")[:5], *message.values(b"cc")[:5]):
        found += parse_mailboxes(value)[0]
    return tuple(found[:200])
