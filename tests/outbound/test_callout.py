"""Asking a destination whether a recipient exists: what its answers mean, and that it never takes long or sends anything."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError

from jetmail.interfaces import Existence
from jetmail.mail.address import parse
from jetmail.mail.reply import Reply
from jetmail.outbound.callout import Callout, read
from tests.fakes import CLOSE, STALL, FakePeer
from tests.outbound.delivering import EHLO_BARE, AttemptCase, job


@pytest.mark.parametrize(
    ("code", "enhanced", "existence"),
    [
        (250, "2.1.5", Existence.YES),
        (550, "5.1.1", Existence.NO),
        (550, "", Existence.NO),
        (553, "5.1.3", Existence.NO),
        (550, "5.4.1", Existence.NO),
        (550, "5.2.1", Existence.NO),
        (552, "5.2.2", Existence.YES),
        (452, "4.2.2", Existence.YES),
        (552, "", Existence.YES),
        (550, "5.7.1", Existence.UNKNOWN),
        (554, "5.7.1", Existence.UNKNOWN),
        (554, "", Existence.UNKNOWN),
        (450, "4.2.0", Existence.UNKNOWN),
        (452, "", Existence.UNKNOWN),
    ],
)
def test_answers(code: int, enhanced: str, existence: Existence) -> None:
    """Only what is said about the mailbox counts for or against it."""
    assert read(Reply(code, enhanced, "words")) is existence


class CalloutTests(AttemptCase):
    """Of Callout."""

    def ask(self, seconds: int = 0, address: str = "bob@a.test") -> list[Any]:
        """Ask, let everything flow, wait."""
        found: list[Any] = []
        Callout(self.deliverer, 20.0).ask(parse(address)).addCallback(found.append)
        self.dialer.pump()
        if seconds:
            self.run_clock(seconds)
        return found

    def test_yes(self) -> None:
        """A host that would take it: yes; it was asked with the null sender, and sent nothing."""
        self.peer({})
        self.assertEqual(self.ask(), [Existence.YES])
        self.assertEqual(self.dialer.made[0].lines[1:], ["MAIL FROM:<>", "RCPT TO:<bob@a.test>"])
        self.assertEqual(self.dialer.made[0].messages, [])

    def test_no(self) -> None:
        """A host that knows nobody of that name: no. Without PIPELINING too."""
        for ehlo in (None, EHLO_BARE):
            self.setUp()
            answers = {"RCPT": b"550 5.1.1 no such user\r\n"} | ({"EHLO": ehlo} if ehlo else {})
            self.peer(answers)
            self.assertEqual(self.ask(), [Existence.NO])

    def test_refused_sender(self) -> None:
        """A host that refuses the null sender has said nothing about the recipient."""
        for ehlo in (None, EHLO_BARE):
            self.setUp()
            self.peer({"MAIL": b"550 5.1.1 no null sender\r\n", "RCPT": b"503 5.5.1 what\r\n"} | ({"EHLO": ehlo} if ehlo else {}))
            self.assertEqual(self.ask(), [Existence.UNKNOWN])

    def test_next_host(self) -> None:
        """A host that cannot be reached, or turns us away in greeting, leaves the answer to the next."""
        for first in (ConnectionRefusedError(), {"banner": b"421 4.3.2 busy\r\n"}, {"banner": CLOSE}):
            self.setUp()
            self.peer(first, {"RCPT": b"550 5.1.1 nobody\r\n"})
            self.assertEqual(self.ask(), [Existence.NO])

    def test_nobody_there(self) -> None:
        """No host at all: cannot tell, and the next question does not dial the dead again."""
        self.peer(ConnectionRefusedError(), ConnectionRefusedError())
        self.assertEqual(self.ask(), [Existence.UNKNOWN])
        self.assertEqual(self.ask(), [Existence.UNKNOWN])
        self.assertEqual(len(self.dialer.dialled), 2)

    def test_silence(self) -> None:
        """A host that does not answer in time: cannot tell, and the connection is given up."""
        self.peer({"RCPT": STALL})
        self.assertEqual(self.ask(19), [])
        self.assertEqual(self.ask(21), [Existence.UNKNOWN])
        self.assertTrue(all(transport.is_aborted for transport in self.dialer.transports))

    def test_something_of_ours_breaks(self) -> None:
        """A route that cannot be found for a fault of ours: logged, and unknown at once."""
        self.deliverer.router.known = lambda destination: None  # type: ignore[method-assign]
        self.deliverer.router.route = lambda destination: fail(PermissionError("a table"))  # type: ignore[method-assign]
        self.assertEqual(self.ask(), [Existence.UNKNOWN])
        self.assertEqual(len(self.flushLoggedErrors(PermissionError)), 1)

    def test_connection_is_shared(self) -> None:
        """A second question, and a delivery, go over the connection that is there, with RSET between."""
        self.peer({})
        self.assertEqual(self.ask(), [Existence.YES])
        self.assertEqual(self.ask(address="ann@a.test"), [Existence.YES])
        self.assertEqual(self.one(job(1)).reply.code, 250)
        self.assertEqual(len(self.dialer.dialled), 1)
        self.assertEqual(self.dialer.made[0].verbs, ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"])

    def test_kept_connection_that_had_ended(self) -> None:
        """A kept connection that turns out to be gone is replaced by a fresh one."""
        answers = iter([{"RSET": CLOSE}, {}])
        self.peer(lambda: FakePeer(next(answers)))
        self.assertEqual(self.ask(), [Existence.YES])
        self.assertEqual(self.ask(), [Existence.YES])
        self.assertEqual(len(self.dialer.dialled), 2)

    def test_international_recipient(self) -> None:
        """A host without SMTPUTF8 cannot be asked about a recipient that needs it."""
        self.peer({})
        self.assertEqual(self.ask(address="bö@a.test"), [Existence.UNKNOWN])
