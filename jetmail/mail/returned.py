"""What comes back for a message: bounces, notices of delay and of success, feedback reports, auto-replies, read into one value. Pure.

Promises
- Never raises, whatever the octets; recipients, lines and values are capped; the time is that of a few passes over what is looked at, which is at
  most MAX_LOOKED octets of the message.
- A vacation reply is never a bounce: who answers by machine (RFC 3834) is told apart before any wording is looked at.
- What a report attaches is quoted, not obeyed: a report within the original message counts for nothing.

RFC 3464 and 6533 (delivery status), RFC 5965 (feedback), RFC 3834 (auto-replies), and by wording what has none of them (returned_text).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jetmail.mail import encoded, returned_text
from jetmail.mail.markup import read_page
from jetmail.mail.message import Message, scan_fields
from jetmail.mail.mime import Part, Structure, parse_structure
from jetmail.mail.returned_fields import MAX_RECIPIENTS, Fields, Recipient, address_of, code_in, groups, recipients, status_in
from jetmail.mail.returned_words import HARD, status_for, word_of

MAX_LOOKED = 512 * 1024
MAX_TEXT = 64 * 1024
MAX_FIELDS = 64 * 1024
MAX_SHOWN = 500

KINDS = ("bounce", "delay", "success", "feedback", "auto-reply", "other")

_ADDRESS = re.compile(r"[^\s<>\"(),;:]{1,128}@[^\s<>\"(),;:]{1,253}")
_AUTO_SUBJECT = re.compile(
    r"^(?:auto(?:matic)?[- _]?(?:reply|response|reponse|antwort|matische antwort)|autoreply|auto: |out[- ]of[- ](?:the )?office|ooo: |"
    r"vacation|away from|on vacation|abwesenheit|r[eé]ponse automatique|respuesta autom|automatische antwort|risposta automatica|i am out)",
    re.I,
)
_REPORTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ORIGINALS = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers", "message/partial", "text/rfc822"})


@dataclass(frozen=True, slots=True)
class Returned:
    """`kind` one of KINDS. `recipients` whom it speaks of. `envid`, `message_id`, `return_path` of the message it speaks of, as far as it says.
    `feedback_type` (abuse, fraud, opt-out, ...), `source_ip` of a feedback report. `reporter`: the host that reports. `text`: what it says to people,
    cut to MAX_SHOWN."""

    kind: str
    recipients: tuple[Recipient, ...] = ()
    envid: str = ""
    message_id: str = ""
    return_path: str = ""
    feedback_type: str = ""
    source_ip: str = ""
    reporter: str = ""
    text: str = ""

    @property
    def is_hard(self) -> bool:
        """Whether writing to any of the recipients again is of no use."""
        return self.kind == "bounce" and any(is_hard(recipient) for recipient in self.recipients)


def is_hard(recipient: Recipient) -> bool:
    """Failed for good because of the address itself."""
    return recipient.action == "failed" and recipient.word in HARD and not recipient.status.startswith("4")


def read(message: Message, is_null: bool = False) -> Returned:
    """A message that came back -> what it says. `is_null`: its envelope sender was the null sender."""
    octets = message.octets[:MAX_LOOKED]
    structure = message.structure if message.is_whole and message.size <= MAX_LOOKED else parse_structure(octets)
    reading = _Reading(message, octets, structure, is_null)
    return reading.feedback() or reading.status() or reading.automatic() or reading.notice() or Returned("other", text=reading.shown)


class _Reading:
    """One message being read: its parts sorted, asked one way after the other."""

    __slots__ = ("_header", "_is_null", "_message", "_octets", "_original", "_structure", "lines", "shown", "text")

    def __init__(self, message: Message, octets: bytes, structure: Structure, is_null: bool) -> None:
        self._message = message
        self._octets = octets
        self._structure = structure
        self._is_null = is_null
        self.text = self._notice_text()
        self.lines, self._original = returned_text.cut(self.text)
        self.shown = " ".join(" ".join(self.lines[:40]).split())[:MAX_SHOWN]
        self._header: Fields | None = None

    # the ways of reading

    def feedback(self) -> Returned | None:
        """RFC 5965, and what those write who do not know it."""
        part = self._part(frozenset({"message/feedback-report"}))
        subject = self._message.subject
        original = self.original
        if part is not None:
            fields: Fields = {}
            for block in groups(self._decoded(part, MAX_FIELDS)):
                fields = {**block, **fields}
            found = [address_of(value) for name in ("original-rcpt-to", "removal-recipient") for value in fields.get(name, ())]
            kind = _first(fields, "feedback-type").lower()[:40] or "abuse"
            source = _first(fields, "source-ip").strip("[]")[:45]
            reporter = _first(fields, "reporting-mta").rpartition(";")[2].strip() or _first(fields, "user-agent")
            envid = _first(fields, "original-envelope-id")
            mail_from = address_of(_first(fields, "original-mail-from"))
        elif "x-hmxmroriginalrecipient" in original:
            found = [address_of(_first(original, "x-hmxmroriginalrecipient"))]
            kind, reporter, envid, mail_from = "abuse", "hotmail.com", "", ""
            source = (re.search(r"[0-9a-f.:]{7,45}$", subject.strip(), re.I) or [""])[0]
        elif self._is_unsubscribe():
            address = self._message.sender.address
            return Returned("feedback", (Recipient(str(address)),) if address else (), feedback_type="opt-out", text=self.shown)
        else:
            return None
        wanted = [address for address in dict.fromkeys(found) if address][:MAX_RECIPIENTS]
        if not wanted:
            wanted = [address for name in ("x-apparently-to", "to") for address in _ADDRESS.findall(_first(original, name))][:1]
        known = tuple(Recipient(address) for address in wanted)
        path = mail_from or self._return_path()
        return Returned("feedback", known, envid, self._message_id(), path, kind, source, reporter[:253], self.shown)

    def status(self) -> Returned | None:
        """RFC 3464, in a part of its own or written into the text."""
        part = self._part(_REPORTS)
        blocks = groups(self._decoded(part, MAX_FIELDS)) if part is not None else []
        found = recipients(blocks)
        if not found and "final-recipient:" in self.text[:MAX_TEXT].casefold():
            lines = [line.lstrip("> \t") if line[:1] in "> \t" and _is_quoted(line) else line for line in self.text.split("\n")]
            blocks = groups("\n".join(lines))
            found = recipients(blocks)
        if not found:
            return None
        delayed = returned_text.is_delay(self._message.subject, self.lines)
        spoken = {item.address.casefold(): item for item in self._spoken(delayed)}
        everybody = [self._filled(item, spoken, delayed) for item in found]
        actions = {item.action for item in everybody}
        kind = "bounce" if "failed" in actions else "delay" if "delayed" in actions else "success"
        envid = next((_first(block, "original-envelope-id") for block in blocks if "original-envelope-id" in block), "")
        reporter = next((_first(block, "reporting-mta").rpartition(";")[2].strip() for block in blocks if "reporting-mta" in block), "")
        return Returned(
            kind, tuple(everybody), envid[:100], self._message_id(), self._return_path(), reporter=reporter.split(" ")[0][:253], text=self.shown
        )

    def automatic(self) -> Returned | None:
        """RFC 3834, and what came before it."""
        message = self._message
        local = message.sender.address.local if message.sender.address is not None else ""
        submitted = message.text(b"auto-submitted").partition(";")[0].strip().casefold()
        is_notice = returned_text.is_daemon(local) or bool(returned_text.SUBJECT.search(message.subject))
        says = (
            submitted.startswith("auto-replied")
            or message.text(b"precedence").strip().casefold() in ("auto_reply", "auto-reply")
            or any(message.count(name) for name in (b"x-autoreply", b"x-autorespond", b"x-auto-reply", b"x-autoreply-from", b"x-mail-autoreply"))
            or bool(_AUTO_SUBJECT.match(message.subject.strip()))
            or (submitted == "auto-generated" and bool(message.count(b"x-auto-response-suppress")) and not is_notice)
        )
        if not says or (is_notice and not _AUTO_SUBJECT.match(message.subject.strip())):
            return None
        address = message.sender.address
        who = (Recipient(str(address)),) if address is not None else ()
        about = message.text(b"in-reply-to").strip()[:250]
        return Returned("auto-reply", who, message_id=about, text=self.shown)

    def notice(self) -> Returned | None:
        """A notice without a report, by its wording."""
        if (told := self._told_as_json()) is not None:
            return told
        message = self._message
        address = message.sender.address
        raw_from = message.text(b"from").casefold()
        is_daemon = (address is not None and returned_text.is_daemon(address.local)) or any(
            word in raw_from for word in ("mailer-daemon", "postmaster", "post_master")
        )
        if not (is_daemon or self._is_null or returned_text.SUBJECT.search(message.subject)):
            return None
        delayed = returned_text.is_delay(message.subject, self.lines)
        found = self._spoken(delayed)
        if not found and is_daemon | bool(returned_text.SUBJECT.search(message.subject)):
            whole = " ".join(self.lines)
            diagnosis = f"{whole} {message.subject}"
            code, status = code_in(" " + whole), status_in(whole)
            word = word_of(diagnosis, status, code)
            action = "delayed" if delayed else "failed"
            wanted = [each for name in ("x-failed-recipients", "to") for each in _ADDRESS.findall(_first(self.original, name))]
            found = [
                Recipient(each, "", action, status or status_for(word, delayed, code), whole[:1_000], "", word)
                for each in list(dict.fromkeys(wanted))[:1]
            ]
        if not found:
            return None
        kind = "delay" if delayed else "bounce"
        return Returned(kind, tuple(found), message_id=self._message_id(), return_path=self._return_path(), text=self.shown)

    # what they are made of

    @property
    def original(self) -> Fields:
        """The header of the message that is spoken of: name -> values."""
        if self._header is None:
            part = self._part(_ORIGINALS)
            raw = self._raw(part, MAX_FIELDS).lstrip(b"\r\n") if part is not None else self._original.encode("utf-8", "replace")[:MAX_FIELDS]
            end = re.search(rb"\n\r?\n", raw)
            self._header = {}
            for name, field in scan_fields(raw[: end.end()] if end else raw):
                values = self._header.setdefault(name.decode("ascii", "replace"), [])
                if len(values) < 10:
                    values.append(encoded.plain(field.partition(b":")[2].strip()))
        return self._header

    def _message_id(self) -> str:
        return _first(self.original, "message-id")[:250]

    def _return_path(self) -> str:
        return next(iter(_ADDRESS.findall(_first(self.original, "return-path"))), "")[:320]

    def _spoken(self, delayed: bool) -> list[Recipient]:
        message = self._message
        failed = _ADDRESS.findall(" ".join(message.texts(b"x-failed-recipients"))[:8_000])[:MAX_RECIPIENTS]
        own = frozenset(address.casefold() for name in (b"to", b"delivered-to", b"from") for address in _ADDRESS.findall(message.text(name)))
        return returned_text.recipients(self.lines, failed, own, delayed)

    def _filled(self, item: Recipient, spoken: dict[str, Recipient], delayed: bool) -> Recipient:
        """What the report leaves open, from what it says to people."""
        words = spoken.get(item.address.casefold()) or spoken.get(item.original.casefold())
        diagnostic = item.diagnostic or (words.diagnostic if words is not None else "")
        action = item.action or ("delayed" if delayed else "failed")
        code = code_in(" " + diagnostic)
        status = item.status
        if action in ("delivered", "relayed", "expanded"):
            return item._replace(action=action, diagnostic=diagnostic[:1_000])
        word = word_of(diagnostic, status, code)
        if words is not None and word in ("unknown", "policy", "system", "protocol") and words.word not in ("unknown", "policy", "system"):
            word = words.word
        if not status:
            status = status_in(diagnostic) or status_for(word, action == "delayed", code)
        return item._replace(action=action, status=status, diagnostic=diagnostic[:1_000], word=word)

    def _is_unsubscribe(self) -> bool:
        """What Apple Mail sends when somebody presses its button."""
        return self._message.subject.strip().casefold() == "unsubscribe" and self.text.lstrip().startswith(
            "Apple Mail sent this email to unsubscribe"
        )

    def _told_as_json(self) -> Returned | None:
        """Amazon SES by way of SNS."""
        text = self.text.strip()
        if text[:1] != "{" or "notificationType" not in text[:4_000]:
            return None
        told = _object(text[: text.rfind("}") + 1])
        inner = _object(told.get("Message")) if isinstance(told.get("Message"), str) else told
        mail = inner.get("mail") if isinstance(inner.get("mail"), dict) else {}
        message_id = str(mail.get("messageId", ""))[:250] if isinstance(mail, dict) else ""
        if isinstance(bounce := inner.get("bounce"), dict):
            found = tuple(each for item in _objects(bounce.get("bouncedRecipients")) if (each := _bounced(item)).address)
            return Returned("bounce", found, message_id=message_id) if found else None
        if isinstance(complaint := inner.get("complaint"), dict):
            whom = tuple(Recipient(address_of(str(item.get("emailAddress", "")))) for item in _objects(complaint.get("complainedRecipients")))
            return Returned("feedback", whom, message_id=message_id, feedback_type=str(complaint.get("complaintFeedbackType") or "abuse")[:40])
        if isinstance(delivery := inner.get("delivery"), dict):
            addresses = delivery.get("recipients")
            whom = tuple(
                Recipient(address_of(str(each)), "", "delivered", status_in(str(delivery.get("smtpResponse"))) or "2.0.0", "", "")
                for each in (addresses if isinstance(addresses, list) else [])[:MAX_RECIPIENTS]
            )
            return Returned("success", whom, message_id=message_id)
        return None

    def _own_parts(self) -> list[Part]:
        """The parts of the report itself: none of what is attached to it."""
        kept: list[Part] = []
        inside = 1_000
        for part in self._structure.parts:
            if part.depth > inside:
                continue
            inside = 1_000
            kept.append(part)
            if part.content_type in ("message/rfc822", "message/global"):
                inside = part.depth
        return kept

    def _part(self, types: frozenset[str]) -> Part | None:
        return next((part for part in self._own_parts() if part.content_type in types), None)

    def _raw(self, part: Part, limit: int) -> bytes:
        try:
            return part.decoded(self._octets, limit)
        except ValueError:
            return b""

    def _decoded(self, part: Part, limit: int) -> str:
        return encoded.to_text(self._raw(part, limit), part.charset or "utf-8")

    def _notice_text(self) -> str:
        pieces: list[str] = []
        left = MAX_TEXT
        has_plain = False
        for part in self._own_parts():
            if part.content_type in _ORIGINALS or left <= 0:
                break
            if not part.content_type.startswith("text/") or part.content_type == "text/rfc822-headers":
                continue
            if part.content_type == "text/html":
                if has_plain:
                    continue
                text = read_page(self._decoded(part, left)).text
            else:
                text = self._decoded(part, left)
                has_plain = True
            pieces.append(text[:left])
            left -= len(text)
        if not any(piece.strip() for piece in pieces) and self._part(_REPORTS | _ORIGINALS) is None:
            return encoded.to_text(self._message.octets[self._message.head_size :][:MAX_TEXT])  # a multipart nobody can take apart
        return "\n\n".join(pieces)


def _is_quoted(line: str) -> bool:
    return line.lstrip("> \t").split(":")[0].casefold() in (
        "final-recipient", "original-recipient", "action", "status", "diagnostic-code", "remote-mta", "reporting-mta", "last-attempt-date",
        "arrival-date", "received-from-mta",
    )  # fmt: skip


def _first(fields: Fields, name: str) -> str:
    values = fields.get(name)
    return values[0] if values else ""


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value[:MAX_RECIPIENTS] if isinstance(item, dict)] if isinstance(value, list) else []


def _bounced(item: dict[str, Any]) -> Recipient:
    diagnostic = str(item.get("diagnosticCode", ""))[:1_000]
    status = status_in(str(item.get("status", ""))) or status_in(diagnostic)
    word = word_of(diagnostic, status, code_in(" " + diagnostic))
    return Recipient(
        address_of(str(item.get("emailAddress", ""))), "", str(item.get("action", "failed"))[:20] or "failed",
        status or status_for(word, False), diagnostic, "", word,
    )  # fmt: skip
