"""Who the message says it is from: the From field, the name shown for it, where answers go. What people look at is what is forged."""

from __future__ import annotations

import re

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import FromFlaw, Message
from jetmail.rules.analysis import hosts, letters
from jetmail.rules.analysis.content import Content, read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

MAX_REPLY_TO = 5  # who asks for answers to more has no one place in mind
_ADDRESS = re.compile(r"[a-z0-9._%+=-]{1,64}@((?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,18})", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,18}", re.IGNORECASE)
_NOISE = re.compile(r"[#*_~|^=<>{}$%!+]{2,}|,\s*_|\.{3,}|\s{3,}|^[#*_~|^=$%!+]|[#*_~|^=$%+]$|[a-z0-9]\|[a-z0-9]", re.IGNORECASE)
_TITLE = re.compile(r"^\W*(?:mrs?|ms|miss|dr|prof|sir|barr(?:ister)?|engr|rev|sgt|gen|capt|hon|madam|sister)\b[. ]", re.IGNORECASE)
_ROLE = re.compile(
    r"\b(?:support|security|account|billing|service|servicio|admin|administrator|helpdesk|help desk|"
    r"webmail|mailbox|notification|alert|verification|team|department|kundenservice|"
    r"sicherheit|soporte|atendimento|suporte|assistance|assistenza|reward|prize|winner|gewinn|delivery|bank|wallet|invoice|payment|refund|lottery|claims?)\b",
    re.IGNORECASE,
)


@implementer(IRule)
class Identity(ContentRule):
    """Findings about From, Reply-To and the names in them."""

    SYMBOLS = symbols(
        "Sender",
        ("FROM_MISSING", 2.5, "The message does not say who it is from."),
        ("FROM_SEVERAL", 2.0, "The message has several From fields, of which programs show different ones."),
        ("FROM_MALFORMED", 1.5, "The From field is malformed."),
        ("FROM_NO_NAME", 0.2, "The sender gives no name."),
        ("FROM_NAME_ADDRESS", 2.5, "The name of the sender shows another address than the one it is sent from."),
        ("FROM_NAME_HOST", 0.7, "The name of the sender shows a web site of another domain."),
        ("FROM_NAME_OWN", 2.5, "The name of the sender shows the recipient's own domain."),
        ("FROM_NAME_RECIPIENT", 1.0, "The name of the sender holds the recipient's own name."),
        ("FROM_BRAND", 3.0, "The name of the sender is that of a known company, the address is not."),
        ("FROM_BRAND_MENTION", 0.8, "The name of the sender mentions a known company, the address is elsewhere."),
        ("FROM_BRAND_IMITATED", 3.5, "The name of the sender imitates a known company with look-alike letters."),
        ("FROM_BRAND_HOST", 2.5, "The domain of the sender contains the name of a company it does not belong to."),
        ("FROM_ROLE_FREE_MAIL", 1.8, "A department writes from a free mail account."),
        ("FROM_NAME_MIXED", 2.5, "The name of the sender mixes alphabets within a word."),
        ("FROM_NAME_STYLED", 2.0, "The name of the sender is written in symbols instead of letters."),
        ("FROM_NAME_INVISIBLE", 2.0, "The name of the sender holds invisible characters."),
        ("FROM_NAME_PICTURES", 1.0, "The name of the sender has emoji in it."),
        ("FROM_NAME_NOISE", 1.0, "The name of the sender is decorated with punctuation."),
        ("FROM_NAME_TITLE", 0.7, "The sender makes much of a title."),
        ("FROM_NAME_CAPITALS", 0.5, "The name of the sender is in capitals."),
        ("FROM_RANDOM_DOMAIN", 1.5, "The domain of the sender is letters thrown together."),
        ("FROM_RANDOM_LOCAL", 1.0, "The address of the sender is letters thrown together."),
        ("FROM_RISKY_SUFFIX", 1.0, "The sender's domain is under a suffix that is abused a lot."),
        ("FROM_NO_DOMAIN", 1.5, "The domain of the sender cannot exist."),
        ("FROM_PUNYCODE", 1.0, "The sender's domain has letters that pass for others."),
        ("REPLY_TO_FREE_MAIL", 2.0, "Answers go to a free mail account, the message comes from elsewhere."),
        ("REPLY_TO_OTHER_FREE_MAIL", 1.8, "Answers go to another free mail account than the message comes from."),
        ("REPLY_TO_DIFFERS", 0.4, "Answers go to another domain than the message comes from."),
        ("REPLY_TO_RECIPIENT", 0.8, "Answers go to the recipient."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        flaw = message.sender.flaw
        if flaw is FromFlaw.MISSING:
            notes.add("FROM_MISSING")
            return
        if flaw is FromFlaw.SEVERAL_FIELDS:
            notes.add("FROM_SEVERAL")
        elif flaw is FromFlaw.MALFORMED and b"mailer-daemon" not in message.value(b"from")[:200].lower():
            notes.add("FROM_MALFORMED", message.text(b"from")[:100])
        self._name(notes, facts, content)
        self._brand(notes, content)
        self._address(notes, content)
        self._reply(notes, facts, content)

    def _name(self, notes: Notes, facts: Facts, content: Content) -> None:
        name, domain = content.name, content.domain
        if not name:
            notes.add("FROM_NO_NAME")
            return
        shown = _ADDRESS.search(name)
        own = {recipient.address.domain for recipient in facts.recipients[:20]}
        if shown is not None:
            other = shown[1].lower()
            if hosts.registrable(other) != content.registered:
                is_own = any(other == each or other.endswith("." + each) for each in own)
                notes.add("FROM_NAME_OWN" if is_own else "FROM_NAME_ADDRESS", name[:100])
        else:
            folded = letters.folded(name)
            if any(each in folded and each != domain and not domain.endswith("." + each) for each in own):
                notes.add("FROM_NAME_OWN", name[:100])
            elif (host := _HOST.search(name)) is not None and hosts.host_shown(host[0]) and hosts.registrable(host[0].lower()) != content.registered:
                notes.add("FROM_NAME_HOST", name[:100])
        is_relayed = shown is not None and shown[1].lower() not in own  # as services do that hide people's addresses; found above already
        if not is_relayed and any(len(recipient.address.local) >= 4 and recipient.address.local.lower() in name.lower()
                                  and recipient.address.domain != domain for recipient in facts.recipients[:20]):  # fmt: skip
            notes.add("FROM_NAME_RECIPIENT", name[:100])
        if letters.mixed_words(name):
            notes.add("FROM_NAME_MIXED", name[:100])
        if letters.styled(name) >= 2:
            notes.add("FROM_NAME_STYLED", name[:100])
        if letters.INVISIBLE.search(name):
            notes.add("FROM_NAME_INVISIBLE", name[:100])
        if letters.pictures(name):
            notes.add("FROM_NAME_PICTURES", name[:100])
        if _NOISE.search(name) and shown is None:
            notes.add("FROM_NAME_NOISE", name[:100])
        if _TITLE.match(name):
            notes.add("FROM_NAME_TITLE", name[:100])
        if len(name) > 8 and name.isupper() and " " in name:
            notes.add("FROM_NAME_CAPITALS", name[:100])

    def _brand(self, notes: Notes, content: Content) -> None:
        brands = self.maps.brands
        seen = brands.in_name(content.name) if content.name else None
        if seen is not None and content.domain and not brands.owns(seen.name, content.domain):
            word = "FROM_BRAND_IMITATED" if seen.imitated else "FROM_BRAND" if seen.alone else "FROM_BRAND_MENTION"
            notes.add(word, f"{content.name[:80]} at {content.domain}")
        elif seen is not None and seen.imitated:
            notes.add("FROM_BRAND_IMITATED", content.name[:80])
        if content.domain and (brand := brands.in_host(content.domain)):
            notes.add("FROM_BRAND_HOST", f"{brand} in {content.domain}")

    def _address(self, notes: Notes, content: Content) -> None:
        domain = content.domain
        if not domain:
            return
        free = content.registered in self.maps.places.free_mail or domain in self.maps.places.free_mail
        label = content.registered.partition(".")[0]
        if "." not in domain and not domain.startswith("["):
            notes.add("FROM_NO_DOMAIN", domain)
        if free and content.local.lower() not in ("mailer-daemon", "postmaster") and _ROLE.search(letters.folded(content.name)):
            notes.add("FROM_ROLE_FREE_MAIL", content.name[:100])
        if letters.looks_random(label) and not free:
            notes.add("FROM_RANDOM_DOMAIN", domain)
        if letters.looks_shaken(content.local) and len(content.local) < 24 and not free:
            notes.add("FROM_RANDOM_LOCAL", content.local)
        if domain.rpartition(".")[2] in self.maps.places.risky_suffixes:
            notes.add("FROM_RISKY_SUFFIX", domain)
        if "xn--" in domain and letters.mixed_words(hosts.readable(domain)):
            notes.add("FROM_PUNYCODE", hosts.readable(domain))

    def _reply(self, notes: Notes, facts: Facts, content: Content) -> None:
        if not content.reply_to or not content.domain or content.is_list:
            return
        free_mail = self.maps.places.free_mail
        address, *others = (box.address for box in content.reply_to[:MAX_REPLY_TO] if box.address is not None)
        if content.registered not in free_mail:
            for other in others:  # beside one that is as it should be
                if other.domain in free_mail or hosts.registrable(other.domain) in free_mail:
                    notes.add("REPLY_TO_FREE_MAIL", str(other))
        registered = hosts.registrable(address.domain)
        if any(address.key == recipient.address.key for recipient in facts.recipients[:20]):
            notes.add("REPLY_TO_RECIPIENT", str(address))
        elif registered in free_mail or address.domain in free_mail:
            if registered != content.registered and content.registered not in free_mail:
                notes.add("REPLY_TO_FREE_MAIL", str(address))
            elif address.local.lower() != content.local.lower():
                notes.add("REPLY_TO_OTHER_FREE_MAIL", str(address))
        elif registered != content.registered:
            notes.add("REPLY_TO_DIFFERS", str(address))
