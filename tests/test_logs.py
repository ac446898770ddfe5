"""Log lines: one an event, nobody else's, and no secrets."""

from __future__ import annotations

import io
import json

from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from jetmail.logs import LineObserver, observer


class LineTests(SynchronousTestCase):
    """LineObserver in both forms."""

    def write(self, as_json: bool, template: str, **given: object) -> str:
        stream = io.StringIO()
        Logger("jetmail.inbound", observer=LineObserver(stream, as_json)).info(template, **given)
        return stream.getvalue()

    def test_text(self) -> None:
        """Fields that the sentence does not name stand behind it."""
        line = self.write(False, "accepted {uid}", uid="abc", sender="a b@example.test")
        self.assertRegex(line, r'^\d{4}-\d\d-\d\dT[\d:.]+Z info  inbound accepted abc sender="a b@example.test"\n$')

    def test_json(self) -> None:
        """A collector gets each field by name."""
        got = json.loads(self.write(True, "accepted {uid}", uid="abc", size=3))
        self.assertEqual((got["text"], got["uid"], got["size"], got["system"], got["level"]), ("accepted abc", "abc", 3, "inbound", "info"))

    def test_no_second_line(self) -> None:
        """A peer's CR LF never begins a line of the log."""
        for as_json in (False, True):
            line = self.write(as_json, "said {what}", what="x\r\nforged", other="y\nforged")
            self.assertEqual(line.count("\n"), 1)
            self.assertNotIn("\r", line)

    def test_secrets_are_masked(self) -> None:
        """Whoever logs a password by mistake writes three stars."""
        for as_json in (False, True):
            self.assertNotIn("hunter2", self.write(as_json, "x", password="hunter2"))

    def test_level_and_failure(self) -> None:
        """Events below the level are not written; a failure is one line with its class and place."""
        stream = io.StringIO()
        log = Logger("jetmail.x", observer=observer(stream, "text", "warn"))
        log.info("quiet")
        try:
            raise ValueError("broken\nthing")
        except ValueError:
            log.failure("it failed")
        self.assertNotIn("quiet", stream.getvalue())
        self.assertEqual(stream.getvalue().count("\n"), 1)
        self.assertIn("ValueError", stream.getvalue())

    def test_remarks_on_sockets(self) -> None:
        """What Twisted says of every socket is for those who debug; its errors are for everybody."""
        for level, is_written in (("info", False), ("debug", True)):
            stream = io.StringIO()
            observe = observer(stream, "text", level)
            observe({"log_level": LogLevel.info, "log_namespace": "log_legacy", "log_format": "(UDP Port 34752 Closed)", "log_time": 1.0})
            observe({"log_level": LogLevel.critical, "log_namespace": "log_legacy", "log_format": "broken", "log_time": 1.0})
            self.assertEqual("34752" in stream.getvalue(), is_written)
            self.assertIn("broken", stream.getvalue())

    def test_closed_stream(self) -> None:
        """A log that cannot be written to does not stop the mail."""
        stream = io.StringIO()
        stream.close()
        LineObserver(stream, False)({"log_format": "x"})
        self.assertTrue(stream.closed)
