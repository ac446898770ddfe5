"""Who has signed in: the value ILogin gives and a session keeps.

It names a person, it does not describe one: what they may do is read from the directory at every question, so that a change counts at once. `stamp`
is what the sign-in was proved by; when the directory holds another one, the session is over.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from jetmail.mail.reply import Reply


class PrincipalKind(Enum):
    """An SMTP user (an app, a mail server), or a person with a mailbox."""

    SMTP_USER = "smtp-user"
    MAILBOX = "mailbox"


class Principal(NamedTuple):
    """`id` is the uuid: what the store keeps and strangers see. `name` is what they signed in with, an SMTP user's name or a person's Address.key; it
    never leaves the house."""

    id: str
    name: str
    account_id: int
    kind: PrincipalKind = PrincipalKind.SMTP_USER
    stamp: str = ""


class Login(NamedTuple):
    """ILogin's answer: `reply` is 235 with a `principal`, or a refusal without. `why` is for the log only: what a stranger must not learn."""

    reply: Reply
    principal: Principal | None = None
    why: str = ""
