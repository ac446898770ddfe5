"""What a diagnosis means, as one word of a closed list: pure, by the text first, then by the enhanced code, then by the reply code.

Peers put everything into 550 5.7.1 and 5.1.1; what they write beside it is mostly honest. So the text is asked first, in the order of the table, from
what can hardly be said of anything else to what is said of everything. RFC 3463 for the codes.
"""

from __future__ import annotations

import re

MAX_TEXT = 4_000  # characters of a diagnosis that are looked at

# word -> what it means, for people; `HARD`: writing to the address again is of no use.
WORDS = {
    "no-such-user": "the address does not exist",
    "mailbox-disabled": "the mailbox exists and takes no mail: suspended, inactive, closed",
    "mailbox-full": "the mailbox, or the disk behind it, is full",
    "moved": "the address has become another one",
    "host-unknown": "the domain does not exist, or nothing of it takes mail",
    "not-accepting": "the host or the domain takes no mail",
    "relay-denied": "the host does not relay for us",
    "authentication": "SPF, DKIM or DMARC did not satisfy the receiver",
    "blocked": "our address or its reputation is not liked",
    "rate-limited": "too much at a time",
    "spam": "the content is taken for spam",
    "virus": "the content is taken for malware",
    "too-big": "the message is larger than the receiver takes",
    "content": "something in the message is not allowed or malformed",
    "sender-refused": "the receiver does not want this sender",
    "policy": "the receiver's policy, not said further",
    "expired": "it was tried until its time was over",
    "network": "the host could not be reached, or the way leads in a circle",
    "tls": "no acceptable encryption",
    "system": "a fault of the receiver's system",
    "protocol": "one side did not understand the other",
    "unknown": "nothing says",
}
HARD = frozenset({"no-such-user", "mailbox-disabled", "moved", "host-unknown"})

_TABLE: tuple[tuple[str, str], ...] = (
    ("spam", r"due to spam|spam (?:content|classif|score|message)|(?:detected|identified|classified|considered) as spam|looks like spam|ube, id="),
    ("virus", r"virus|malware|infected|worm detected|trojan"),
    (
        "authentication",
        r"dmarc|\bspf\b|dkim.{0,40}(?:fail|invalid|check|pass|sign)|sender policy framework|unauthenticated|authentication (?:check|failed|"
        r"required)|"
        r"required authentication level|not authorized to send|email rejected per .*policy",
    ),
    (
        "sender-refused",
        r"(?:sender (?:address|domain|verif|host)|domain of sender|sender is).{0,80}(?:reject|denied|deny|not |n't|invalid|unknown|fail|refus)|"
        r"permission to post|not (?:a )?member|only members|backscatter|must be a (?:subscriber|member)|only accepts? (?:mail|messages) from",
    ),
    (
        "mailbox-full",
        r"mailbox.{0,40}full|full mailbox|mailfolder is full|over ?quota|quota exceeded|exceed\w* .{0,30}quota|mailbox .{0,60}over quota|"
        r"disk quota|exceeds? allowed size|insufficient (?:system|disk) storage|not enough (?:disk|storage) space|storage (?:quota|limit)|"
        r"exceeded .{0,30}storage|out of storage|mailbox size limit|no space left|user.{0,10} quota|mailbox limit|mailbox storage",
    ),
    (
        "rate-limited",
        r"too many (?:connections|messages|recipients|concurrent|errors|sessions|emails)|rate limit|throttl|receiving mail too quickly|"
        r"receiving mail at a rate|too fast|(?:hourly|daily) .{0,20}limit|limited .{0,20}per|frequency limited|slow down|"
        r"maximum number of .{0,20}messages",
    ),
    (
        "too-big",
        r"message size exceeds|size limit|too (?:big|large)|exceeds? (?:the )?(?:maximum|fixed|size|message)|larger than|message length exceeds|"
        r"line limit exceeded",
    ),
    (
        "blocked",
        r"cannot find your (?:reverse )?host|reverse dns|\bptr\b|\brdns\b|no reverse|hostname lookup|does not resolve|ip name lookup|resolve your|"
        r"block ?list|black ?list|block(?:ed)? (?:using|by|list|because)|spamhaus|spamcop|barracudacentral|cbl\.abuseat|\brbl\b|dnsbl|banned|"
        r"bad reputation|poor reputation|low reputation|reputation|(?<!not )listed (?:in|at|by|on)|dynamic ip|dial-?up|"
        r"client host .{0,60}(?:blocked|"
        r"rejected)|"
        r"weren.t sent|your (?:ip|host|server|network).{0,60}(?:block|denied|reject|not allowed)|insecure mail relay|invalid helo|"
        r"connection (?:refused|dropped) by policy|is blocked|from your mail server|helo|temporarily deferred .{0,30}user complaints|sc-00[1-4]|"
        r"mta-blocked|access from .{0,40}denied|ip address .{0,40}(?:block|black|listed|denied|not|reject)|invalid ip|"
        r"unverifyable|service not available|no smtp service|ip source bloqu|my name was rejected",
    ),
    ("spam", r"spam|\bjunk\b|unsolicited|\bbulk mail|\bube\b|\buce\b|content (?:rejected|filter)|message contains .{0,20}url|listed url|phish"),
    (
        "moved",
        r"no longer on server|destination (?:mailbox|address) has (?:been )?(?:moved|changed)|user .{0,20}has moved|has (?:been )?moved|moved to|"
        r"user has changed|address (?:has )?changed|please try (?:<|the new)|recipient has changed|is now known as|"
        r"new address is|no longer (?:valid|in use).{0,40}new",
    ),
    (
        "mailbox-disabled",
        r"(?:account|mailbox|user|recipient|box|address)\b.{0,60}(?:disabled|discontinued|inactive|suspended|closed|locked|deactivated|"
        r"unavailable for|"
        r"not active|expired|frozen)|(?:inactive|suspended|disabled|deactivated|closed) (?:user|account|mailbox|recipient)|"
        r"no longer (?:accept|on server|available)|mail receiving disabled|account.{0,30}(?:has been )?removed",
    ),
    (
        "no-such-user",
        r"user unknown|unknown (?:user|recipient|address|mailbox|local|account)|no such (?:user|recipient|mailbox|address|person|account|id)|"
        r"user (?:not found|does ?n.t (?:exist|have)|doesnt|is unknown|is not|not known|not exist|invalid)|(?:address|recipient|mailbox|"
        r"account).{0,60}"
        r"(?:not found|does ?n.t exist|does not exist|unknown|not exist|couldn.t be found|could not be found|not known|is not recognized|"
        r"not recognized|"
        r"not listed)|invalid (?:user|recipient|address|mailbox|local)|mailbox (?:unavailable|not (?:found|available))|no mailbox|not a (?:valid|"
        r"known) "
        r"(?:user|mailbox|recipient|address)|recipnotfound|recipient address(?:es)? rejected ?: ?access denied|bad (?:destination mailbox|"
        r"recipient|address)|"
        r"not our customer|(?:doesn.t|does not|do not|don.t) have (?:an?|any) .{0,60}account|not (?:in|listed in) .{0,40}(?:directory|address book)|"
        r"no (?:one|user|account|mail box) (?:here )?(?:by|with|of|named)|unrouteable address|unknown in|user .{0,80} not (?:listed|found|known)|"
        r"that name|undeliverable address|address (?:no longer|is no longer)|deliver to mailbox|nosuchuser|"
        r"\u5b9b\u5148\u30e1\u30fc\u30eb\u30a2\u30c9\u30ec\u30b9|\u898b\u3064\u304b\u308a\u307e\u305b\u3093|"
        r"\u898b\u4ed8\u304b\u3089\u306a\u3044|\u30ea\u30b9\u30c8\u306b\u3042\u308a\u307e\u305b\u3093",
    ),
    (
        "relay-denied",
        r"relay(?:ing)? (?:access )?(?:denied|not (?:allowed|permitted))|relaying (?:denied|prohibited)|not (?:permitted|allowed) to relay|"
        r"unable to relay|does not relay|relay not|won.t relay|rcpthosts|no relay",
    ),
    (
        "host-unknown",
        r"host (?:or domain )?(?:name )?(?:unknown|not found)|unknown (?:host|domain)|domain (?:name )?.{0,60}(?:not found|does not exist|"
        r"couldn.t be found|could not be found|not exist)|nxdomain|no such (?:host|domain)|unrouteable (?:mail )?domain|name service error|"
        r"couldn.t find any host|cannot find (?:a )?(?:gateway|host|mail exchanger)|could not find a gateway|no route to domain|illegal host|"
        r"bad destination (?:host|system)|not find any host named|all relevant mx records point to non-existent",
    ),
    (
        "not-accepting",
        r"does not accept (?:mail|email)|not accept(?:ing)? (?:mail|messages|any mail)|system not accepting|no mx found|null mx|nullmx|null ?mx|"
        r"smtp protocol returned a permanent|"
        r"couldn.t find a mail exchanger|no (?:mx|mail) (?:record|host|exchanger|server)|mx (?:is|points)|destination server does not accept|"
        r"host does not accept|no mail server",
    ),
    (
        "expired",
        r"retry time(?:out)? (?:not reached|exceeded)|queue too long|too long in (?:the )?queue|maximum (?:retry|time)|"
        r"(?:message|mail|delivery|it) .{0,40}(?:expired|timed? out)|delivery time expired|delivery temporarily suspended|has expired|"
        r"could not be delivered (?:for more|within|after)|been (?:in the queue|undeliver)|cannot be delivered after|retries exceeded|"
        r"failed \d+ attempts|failing for a long time|could not deliver for the last|aborted after|giv(?:e|ing) up (?:trying|after)|"
        r"was not delivered .{0,30}within|not (?:yet )?delivered .{0,30}(?:hours|days)|"
        r"could not send (?:mail|message) for (?:past|the last)|delivery .{0,30}delayed",
    ),
    (
        "tls",
        r"starttls|must issue a? ?starttls|\btls\b (?:is )?(?:required|handshake|negotiation)|encryption (?:required|needed)|certificate",
    ),
    (
        "network",
        r"connection (?:timed out|refused|reset|lost|dropped|closed|was|to)|no route to host|network (?:is )?(?:unreachable|error)|unreachable|"
        r"could not connect|connect(?:ed)? to|timed? ?out|mail (?:forwarding )?loop|too many hops|hop count|routing loop|loops? back|"
        r"lost connection|"
        r"wasn.t able to establish|unable to connect|delivery to .{0,60} hop|dns (?:error|lookup|server)|couldn.t be reached|no answer from host|"
        r"stopped responding|socket|couldn.t contact|protocol error|hostname resolution",
    ),
    (
        "content",
        r"malformed|bare (?:lf|cr)|header.{0,40}(?:missing|invalid|duplicate)|attachment|\bmime\b|8-?bit|missing (?:from|date)|"
        r"(?:message|mail) content|line (?:is )?too long|not rfc|rfc ?\d{3,4}|boundary|charset|format error",
    ),
    (
        "sender-refused",
        r"(?:sender|return path).{0,80}(?:rejected|denied|not (?:exist|allowed|valid)|does not|invalid|unknown|refused|verify)|"
        r"not allowed to (?:post|send)",
    ),
    (
        "policy",
        r"polic(?:y|ies)|access denied|not allowed|prohibited|administrat|security|denied|not permitted|rejected|refused|unacceptable|"
        r"violat|filter|blocked",
    ),
    (
        "system",
        r"system (?:error|failure|config|not|resources)|internal (?:error|server)|temporary (?:failure|error|problem)|local (?:error|"
        r"configuration)|configuration error|i/o error|lmtp|command (?:failed|died|output|time)|service (?:un|not |currently un|"
        r"temporarily un)available|"
        r"pipe|procmail|unexpected|server error|mailer error|can.t create|cannot (?:open|append)|trouble|resources|disk",
    ),
    ("protocol", r"syntax error|command (?:not|un)|bad sequence|unrecognized|not implemented|rcpt first|need (?:rcpt|mail)"),
)
_ADDRESS = re.compile(r"<?[^\s<>]{1,128}@[^\s<>:;,]{1,253}>?")
# What was refused before anybody was named says nothing of the recipient.
_BEFORE = re.compile(r"after (?:mail from|initial connection|ehlo|helo)|in reply to (?:mail from|helo|ehlo|end of mail)|(?:>>> )mail from", re.I)
_OF_RECIPIENT = frozenset({"no-such-user", "mailbox-disabled", "moved", "host-unknown"})
_PATTERNS = tuple((word, re.compile(pattern)) for word, pattern in _TABLE)

# RFC 3463 subject.detail; what the text did not tell. 7.x by RFC 7372 too.
_STATUS = {
    "1.0": "no-such-user", "1.1": "no-such-user", "1.2": "host-unknown", "1.3": "no-such-user", "1.4": "no-such-user", "1.6": "moved",
    "1.7": "sender-refused", "1.8": "sender-refused", "1.9": "relay-denied", "1.10": "not-accepting",
    "2.0": "policy", "2.1": "mailbox-disabled", "2.2": "mailbox-full", "2.3": "too-big", "2.4": "policy",
    "3.0": "system", "3.1": "mailbox-full", "3.2": "not-accepting", "3.3": "protocol", "3.4": "too-big", "3.5": "system",
    "4.0": "network", "4.1": "network", "4.2": "network", "4.3": "system", "4.4": "host-unknown", "4.5": "rate-limited", "4.6": "network",
    "4.7": "expired", "5.0": "protocol", "5.1": "protocol", "5.2": "protocol", "5.3": "rate-limited", "5.4": "protocol", "5.5": "protocol",
    "6.0": "content", "6.1": "content", "6.2": "content", "6.3": "content", "6.4": "content", "6.5": "content", "6.9": "content",
    "7.0": "policy", "7.1": "policy", "7.2": "policy", "7.9": "policy", "7.10": "tls", "7.13": "mailbox-disabled", "7.17": "no-such-user",
    "7.20": "authentication", "7.21": "authentication", "7.22": "authentication", "7.23": "authentication", "7.24": "authentication",
    "7.25": "blocked", "7.26": "authentication", "7.27": "not-accepting", "7.28": "rate-limited", "7.30": "tls",
    "7.509": "authentication", "7.515": "authentication", "7.606": "blocked",
}  # fmt: skip
_SURE = frozenset({
    "1.2", "1.6", "1.7", "1.8", "2.2", "2.3", "3.4", "7.13", "7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.28",
    "7.509", "7.515", "7.606",
})  # fmt: skip
_VAGUE = frozenset({"policy", "protocol", "system", "network"})
_CODES = {"552": "mailbox-full", "550": "policy", "551": "no-such-user", "553": "sender-refused", "554": "policy", "421": "system", "450": "system",
    "451": "system", "452": "mailbox-full", "500": "protocol", "501": "protocol", "502": "protocol", "503": "protocol", "504": "protocol",
    "521": "not-accepting", "556": "not-accepting", "530": "authentication", "535": "authentication"}  # fmt: skip

# What stands for a status where a notice names none (RFC 3463 detail of each word).
_DETAIL = {
    "no-such-user": "1.1", "mailbox-disabled": "2.1", "mailbox-full": "2.2", "moved": "1.6", "host-unknown": "1.2", "not-accepting": "3.2",
    "relay-denied": "7.1", "authentication": "7.26", "blocked": "7.1", "rate-limited": "7.28", "spam": "7.1", "virus": "7.1", "too-big": "3.4",
    "content": "6.0", "sender-refused": "1.8", "policy": "7.1", "expired": "4.7", "network": "4.1", "tls": "7.10", "system": "3.0",
    "protocol": "5.0", "unknown": "0.0",
}  # fmt: skip


def word_of(diagnosis: str, status: str = "", code: str = "") -> str:
    """The word for what was said: a key of WORDS."""
    word = _said(diagnosis, status[2:], code)
    return "sender-refused" if word in _OF_RECIPIENT and _BEFORE.search(diagnosis[:MAX_TEXT]) else word


def _said(diagnosis: str, detail: str, code: str) -> str:
    if detail in _SURE:
        return _STATUS[detail]
    text = _ADDRESS.sub(" ", diagnosis[:MAX_TEXT].casefold()).replace("\u2019", "'")
    for word, pattern in _PATTERNS:
        if pattern.search(text):
            if word in ("policy", "system", "protocol", "network") and _STATUS.get(detail, "policy") not in _VAGUE:
                return _STATUS[detail]
            return word
    return _STATUS.get(detail) or _CODES.get(code) or "unknown"


def status_for(word: str, is_delayed: bool, code: str = "") -> str:
    """The enhanced code a report would have had."""
    is_transient = is_delayed or code.startswith("4") or (not code and word in ("expired", "network"))
    return f"{'4' if is_transient else '5'}.{_DETAIL[word]}"
