"""DKIM signatures on what our own people and we ourselves send: who signs, with which keys, where.

Promises
- A message of a user is signed in the name of the domain in From, or of the nearest name above it that has active keys, and only when that domain is
  verified, may send, and belongs to the user's own account: nobody gets a signature in a neighbour's name, whatever they may send.
- Each active key signs: RSA for everybody, Ed25519 for those who can read it (RFC 8463). What is signed is the header as it is stored and sent.
- A key that cannot be read is told once a minute and left out; mail goes out with what is left. Nothing raises.

Cost: 0.25 ms for RSA-2048 and 0.05 ms for Ed25519 on a message of 4 KB, on the reactor: less than handing them to a thread would be worth. The body
of a spooled message is read and hashed on a thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.errors import StoreError
from jetmail.interfaces import IExecutor
from jetmail.mail.message import Message, scan_fields
from jetmail.mailauth.canonical import hash_bodies
from jetmail.mailauth.signing import ALL, Signer, SigningError, load, sign_hashed
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.keyfiles import KeyFiles

MAX_LOADED = 2_000  # private keys in memory, a kilobyte or two each
MAX_LEVELS = 10
RETRY_SECONDS = 60.0  # until a key that could not be read is looked for again

_log = Logger()


def body_hash(chunks: Iterable[bytes]) -> bytes:
    """The hash of a body that every signature shares, read piece by piece."""
    return hash_bodies(chunks, [ALL])[ALL][0]


class Signatures:
    """See the module. One per process, on the reactor. `now` gives epoch seconds."""

    def __init__(self, directory: Directory, files: KeyFiles, suffixes: PublicSuffixes, executor: IExecutor, now: Callable[[], float]) -> None:
        self._executor = executor
        self._directory = directory
        self._files = files
        self._suffixes = suffixes
        self._now = now
        self._loaded: OrderedDict[tuple[str, str, str], Signer] = OrderedDict()
        self._missing: dict[tuple[str, str, str], float] = {}

    def signers(self, domain: str, account_id: int | None = None) -> tuple[Signer, ...]:
        """Who signs mail from that domain; for one account, or, with None, for ourselves."""
        directory = self._directory
        top = ""
        for _ in range(MAX_LEVELS):
            owner = directory.outbound_account(domain)
            if owner:
                if account_id is not None and owner != account_id:
                    return ()
                if keys := directory.dkim_keys(domain):
                    return tuple(signer for key in keys if (signer := self._signer(key)) is not None)
            top = top or self._suffixes.organisational(domain)
            if domain == top:
                return ()
            domain = domain.partition(".")[2]
        return ()

    def of_message(self, message: Message, account_id: int | None = None) -> tuple[Signer, ...]:
        """Who signs this one. A From that is not sound is signed by nobody."""
        author = message.sender
        if not author.is_sound or author.address is None or author.address.is_literal:
            return ()
        return self.signers(author.address.domain, account_id)

    def hashed(self, message: Message) -> bytes | Deferred[bytes]:
        """What the signatures say of its body. A Deferred for one that lies in the spool; fails with StoreError when it cannot be read."""
        if message.is_whole:
            return body_hash(message.body_chunks())
        hashing: Deferred[bytes] = self._executor.run(lambda: body_hash(message.body_chunks()))
        return hashing

    def fields(self, signers: Iterable[Signer], header: bytes, digest: bytes) -> bytes:
        """The DKIM-Signature fields for a header block as it will be sent. `digest` as body_hash gives it."""
        fields, now = scan_fields(header), self._now()
        return b"".join(sign_hashed(signer, fields, digest, now) for signer in signers)

    def signed(self, data: bytes) -> bytes:
        """A message of our own (a report, a notice), signed where our name has keys."""
        message = Message(data)
        signers = self.of_message(message)
        return self.fields(signers, message.header, body_hash(message.body_chunks())) + data if signers else data

    def _signer(self, key: DkimKey) -> Signer | None:
        name = (key.domain, key.selector, key.fingerprint)
        if (found := self._loaded.get(name)) is not None:
            self._loaded.move_to_end(name)
            return found
        now = self._now()
        if now < self._missing.get(name, 0.0):
            return None
        try:
            signer = load(self._files.read(key.domain, key.fingerprint), key.domain, key.selector, is_ours=True)
        except (StoreError, SigningError) as error:
            _log.error("no signatures by {selector} of {domain}: {reason}", selector=key.selector, domain=key.domain, reason=str(error))
            if len(self._missing) >= MAX_LOADED:
                self._missing.clear()
            self._missing[name] = now + RETRY_SECONDS
            return None
        self._loaded[name] = signer
        if len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return signer
