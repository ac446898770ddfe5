"""What a webhook's fields may be: each checked, and named with the reason when it is wrong (UsageError; ConflictError for a name that is taken)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from jetmail.actions import access
from jetmail.actions.access import Actor, Object
from jetmail.errors import ConflictError, UsageError
from jetmail.mail.address import AddressError, parse, parse_domain
from jetmail.mail.webhook import PATTERNS
from jetmail.store.database import Connection
from jetmail.store.directory import principals, webhooks
from jetmail.store.directory.webhooks import Webhook

MAX_USERS = 50
MAX_DOMAINS = 50
MAX_URL = 2_000
MAX_NAME = 64


def checked(conn: Connection, actor: Actor, before: Webhook, changes: Mapping[str, Any]) -> Webhook:
    """`before` with the changes, each looked at; the URL last, as what it may be depends on allow_private."""
    hook = before
    if "name" in changes:
        hook = replace(hook, name=_name(conn, changes["name"], hook))
    if "events" in changes:
        hook = replace(hook, events=_events(changes["events"]))
    if "smtp_users" in changes:
        hook = replace(hook, smtp_users=_users(conn, actor, changes["smtp_users"], hook.account_id))
    if "domains" in changes:
        hook = replace(hook, domains=_domains(changes["domains"]))
    if "is_enabled" in changes:
        hook = replace(hook, is_enabled=_flag("is_enabled", changes["is_enabled"]))
    url = changes.get("url", hook.url)
    if url != before.url and not actor.is_admin:
        hook = replace(hook, allow_private=False)
    if "allow_private" in changes:
        wanted = _flag("allow_private", changes["allow_private"])
        if wanted and not actor.is_admin and not hook.allow_private:
            raise UsageError("allow_private", "only an administrator of the appliance may allow this")
        hook = replace(hook, allow_private=wanted)
    return replace(hook, url=_url(url, hook.allow_private))


def _name(conn: Connection, text: str, hook: Webhook) -> str:
    name = text.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError("name", f"must be 1 to {MAX_NAME} printable characters")
    if any(other.account_id == hook.account_id and other.uuid != hook.uuid for other in webhooks.named(conn, name)):
        raise ConflictError(f"the webhook {name} is here already")
    return name


def _url(text: str, allow_private: bool) -> str:
    url = text.strip()
    if not url or len(url) > MAX_URL:
        raise UsageError("url", f"must be an address of 1 to {MAX_URL} characters, such as https://example.com/hook")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UsageError("url", "holds characters that an URL cannot; write them as %xx, and a host name in its xn-- form")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("url", f"'{url[:200]}': {error}") from None
    if parts.scheme not in ("https", "http"):
        raise UsageError("url", "must begin with https://")
    if parts.scheme == "http" and not allow_private:
        raise UsageError("url", "must begin with https://; http is only for webhooks an administrator allows private addresses for")
    if "@" in parts.netloc:
        raise UsageError("url", "must not hold a user name or password; what comes from here is proved by its signature")
    if parts.fragment or "#" in url:
        raise UsageError("url", "must not have a #fragment: it would not be sent")
    if port == 0:
        raise UsageError("url", "port 0 is no port")
    _check_host(host, allow_private)
    return url


def _check_host(host: str, allow_private: bool) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        if not allow_private and not address.is_global:
            raise UsageError("url", f"{host} is no public address; only an administrator may allow it (allow_private)")
        return
    if allow_private and host == "localhost":
        raise UsageError("url", "write 127.0.0.1 or [::1]: names are looked up in DNS")
    try:
        parse_domain(host)
    except AddressError as error:
        raise UsageError("url", f"the host '{host[:100]}': {error}") from None


def _events(given: Iterable[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip().lower() for word in given))
    if not words:
        raise UsageError("events", f"say at least one of: {', '.join(PATTERNS)}")
    for word in words:
        if word not in PATTERNS:
            raise UsageError("events", f"'{word[:60]}' is none of: {', '.join(PATTERNS)}")
    return words


def _users(conn: Connection, actor: Actor, given: Iterable[str], account_id: int | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(given))
    if len(names) > MAX_USERS:
        raise UsageError("smtp_users", f"{len(names)} are too many; {MAX_USERS} at most")
    made = []
    for name in names:
        user = principals.get(conn, name.lower()) or principals.named(conn, _key(name))
        is_known = user is not None and access.may(actor, access.SENDING, Object(account_id=user.account_id))
        if user is None or not is_known or (account_id is not None and user.account_id != account_id):
            raise UsageError("smtp_users", f"no such user of this account: {name[:100]}")
        made.append(user.uuid)
    return tuple(dict.fromkeys(made))


def _key(name: str) -> str:
    try:
        return parse(name).key if "@" in name else name.lower()
    except AddressError:
        return name.lower()


def _domains(given: Iterable[str]) -> tuple[str, ...]:
    made = []
    for text in dict.fromkeys(given):
        try:
            made.append(parse_domain(text.strip()))
        except AddressError as error:
            raise UsageError("domains", f"'{text[:100]}': {error}") from None
    if len(made) > MAX_DOMAINS:
        raise UsageError("domains", f"{len(made)} are too many; {MAX_DOMAINS} at most")
    return tuple(dict.fromkeys(made))


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(field, "must be true or false")
    return value
