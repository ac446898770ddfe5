"""What keeps a message from a peer altogether: what it needs and the peer's EHLO does not offer. Pure.

The answer is NEVER 'unsupported', without sending:
- larger than the peer's SIZE: 552 5.3.4;
- SMTPUTF8 needed and not offered: 550 5.6.7 (RFC 6531 3.5), for those recipients who need it, or all when the sender or the header does. Mail
  flagged SMTPUTF8 whose addresses and header are ASCII after all goes as ordinary mail;
- 8-bit content, no 8BITMIME, and the options forbid to send it anyway: 554 5.6.3;
- REQUIRETLS (RFC 8689 4.2.1) without a verified certificate and REQUIRETLS: 550 5.7.30.

Raises nothing.
"""

from __future__ import annotations

from jetmail.mail.reply import Reply
from jetmail.outbound.job import Job
from jetmail.smtp.extensions import Extensions

TOO_BIG = Reply(552, "5.3.4", "the message is larger than the destination accepts")
NEEDS_UTF8 = Reply(550, "5.6.7", "the destination does not support internationalised mail (SMTPUTF8)")
NEEDS_8BIT = Reply(554, "5.6.3", "the destination does not support 8-bit content (8BITMIME)")
NEEDS_TLS = Reply(550, "5.7.30", "the destination does not support REQUIRETLS")


def unsupported(job: Job, extensions: Extensions, is_verified: bool, send_8bit_anyway: bool) -> Reply | None:
    """Why this message cannot go to this peer, whoever its recipients are. `is_verified`: its certificate was."""
    if job.message.requiretls and not (extensions.requiretls and is_verified):
        return NEEDS_TLS
    if extensions.size and job.content.size > extensions.size:
        return TOO_BIG
    if not extensions.smtputf8 and needs_utf8(job):
        return NEEDS_UTF8
    if not extensions.eightbit and not send_8bit_anyway and is_8bit(job):
        return NEEDS_8BIT
    return None


def is_8bit(job: Job) -> bool:
    """The content is declared or seen to have octets above 127."""
    data = job.content.data
    return job.message.body == "8BITMIME" or (data is not None and not data.isascii())


def needs_utf8(job: Job) -> bool:
    """The sender or the header cannot go without SMTPUTF8."""
    message = job.message
    return not message.sender.isascii() or (message.smtputf8 and not job.header.isascii())
