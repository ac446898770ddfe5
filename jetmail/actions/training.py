"""Teach the statistical filter what is spam and what is not (spec 1.4, 6.9): everybody's model, or one person's own.

A message is learnt once for each person, however often somebody says so and by whatever door it came; said the opposite later, the last word counts.
What is taught is written to the store's journal; the process that runs the filter learns from there, so `trained` (a nudge) may be given to be
called when the journal has grown.

With `files_sender` (one click in the portal) the header From is filed in the person's own list, which comes before the domain's lists: spam
blocks it, not spam allows it, the opposite turns it round. A From nobody can read, a forged one that is several, and the person's own address are
not filed.

Who may: the person themselves and whoever has their domain for a person; the sysadmin for everybody. Raises NotFoundError, UsageError,
ContentMissingError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from twisted.internet.defer import Deferred

from jetmail.actions import access
from jetmail.actions.access import Actor, Object, Reach
from jetmail.classifier import features
from jetmail.errors import NotFoundError, UsageError
from jetmail.interfaces import IContentStore, IDatabase
from jetmail.mail.address import AddressError, parse
from jetmail.mail.message import Message
from jetmail.spool.content import head
from jetmail.store.database import Connection
from jetmail.store.directory import aliases, domains, personal
from jetmail.store.traffic import learning, messages

MAX_OCTETS = 2 * 1024 * 1024  # of a message that are read; more than its features and its digest are taken from


class Learnt(Enum):
    """What became of one lesson."""

    NEW = "new"  # learnt
    TURNED = "turned"  # learnt as the opposite of what it was
    KNOWN = "known"  # it was learnt so already


@dataclass(frozen=True, slots=True)
class Sample:
    """What is needed of a message to learn it. `sender` is the header From's key where it may be filed, else ''."""

    content: str
    features: bytes
    sender: str = ""


def sample(message: Message, hostname: str) -> Sample:
    """A message as a Sample. `hostname` is ours: what we added to the message takes no part."""
    sender = message.sender
    address = sender.address if sender.is_sound and len(sender.addresses) == 1 else None
    return Sample(features.digest(message, hostname), features.pack(features.extract(message, hostname)), address.key if address is not None else "")


def train(
    db: IDatabase,
    actor: Actor,
    samples: Sequence[Sample],
    is_spam: bool,
    person: str = "",
    *,
    now: float,
    files_sender: bool = False,
    trained: Callable[[], object] = lambda: None,
) -> Deferred[tuple[Learnt, ...]]:
    """Teach these messages, in one transaction and one audit entry. `person` '' is everybody."""
    return Deferred.fromCoroutine(_train(db, actor, samples, is_spam, person, now, files_sender, trained))


def train_stored(
    db: IDatabase,
    actor: Actor,
    uid: str,
    is_spam: bool,
    person: str = "",
    *,
    now: float,
    store: IContentStore,
    hostname: str,
    files_sender: bool = True,
    trained: Callable[[], object] = lambda: None,
) -> Deferred[Learnt]:
    """Teach a message of the log that the actor may see and whose content is still kept. For a person: one it came to."""
    return Deferred.fromCoroutine(_train_stored(db, actor, uid, is_spam, person, now, store, hostname, files_sender, trained))


async def _train(
    db: IDatabase,
    actor: Actor,
    samples: Sequence[Sample],
    is_spam: bool,
    person: str,
    now: float,
    files_sender: bool,
    trained: Callable[[], object],
) -> tuple[Learnt, ...]:
    key = _key(person)
    learnt: tuple[Learnt, ...] = await db.run(_teach, actor, tuple(samples), is_spam, key, now, files_sender and bool(key))
    if any(each is not Learnt.KNOWN for each in learnt):
        trained()
    return learnt


async def _train_stored(
    db: IDatabase,
    actor: Actor,
    uid: str,
    is_spam: bool,
    person: str,
    now: float,
    store: IContentStore,
    hostname: str,
    files_sender: bool,
    trained: Callable[[], object],
) -> Learnt:
    key = _key(person)
    seen: Reach = db.read(access.reach, actor)
    content = await db.search(_content, seen, uid, key)
    message = Message(head(content, store, MAX_OCTETS))
    learnt = await _train(db, actor, [sample(message, hostname)], is_spam, key, now, files_sender, trained)
    return learnt[0]


def _teach(conn: Connection, actor: Actor, samples: tuple[Sample, ...], is_spam: bool, person: str, now: float, files: bool) -> tuple[Learnt, ...]:
    _require(conn, actor, person)
    mailbox = _mailbox(conn, person) if person else ""
    learnt = []
    for each in samples:
        undoes = learning.teach(conn, each.content, mailbox, is_spam, each.features, now, actor.name)
        learnt.append(Learnt.KNOWN if undoes is None else Learnt.TURNED if undoes else Learnt.NEW)
        if files and each.sender and each.sender not in (person, mailbox):
            personal.put(conn, mailbox, each.sender, "block" if is_spam else "allow")
    if not samples:
        return ()
    detail: dict[str, object] = {"label": "spam" if is_spam else "ham", "messages": len(samples)}
    if len(samples) == 1:
        detail |= {"content": samples[0].content, "learnt": learnt[0].value, "sender": samples[0].sender if files else ""}
    access.record(conn, actor, now, "train", f"person {mailbox}" if mailbox else "everybody", detail)
    return tuple(learnt)


def _content(conn: Connection, seen: Reach, uid: str, person: str) -> messages.Content:
    message = messages.by_uid(conn, uid)
    theirs = [] if message is None else [each for each in messages.deliveries_of(conn, message.id) if seen.covers(each.domain, each.recipient)]
    if message is None or not (theirs or seen.everything):
        raise NotFoundError(f"no such message: {uid}")
    if person and not any(_folded(person) in (_folded(each.recipient), _folded(each.target)) for each in theirs):
        raise NotFoundError(f"message {uid} did not come to {person}")
    if message.content_id is None:
        raise NotFoundError(f"the content of {uid} is not kept any more")
    return messages.content(conn, message.content_id)


def _require(conn: Connection, actor: Actor, person: str) -> None:
    if not person:
        access.require(actor, access.APPLIANCE, Object(), "model: everybody's is the sysadmin's to teach")
        return
    name = person.rpartition("@")[2]
    domain = domains.get(conn, name)
    if domain is None:
        raise NotFoundError(f"no such address: {person}")
    access.require(actor, access.RULES, Object(domain.account_id, name, person), f"address: {person}")


def _mailbox(conn: Connection, person: str) -> str:
    """The one mailbox behind the address, which is how the rule knows a recipient (rules.checks.classifier.person_of)."""
    targets = aliases.expand(conn, parse(person)).targets
    return _folded(str(targets[0])) if len(targets) == 1 else _folded(person)


def _key(person: str) -> str:
    if not person:
        return ""
    try:
        return parse(person).key
    except AddressError as error:
        raise UsageError("person", f"'{person}': {error}") from None


def _folded(address: str) -> str:
    """An address as a person's key: case folded, without a +tag."""
    return access.person_of(address)
