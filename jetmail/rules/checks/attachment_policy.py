"""Attachments a domain does not take, whoever sends them: by what a file is, by its extension, within archives, and what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail import filetype
from jetmail.mail.reply import Reply
from jetmail.rules.analysis.files import File, read_files
from jetmail.rules.attachments import AttachmentPolicy
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, OnError, Ruling, Scope, Stage, Verdict

REFUSED = Ruling(Action.REJECT, "attachment")
HELD = Ruling(Action.QUARANTINE, "attachment", Reply(250, "2.0.0", "OK"))


@implementer(IRule)
class AttachmentRule(Rule):
    """Refuses a message with an attachment the recipient's domain does not take, or holds it, as the domain has chosen (reason attachment)."""

    stage = Stage.CONTENT
    kind = Kind.POLICY
    scope = Scope.RECIPIENT
    on_error = OnError.DEFER

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        wanted = policy.attachments
        if not wanted or facts.message is None:
            return NO_OPINION
        for file in facts.message.once(read_files):
            for fault in _faults(wanted, file):
                finding = Finding("ATTACHMENT_POLICY", 0.0, f"{file.name[:150]}: {fault}")
                return Verdict((finding,), REFUSED if wanted.action == "reject" else HELD)
        return NO_OPINION


def _faults(wanted: AttachmentPolicy, file: File) -> Iterator[str]:
    """What the policy has against a file."""
    extension = file.part.extension
    families = {file.kind.family, filetype.family_of(extension)}
    if file.kind.name in ("ooxml", "odf"):
        families.discard("archive")
    if "macro" in file.traits or extension in filetype.MACRO_EXTENSIONS:
        families.add("macro")
    yield from (f"{family} ({file.kind.name})" for family in sorted(families & wanted.types))
    if extension in wanted.extensions:
        yield f"extension {extension}"
    if wanted.locked and "locked" in file.traits:
        yield "locked"
    if wanted.archives and (file.kind.family == "archive" or file.kind.name == "tnef"):
        for member in file.listing.members:
            inner = {member.kind.family, filetype.family_of(member.extension)} | (
                {"macro"} if "macro" in member.traits or member.extension in filetype.MACRO_EXTENSIONS else set()
            )
            if inner & wanted.types:
                yield f"{member.name[:150]} within: {min(inner & wanted.types)}"
            if member.extension in wanted.extensions:
                yield f"{member.name[:150]} within: extension {member.extension}"
