"""/v1/messages: send one, one as it is, many; and what became of one (docs/api.md).

Promises
- 202 is said after the commit that holds the message. Every message goes through interfaces.IHandIn, and so through all that SMTP's go through; its
  refusals are told in SMTP's words.
- With an Idempotency-Key the same request does its work once within a day, whatever breaks when (actions.idempotency).
- A client that leaves, or that is told 503 because it took too long, changes nothing: what was complete is worked off (api.underway).
- JSON of any size is read and made into MIME off the reactor when it is large, and a batch gives others their turn between two messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jetmail.actions import messages
from jetmail.actions.idempotency import Claim, Keys
from jetmail.actions.tokens import Bearer
from jetmail.api.door import ApiRequest
from jetmail.api.front import Asker, texts
from jetmail.api.intake import Body, Gathered, HandLike, Nothing, Streamed, too_large
from jetmail.api.limits import Budget
from jetmail.api.options import ApiOptions
from jetmail.api.problem import Problem, invalid, later, of_reply
from jetmail.api.underway import Underway
from jetmail.api.v1 import letters
from jetmail.api.v1.letters import Order
from jetmail.errors import ConflictError, UsageError
from jetmail.interfaces import Handed, IDatabase, IEntropy, IExecutor, IHandIn
from jetmail.mail.compose import Letter, compose
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply
from jetmail.mail.trace import rfc5322_date
from jetmail.web.answer import Answer

JSON = "application/json; charset=utf-8"
LARGE = 256 * 1024  # octets of JSON from which on a thread works on it
AT_ONCE = 16  # messages of a batch on their way at a time
KEY = "Idempotency-Key"

log = Logger()


@dataclass(frozen=True, slots=True)
class Sending:
    """What the handlers work with. `hand_in` as app gives it; `wall` epoch seconds; `entropy` for boundaries; `executor` for large JSON."""

    db: IDatabase
    keys: Keys
    hand_in: IHandIn
    clock: IReactorTime
    wall: Callable[[], float]
    entropy: IEntropy
    executor: IExecutor


class Messages:
    """The handlers, and what becomes of the bodies they want."""

    def __init__(self, sending: Sending, options: ApiOptions) -> None:
        self._sending = sending
        self._options = options
        self._budget = Budget(options.json_memory)
        self.underway = Underway()

    # bodies

    def gather(self, request: ApiRequest, query: dict[bytes, list[bytes]], length: int | None) -> Body:
        """JSON, held."""
        _check_type(request, "application/json")
        limit = self._options.json_limit
        if length is not None and length > limit:
            raise too_large(limit)
        return Gathered(limit, self._budget)

    def stream(self, request: ApiRequest, query: dict[bytes, list[bytes]], length: int | None) -> Body:
        """A message as it is: on its way from the first octet, unless its key says that it has been sent."""
        _check_type(request, "message/rfc822")
        limit = self._options.raw_limit
        if length is not None and length > limit:
            raise too_large(limit)
        sender, recipients = self._envelope(request, query, length)
        claim = self._claim(request)
        hand = self._hand(request.asker) if claim is None or claim.is_new else None
        name = json.dumps(["raw", str(sender), [str(each) for each in recipients], sender.smtputf8], ensure_ascii=False).encode()
        channel = request.channel
        body = Raw(claim, hand, limit, name, channel.pause, channel.resume, lambda handed: request.refuse(_refusal(handed)))
        body.begin(sender, recipients)
        return body

    def nothing(self, request: ApiRequest, query: dict[bytes, list[bytes]], length: int | None) -> Body:
        """None is wanted."""
        return Nothing(self._options.body_limit)

    # handlers

    def send(self, request: ApiRequest) -> Deferred[Answer]:
        """POST /v1/messages"""
        return self.underway.run(self._send(request))

    def send_raw(self, request: ApiRequest) -> Deferred[Answer]:
        """POST /v1/messages/raw"""
        return self.underway.run(self._send_raw(request))

    def send_batch(self, request: ApiRequest) -> Deferred[Answer]:
        """POST /v1/messages/batch"""
        return self.underway.run(self._send_batch(request))

    async def show(self, request: ApiRequest, uid: str) -> Answer:
        """GET /v1/messages/{uid}"""
        return answer(_told(await messages.show(self._sending.db, _bearer(request.asker).actor, uid)))

    async def _send(self, request: ApiRequest) -> Answer:
        with _Closing(request.take()) as body:
            octets = cast(Gathered, body).take()
            request_digest = sha256(b"one\0" + octets).digest()
            with _Claimed(self._claim(request)) as claim:
                if claim is not None and (known := _answered(claim, request_digest)) is not None:
                    return answer(known, 202, (("Idempotent-Replayed", "true"),))
                value = await self._parsed(octets)
                return answer(await self._one(request.asker, value, claim, request_digest, 0), 202)

    async def _send_raw(self, request: ApiRequest) -> Answer:
        with _Closing(request.take()) as body:
            raw = cast(Raw, body)
            await raw.ready
            claim = raw.claim
            if raw.hand is None or raw.begun is None:
                assert claim is not None, "a message is not opened for a key that was used, and for no other reason"
                known = _answered(claim, raw.request)
                if known is None:
                    raise later("conflict", "the answer to this Idempotency-Key has just been forgotten", 1.0)
                return answer(known, 202, (("Idempotent-Replayed", "true"),))
            if not raw.begun.reply.is_positive:
                raise _refusal(raw.begun)
            also = claim.remember(raw.request, _accepted_with(raw.begun)) if claim is not None else None
            return answer(self._accepted(request.asker, await raw.hand.end(also), raw.begun), 202)

    async def _send_batch(self, request: ApiRequest) -> Answer:
        with _Closing(request.take()) as body:
            octets = cast(Gathered, body).take()
            request_digest = sha256(b"many\0" + octets).digest()
            with _Claimed(self._claim(request)) as claim:
                if claim is not None:
                    _answered(claim, request_digest)
                wanted = self._batch(await self._parsed(octets))
                results: list[dict[str, Any]] = [{}] * len(wanted)
                items = iter(enumerate(wanted))
                workers = [Deferred.fromCoroutine(self._work(request.asker, items, results, claim, request_digest)) for _ in range(AT_ONCE)]
                for worker in workers:
                    await worker
                accepted = sum(result["status"] == 202 for result in results)
                return answer({"accepted": accepted, "refused": len(results) - accepted, "results": results})

    def _batch(self, value: Any) -> list[Any]:
        if not isinstance(value, dict) or set(value) != {"messages"}:
            raise invalid("messages", "the body must be an object with messages and nothing else")
        wanted = value["messages"]
        if not isinstance(wanted, list) or not wanted:
            raise invalid("messages", "must be a list of messages")
        if len(wanted) > self._options.max_batch:
            raise invalid("messages", f"more than {self._options.max_batch}")
        return wanted

    async def _work(self, asker: Asker, items: Iterator[tuple[int, Any]], results: list[dict[str, Any]], claim: Claim | None, digest: bytes) -> None:
        for place, value in items:
            await deferLater(self._sending.clock, 0)  # everybody's turn
            try:
                known = claim.answered(digest, place) if claim is not None else None
                results[place] = {"status": 202, **(known or await self._one(asker, value, claim, digest, place))}
            except Problem as problem:
                results[place] = {"status": problem.status, **problem.body}
            except CancelledError:
                raise
            except Exception:
                log.failure("a message of a batch failed")
                results[place] = {"status": 500, **Problem("internal", "This message could not be handled.").body}

    async def _one(self, asker: Asker, value: Any, claim: Claim | None, digest: bytes, place: int) -> dict[str, Any]:
        """-> what is answered to one message of JSON. Raises Problem."""
        order = letters.read(value, self._options.max_recipients)
        octets = await self._composed(order)
        hand = self._hand(asker)
        try:
            begun = await hand.begin(order.sender._replace(size=len(octets)), order.recipients)
            if not begun.reply.is_positive:
                raise _refusal(begun)
            hand.write(octets)
            also = claim.remember(digest, _accepted_with(begun), place) if claim is not None else None
            return self._accepted(asker, await hand.end(also), begun)
        finally:
            hand.abort()

    def _accepted(self, asker: Asker, done: Handed, begun: Handed) -> dict[str, Any]:
        """-> the answer. With which token it came is in the log alone: the message knows the user. Raises Problem."""
        if not done.reply.is_positive:
            raise _refusal(done)
        uid = done.reply.text.rpartition(" ")[2]
        log.info("sent over HTTP", uid=uid, bearer=_bearer(asker).prefix, client=asker.address)
        return _accepted_with(begun)(uid, str(done.reply))

    async def _parsed(self, octets: bytes) -> Any:
        if len(octets) < LARGE:
            return letters.from_json(octets)
        return await self._sending.executor.run(letters.from_json, octets)

    async def _composed(self, order: Order) -> bytes:
        boundary = self._sending.entropy.token(12).hex()
        letter = self._dated(order.letter)
        if len(letter.text or "") + len(letter.html or "") + sum(len(each.data) for each in letter.attachments) < LARGE:
            return compose(letter, boundary)
        made: bytes = await self._sending.executor.run(compose, letter, boundary)
        return made

    def _dated(self, letter: Letter) -> Letter:
        """With what every message should bring, and what is only added for those who cannot know better."""
        fields = [("Date", rfc5322_date(self._sending.wall()))]
        if not any(name.lower() == "message-id" for name, _ in letter.headers):
            fields.append(("Message-ID", f"<{self._sending.entropy.token(16).hex()}@{self._options.hostname}>"))
        return replace(letter, headers=(*fields, *letter.headers))

    def _hand(self, asker: Asker) -> HandLike:
        hand: HandLike = self._sending.hand_in.open(_bearer(asker).smtp_user, asker.address, asker.port, asker.tls)
        return hand

    def _claim(self, request: ApiRequest) -> Claim | None:
        given = texts(request.requestHeaders, KEY.encode())
        if not given:
            return None
        try:
            return self._sending.keys.claim(_bearer(request.asker).id, given[0] if len(given) == 1 else "")
        except ConflictError as error:
            raise later("conflict", str(error), 1.0) from None
        except UsageError as error:
            raise invalid(error.field, error.reason) from None

    def _envelope(self, request: ApiRequest, query: dict[bytes, list[bytes]], length: int | None) -> tuple[Sender, tuple[Recipient, ...]]:
        """From the query (from, to), or else the fields X-Envelope-From and X-Envelope-To."""
        for name in query:
            if name not in (b"from", b"to", b"smtputf8"):
                raise invalid(name.decode("ascii", "replace")[:80], "is not known; known are from, to and smtputf8")
        froms, tos = ([each.decode("utf-8", "replace") for each in query.get(name, [])] for name in (b"from", b"to"))
        froms = froms or texts(request.requestHeaders, b"X-Envelope-From")
        tos = tos or [each for text in texts(request.requestHeaders, b"X-Envelope-To") for each in text.split(",") if each.strip()]
        if len(froms) != 1:
            raise invalid("from", "one envelope sender is needed: ?from=... or X-Envelope-From")
        if not 1 <= len(tos) <= self._options.max_recipients:
            raise invalid("to", f"1 to {self._options.max_recipients} recipients are needed: ?to=...&to=... or X-Envelope-To")
        sender = letters.address(froms[0], "from")
        recipients = tuple(Recipient(each) for each in dict.fromkeys(letters.address(text, "to") for text in tos))
        is_utf8 = query.get(b"smtputf8", [b""])[-1] in (b"1", b"true") or not all(
            each.is_ascii for each in (sender, *(r.address for r in recipients))
        )
        return Sender(sender, length, "8BITMIME", is_utf8), recipients


class Raw(Streamed):
    """With the claim of its key."""

    def __init__(self, claim: Claim | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.claim = claim

    def close(self) -> None:
        """And the key is free again."""
        super().close()
        if self.claim is not None:
            self.claim.end()


class _Closing:
    """Closes a body when its work is done."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __enter__(self) -> Body:
        return self._body

    def __exit__(self, *failure: object) -> None:
        self._body.close()


class _Claimed:
    """Frees a key when its work is done."""

    def __init__(self, claim: Claim | None) -> None:
        self._claim = claim

    def __enter__(self) -> Claim | None:
        return self._claim

    def __exit__(self, *failure: object) -> None:
        if self._claim is not None:
            self._claim.end()


def answer(value: Any, code: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A value as JSON."""
    return Answer(json.dumps(value, ensure_ascii=False, separators=(",", ":")), code, JSON, headers)


def _bearer(asker: Asker) -> Bearer:
    assert asker.bearer is not None, "the front lets nobody in without one"
    return asker.bearer


def _check_type(request: ApiRequest, wanted: str) -> None:
    given = ["", *texts(request.requestHeaders, b"Content-Type")]
    if given[-1].partition(";")[0].strip().lower() != wanted:
        raise Problem("unsupported", f"the body's Content-Type must be {wanted}")
    if request.requestHeaders.hasHeader("Content-Encoding"):
        raise Problem("unsupported", "no Content-Encoding is taken")


def _answered(claim: Claim, digest: bytes) -> dict[str, Any] | None:
    try:
        return claim.answered(digest)
    except UsageError as error:
        raise Problem("key_reused", error.reason, KEY) from None


def _refusal(handed: Handed) -> Problem:
    problem = of_reply(handed.reply, handed.retry_after)
    if len(handed.refused) == 1:
        problem.field = "to"
    return problem


def _accepted_with(begun: Handed) -> Callable[[str, str], dict[str, Any]]:
    refused = [{"recipient": address, **_short(reply)} for address, reply in begun.refused]
    return lambda uid, reply: {"id": uid, "reply": reply, "refused": refused}


def _short(reply: Reply) -> dict[str, str]:
    problem = of_reply(reply)
    return {"code": problem.code, "message": problem.message}


def _told(shown: messages.Shown) -> dict[str, Any]:
    message = shown.message
    deliveries = [
        {
            "recipient": item.recipient, "status": item.status, "reason": item.reason, "reply": item.reply, "attempts": item.attempts,
            "held": item.held, "next_attempt": item.next_attempt if item.status == "queued" and not item.held else None, "finished": item.finished,
        }
        for item in shown.deliveries
    ]  # fmt: skip
    return {
        "id": message.uid, "received": message.received, "transtype": "HTTP" if message.listener == "http" else "ESMTPSA" if message.tls else "ESMTP",
        "sender": message.sender, "subject": message.subject, "message_id": message.message_id, "size": message.size, "reply": message.response,
        "deliveries": deliveries,
    }  # fmt: skip
