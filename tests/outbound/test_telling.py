"""The process's own log tells what became of each recipient, and timelines tell it of the right one."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from jetmail.outbound import telling
from tests.outbound.appliance import DEFERRED, DELIVERED, REFUSED, Appliance


def lines(captured: list[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    return [event for event in captured if event["log_namespace"] == telling.__name__ and event["log_format"] == word]


def mixed(one: Appliance, answers: dict[str, Any]) -> None:
    """Let each recipient at demo.test have an answer of its own."""
    deliver = one.deliverer.deliver

    def each(job: Any) -> Any:
        done = deliver(job)
        if job.destination == "demo.test":
            done.addCallback(lambda _: {item.id: answers[item.recipient] for item in job.deliveries})
        return done

    one.deliverer.deliver = each  # type: ignore[method-assign]


class Lines(SynchronousTestCase):
    def test_one_a_recipient(self) -> None:
        """Delivered, deferred and refused recipients of one message have a line each, with uid, last reply and who gave it; the report has one."""
        one = Appliance().boot()
        mixed(one, {"a@demo.test": DELIVERED, "b@demo.test": REFUSED, "c@demo.test": DEFERRED})
        with capturedLogs() as captured:
            one.accept("a@demo.test", "b@demo.test", "c@demo.test")
        (delivered,) = (line for line in lines(captured, "delivered") if line["recipient"] == "a@demo.test")
        (rejected,), (deferred,), (report,) = (lines(captured, word) for word in ("rejected", "deferred", "report"))
        self.assertEqual((delivered["reply"], delivered["address"], delivered["attempt"]), (str(DELIVERED.reply), DELIVERED.address, 1))
        self.assertEqual((rejected["recipient"], rejected["reason"], rejected["reply"]), ("b@demo.test", REFUSED.reason, str(REFUSED.reply)))
        self.assertEqual((deferred["recipient"], deferred["reason"]), ("c@demo.test", DEFERRED.reason))
        self.assertGreater(deferred["next"], one.clock.seconds())
        self.assertEqual({line["uid"] for line in (delivered, rejected, deferred, report)}, {delivered["uid"]})
        self.assertNotEqual(report["report"], report["uid"])

    def test_sent_back_without_an_attempt(self) -> None:
        """Mail that expires behind a destination that is down has its line too."""
        one = Appliance().boot()
        one.deliverer.answers["demo.test"] = DEFERRED._replace(reason="connect")
        one.accept("a@demo.test")
        with capturedLogs() as captured:
            for _ in range(200):
                one.turn(3600)
        self.assertEqual([(line["recipient"], line["reason"]) for line in lines(captured, "rejected")], [("a@demo.test", "expired")])


class Timeline(SynchronousTestCase):
    def test_a_report_stands_with_whom_it_is_about(self) -> None:
        """The event of a report belongs to the first recipient that was refused, never to one that was delivered or wants no report."""
        one = Appliance().boot()
        mixed(one, {"a@demo.test": DELIVERED, "b@demo.test": REFUSED})
        one.accept("a@demo.test", "b@demo.test")
        found = one.store.connection.execute(
            "SELECT d.recipient FROM events e JOIN deliveries d ON d.id = e.delivery_id WHERE e.kind = 'report'"
        ).fetchall()
        self.assertEqual(found, [("b@demo.test",)])
