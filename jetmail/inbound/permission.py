"""As whom somebody may send (spec 5.2, 6.10, 7.2, 7.5): pure over the directory.

An SMTP user may send from the domains of its mode, and as addresses granted to it one by one; what is not allowed is refused as `acl`. A person
may send as itself, while its domain is a verified outbound domain of its account, and as what was granted to it, its own aliases not excepted (spec
7.27); anything else is `not-owned`. The envelope's sender and every address in From must be allowed; the null sender is judged by From alone. A From
that cannot be read speaks for nobody, so only mode `any` may send it.
"""

from __future__ import annotations

from jetmail.inbound.principal import Principal, PrincipalKind
from jetmail.mail.address import Address
from jetmail.mail.message import From
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Ruling, Verdict
from jetmail.store.directory.cache import Directory
from jetmail.store.directory.smtp_users import SmtpUser

ACL = Ruling(Action.REJECT, "acl")
NOT_OWNED = Ruling(Action.REJECT, "not-owned")


def mode_of(directory: Directory, user: SmtpUser) -> str:
    """The mode that counts: 'any' is for accounts of plan pro, and without that is 'default'."""
    if user.mode != "any":
        return user.mode
    account = directory.account(user.account_id)
    return "any" if account is not None and account.plan == "pro" else "default"


def judge(directory: Directory, principal: Principal, user: SmtpUser | None, sender: Address | None, author: From) -> Verdict:
    """NO_OPINION, or the refusal with the reason in private words. `user` is the principal's row, None for a person."""
    problem = "" if sender is None else of_address(directory, principal, user, sender, "envelope sender")
    problem = problem or of_author(directory, principal, user, author)
    if not problem:
        return NO_OPINION
    if principal.kind is PrincipalKind.MAILBOX:
        return Verdict((Finding("SENDER_NOT_OWNED", 0.0, problem),), NOT_OWNED)
    return Verdict((Finding("SENDER_NOT_ALLOWED", 0.0, problem),), ACL)


def of_author(directory: Directory, principal: Principal, user: SmtpUser | None, author: From) -> str:
    """'' or why what stands in From may not."""
    if user is not None and mode_of(directory, user) == "any":
        return ""
    if not author.mailboxes:
        return "From is missing or cannot be read"
    for mailbox in author.mailboxes:
        if mailbox.address is None:
            return "From names something that is no address"
        if problem := of_address(directory, principal, user, mailbox.address, "From"):
            return problem
    return ""


def of_address(directory: Directory, principal: Principal, user: SmtpUser | None, address: Address, where: str) -> str:
    """'' or why the principal may not send as the address."""
    if user is None:
        if directory.may_send_as(address.key, principal.id):
            return ""
        if address.key != principal.name:
            return f"{where} {address}: not this person's own address, and not granted to them"
        if directory.outbound_account(address.domain) == principal.account_id:
            return ""
        return f"{where} {address}: {address.domain} is no verified outbound domain of the account"
    mode = mode_of(directory, user)
    if mode == "any":
        return ""
    if mode == "all":
        if directory.outbound_account(address.domain) == user.account_id:
            return ""
        reason = f"{address.domain} is no verified outbound domain of the account (mode all)"
    else:
        if is_assigned(address.domain, user.domains):
            return ""
        lapsed = ", mode any needs plan pro and counts as default" if user.mode == "any" else ""
        reason = f"{address.domain} is not among the {len(user.domains)} domains assigned to this user (mode default{lapsed})"
    return "" if directory.may_send_as(address.key, principal.id) else f"{where} {address}: {reason}"


def is_assigned(domain: str, assigned: tuple[str, ...]) -> bool:
    """Whether a domain is one of them; '*.example.com' is every name below example.com and not example.com itself."""
    if domain in assigned:
        return True
    _, dot, parent = domain.partition(".")
    while dot:
        if f"*.{parent}" in assigned:
            return True
        _, dot, parent = parent.partition(".")
    return False
