"""Fifty sessions at once: a quota and a locked domain let through exactly what they should, and a killed process knows what it counted."""

from __future__ import annotations

import re
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.submitting import Names, Submitting

pytestmark = pytest.mark.slow

SESSIONS = 50
QUOTA = 20


@pytest.fixture
def house(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> Iterator[Submitting]:
    """With the user 'app' who has a quota, and 'owner', whom alone example.com admits."""
    names = Names({"_jm.example.com": "v=jm1 auth=owner"})
    settings, ports = Submitting.settings(names, far)
    house = Submitting(make(settings), ports, tmp_path / "password")
    house.user("app", "--domain", "example.org", "--domain", "example.com")
    house.user("owner", "--domain", "example.com")
    house.appliance.start()
    yield house
    names.close()


def at_once(house: Submitting, user: str, sender: str) -> Counter[str]:
    """Fifty sessions sign in at one moment and send at one moment. -> how often each reply was heard, without its ids."""
    together = threading.Barrier(SESSIONS, timeout=60)

    def send(number: int) -> str:
        together.wait()
        session = house.session(user)
        try:
            together.wait()
            session.sendmail(sender, ["x@far.test"], f"From: {sender}\r\nSubject: {number}\r\n\r\nx\r\n")
            return "250"
        except smtplib.SMTPResponseException as refused:
            error = refused.smtp_error.decode() if isinstance(refused.smtp_error, bytes) else refused.smtp_error
            return f"{refused.smtp_code} {error.partition('?')[0]}"
        finally:
            session.close()

    with ThreadPoolExecutor(SESSIONS) as pool:
        return Counter(pool.map(send, range(SESSIONS)))


def ids(far: SinkProcess) -> set[str]:
    """The messages that have arrived, each once."""
    return {found[1] for row in far.received() if (found := re.search(r"^Message-ID: (\S+)", row["content"], re.MULTILINE))}


def test_quota(house: Submitting, far: SinkProcess) -> None:
    """A quota of twenty takes twenty of fifty, all of which arrive; killed and started again, it takes none; what an administrator adds counts."""
    house.set("--quota", str(QUOTA))
    limit = "421 4.7.1 Rate limit exceeded. Try again later."
    assert at_once(house, "app", "a@example.org") == {"250": QUOTA, limit: SESSIONS - QUOTA}
    house.appliance.kill()
    house.appliance.start()
    assert at_once(house, "app", "a@example.org") == {limit: SESSIONS}
    shown = house.appliance.rows("smtp-user", "show", "app")[0]
    assert (shown["used"], shown["status"]) == (QUOTA, "quota-locked")
    house.set("--quota", str(QUOTA + 7))
    assert at_once(house, "app", "a@example.org") == {"250": 7, limit: SESSIONS - 7}
    # What was on its way when the process was killed may come twice: it is told by its id.
    wait_until(lambda: len(ids(far)) == QUOTA + 7, 30, "each message that was taken arrives")


def test_quota_survives_a_kill_in_the_middle(house: Submitting) -> None:
    """Killed while fifty sessions send: afterwards the count is what the store holds, and the rest of the quota is what is left."""
    house.set("--quota", "1000")
    at_once(house, "app", "a@example.org")
    senders = [threading.Thread(target=_until_gone, args=(house,)) for _ in range(8)]
    for sender in senders:
        sender.start()
    counted = threading.Event()
    counted.wait(0.7)
    house.appliance.kill()
    for sender in senders:
        sender.join(30)
    house.appliance.start()
    used = house.appliance.rows("smtp-user", "show", "app")[0]["used"]
    assert used == len(house.appliance.rows("log", "--user", "app", "--limit", "1000"))
    assert used > SESSIONS
    house.set("--quota", str(used + 3))
    assert at_once(house, "app", "a@example.org")["250"] == 3


def _until_gone(house: Submitting) -> None:
    try:
        with house.session() as session:
            for number in range(190):
                session.sendmail("a@example.org", ["x@far.test"], f"From: a@example.org\r\nSubject: {number}\r\n\r\nx\r\n")
    except (OSError, smtplib.SMTPException):
        return


def test_lockdown(house: Submitting, far: SinkProcess) -> None:
    """A locked domain refuses all fifty of a user it does not name, while the user it names gets all of theirs through."""
    words = "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.com. See https://live.example.test/"
    found: dict[str, Counter[str]] = {}

    def send(user: str) -> None:
        found[user] = at_once(house, user, "a@example.com")

    both = [threading.Thread(target=send, args=(user,)) for user in ("app", "owner")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert found == {"app": {words: SESSIONS}, "owner": {"250": SESSIONS}}
    assert len(far.wait_for(SESSIONS)) == SESSIONS
    assert house.appliance.rows("smtp-user", "show", "app")[0]["used"] == 0
