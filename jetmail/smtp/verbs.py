"""The commands of an SMTP server session, one method each, and the table that names them (RFC 5321 4.1, RFC 3030, RFC 3207, RFC 4954).

A method takes the command's argument and returns the event to ask, or None when it has answered. It may raise grammar.Refused.
"""

from __future__ import annotations

from collections.abc import Callable

from jetmail.mail.reply import Reply
from jetmail.smtp import answers, grammar, sasl
from jetmail.smtp.content import BdatContent, DataContent
from jetmail.smtp.conversation import Conversation, Phase
from jetmail.smtp.events import DATA, STARTTLS, Auth, Event, Helo, Idle, Mail, Rcpt

_HTTP = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT"))


class Verbs(Conversation):
    """The commands."""

    __slots__ = ()

    def _command(self, line: bytes) -> Event | None:
        """One command line without its CRLF."""
        verb, _, argument = line.partition(b" ")
        method = _VERBS.get(verb) or _VERBS.get(verb.upper())
        if method is None:
            # A browser made to speak to us (cross-protocol attack) brings its commands in the body: hear none of them.
            return self._close(answers.NOT_SMTP) if verb in _HTTP else self._error(answers.UNKNOWN)
        if self.username is not None and method in _IDLE:
            return Idle(line)
        return self._obey(method, argument)

    def _go_on(self, event: Idle, answer: Reply | None) -> Event | None:
        """The command of an Idle, when its author may stay."""
        verb, _, argument = event.line.partition(b" ")
        return self._obey(_VERBS[verb.upper()], argument) if answer is None else self._close(answer)

    def _obey(self, method: Callable[[Verbs, bytes], Event | None], argument: bytes) -> Event | None:
        try:
            return method(self, argument.strip(b" \t"))
        except grammar.Refused as refused:
            return self._error(refused.reply)

    def _helo(self, argument: bytes) -> Event | None:
        return self._greet(grammar.parse_helo(argument), extended=False)

    def _ehlo(self, argument: bytes) -> Event | None:
        return self._greet(grammar.parse_helo(argument), extended=True)

    def _greet(self, name: str, extended: bool) -> Event | None:
        if self._at < len(self._buffer):
            return self._close(answers.OUT_OF_STEP)
        self._chunk_refusal = None
        self._junk += 1
        if self._junk > self._options.max_junk:
            return self._answer(answers.TOO_MUCH_JUNK)
        # RFC 5321 4.1.4: a later EHLO is also a RSET.
        return self._give_up(Helo(name, extended))

    def _mail(self, argument: bytes) -> Event | None:
        self._chunk_refusal = None
        options = self._options
        if not self._has_helo:
            return self._error(answers.HELO_FIRST)
        if options.is_submission:
            if not self._tls:
                return self._error(answers.TLS_FIRST)
            if self.username is None:
                return self._error(answers.AUTH_FIRST)
        if self._sender is not None:
            return self._error(answers.NESTED_MAIL)
        if self._messages >= options.max_messages:
            return self._answer(answers.TOO_MANY_MESSAGES)
        return Mail(grammar.parse_mail(argument, options.offers_in_tls if self._tls else options.offers_in_clear))

    def _rcpt(self, argument: bytes) -> Event | None:
        if self._sender is None:
            return self._error(answers.MAIL_FIRST)
        if self._content is not None:
            return self._error(answers.BDAT_STARTED)
        recipient = grammar.parse_rcpt(argument, self._sender.smtputf8, self._options.hostname)
        if self._recipients >= self._options.max_recipients:
            return self._answer(answers.TOO_MANY_RECIPIENTS)
        return Rcpt(recipient)

    def _data(self, argument: bytes) -> Event | None:
        if self._at < len(self._buffer):
            # Whoever sends content before 354 has it read as commands when DATA is refused.
            return self._close(answers.OUT_OF_STEP, answers.OUT_OF_STEP)
        if argument:
            return self._error(answers.NO_ARGUMENT)
        if self._sender is None:
            return self._error(answers.MAIL_FIRST)
        if self._content is not None:
            return self._error(answers.BDAT_STARTED)
        if not self._recipients:
            return self._error(answers.NO_RECIPIENTS)
        options = self._options
        self._content = DataContent(options.max_size, options.max_overrun, options.max_text_line)
        return DATA

    def _bdat(self, argument: bytes) -> Event | None:
        try:
            size, last = grammar.parse_bdat(argument)
        except grammar.Refused as refused:
            # Nobody can tell how many octets follow that are not commands.
            return self._close(refused.reply)
        options = self._options
        refusal = self._chunk_refusal
        if refusal is None and self._sender is None:
            refusal = answers.MAIL_FIRST
        elif refusal is None and not self._recipients:
            refusal = answers.NO_RECIPIENTS
        if refusal is not None:
            if size > options.max_size + options.max_overrun:
                return self._close(refusal)
            return self._skip_chunk(size, last, refusal)
        content = self._content
        if not isinstance(content, BdatContent):
            content = self._content = BdatContent(options.max_size, options.max_overrun, options.max_text_line)
            question: Event | None = DATA
        else:
            question = None
        content.begin(size, last)
        if content.is_fatal:
            return self._close(content.refusal)
        self.phase = Phase.BDAT
        return question

    def _skip_chunk(self, size: int, last: bool, refusal: Reply) -> Event | None:
        self.phase = Phase.SKIP
        self._skip = size
        self._skip_reply = refusal
        self._chunk_refusal = None if last else refusal
        return None

    def _rset(self, argument: bytes) -> Event | None:
        self._chunk_refusal = None
        if argument:
            return self._error(answers.NO_ARGUMENT)
        return self._harmless(answers.OK) or self._give_up()

    def _noop(self, argument: bytes) -> Event | None:
        return self._harmless(answers.OK)

    def _vrfy(self, argument: bytes) -> Event | None:
        return self._harmless(answers.VRFY) if argument else self._error(answers.VRFY_SYNTAX)

    def _expn(self, argument: bytes) -> Event | None:
        return self._error(answers.NOT_IMPLEMENTED)

    def _help(self, argument: bytes) -> Event | None:
        return self._harmless(self._options.help_in_tls if self._tls else self._options.help_in_clear)

    def _quit(self, argument: bytes) -> Event | None:
        return self._error(answers.NO_ARGUMENT) if argument else self._close(answers.BYE)

    def _starttls(self, argument: bytes) -> Event | None:
        if argument:
            return self._error(answers.NO_ARGUMENT)
        if self._tls:
            return self._error(answers.TLS_ALREADY)
        if not self._options.tls_available:
            return self._error(answers.NO_TLS)
        return self._give_up(STARTTLS)

    def _auth(self, argument: bytes) -> Event | None:
        if not self._options.is_submission:
            return self._error(answers.AUTH_NOT_OFFERED)
        if not self._tls:
            return self._error(answers.AUTH_NEEDS_TLS)
        if not self._has_helo:
            return self._error(answers.HELO_FIRST)
        if self.username is not None:
            return self._error(answers.AUTH_ALREADY)
        if self._sender is not None:
            return self._error(answers.AUTH_IN_TRANSACTION)
        mechanism, initial = grammar.parse_auth(argument)
        if mechanism not in sasl.MECHANISMS:
            return self._error(answers.AUTH_MECHANISM)
        self.phase = Phase.AUTH
        self._exchange = sasl.Exchange(mechanism)
        return self._authenticate(self._exchange.begin(initial))

    def _respond(self, line: bytes) -> Event | None:
        """One line of an AUTH exchange."""
        return self._authenticate(self._exchange.step(line)) if self._exchange else None

    def _authenticate(self, step: bytes | sasl.Credentials | Reply) -> Event | None:
        if isinstance(step, bytes):
            self._out += step
            return None
        self._end_exchange()
        if isinstance(step, Reply):
            return self._auth_failed(step) if step is answers.AUTH_FAILED else self._error(step)
        return Auth(step.mechanism, step.username, step.password)

    def _end_exchange(self) -> None:
        self._exchange = None
        self.phase = Phase.COMMAND

    def _auth_failed(self, reply: Reply) -> Event | None:
        self._auth_failures += 1
        ended = self._answer(reply)
        if ended is None and self._auth_failures >= self._options.max_auth_failures:
            return self._close(answers.TOO_MANY_ERRORS)
        return ended


_VERBS: dict[bytes, Callable[[Verbs, bytes], Event | None]] = {
    b"HELO": Verbs._helo,
    b"EHLO": Verbs._ehlo,
    b"MAIL": Verbs._mail,
    b"RCPT": Verbs._rcpt,
    b"DATA": Verbs._data,
    b"BDAT": Verbs._bdat,
    b"RSET": Verbs._rset,
    b"NOOP": Verbs._noop,
    b"VRFY": Verbs._vrfy,
    b"EXPN": Verbs._expn,
    b"HELP": Verbs._help,
    b"QUIT": Verbs._quit,
    b"STARTTLS": Verbs._starttls,
    b"AUTH": Verbs._auth,
}
# What says nothing about mail, so that the receiver would not hear of it.
_IDLE = frozenset((Verbs._rset, Verbs._noop, Verbs._vrfy, Verbs._expn, Verbs._help))
