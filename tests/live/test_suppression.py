"""Suppression over real sockets: mail that comes back puts its recipient on the list, the next submission hears of it, and a person lifts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.submitting import Names, Submitting, refusal

pytestmark = pytest.mark.slow
GONE = "gone@far.test"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[SinkProcess]:
    """A sink that knows everybody but one."""
    with SinkProcess(tmp_path / "far.log", "--keep", "--gone", GONE) as running:
        yield running


@pytest.fixture
def house(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> Iterator[Submitting]:
    """With the user 'app' of the first account, and 'other' of the second."""
    names = Names({})
    settings, ports = Submitting.settings(names, far)
    house = Submitting(make(settings), ports, tmp_path / "password")
    house.user("app", "--domain", "example.org")
    house.appliance.cli("account", "add", "second")
    house.user("other", "--domain", "example.org", "--account", "second")
    house.appliance.start()
    yield house
    names.close()


def suppressed(house: Submitting, number: int) -> list[dict]:
    """The list, once it has that many."""
    found: list[dict] = wait_until(
        lambda: rows if len(rows := house.appliance.rows("suppression", "list")) == number else None, 20, f"{number} suppressed"
    )
    return found


def test_life_of_a_suppression(house: Submitting, far: SinkProcess, tmp_path: Path) -> None:
    """550 5.1.1 from afar suppresses: the account's next RCPT is refused with reason and reference, another account's is not; lifted, it is taken."""
    assert "queued as" in house.swaks("--to", GONE)
    (row,) = suppressed(house, 1)
    assert (row["address"], row["reason"], row["detail"]) == (GONE, "bounce", "550 5.1.1 nobody of that name")
    shown = house.appliance.rows("message", "show", row["source"])[0]
    assert "suppressed" in [event["kind"] for event in shown["timeline"]]

    said = refusal(house.swaks("--to", f"{GONE},someone@far.test"))
    log = next(row for row in house.appliance.rows("log", "--limit", "20") if row["reason"] == "suppressed")
    assert said == (
        f"550 5.7.1 [SUPPRESSED] {GONE} is on your suppression list (bounce); take it off to send there again. "
        f"See https://live.example.test/?id={log['uid']}&auth={house.uuid('app')}"
    )
    assert (log["status"], log["recipient"]) == ("rejected", GONE)
    wait_until(lambda: any("someone@far.test" in row["recipients"] for row in far.received()), 20, "the other recipient's mail")

    assert "queued as" in house.swaks("--to", GONE, user="other")
    suppressed(house, 2)
    house.appliance.cli("suppression", "remove", GONE)
    assert "queued as" in house.swaks("--to", GONE)
    suppressed(house, 2)

    # A list that is taken in counts at once, and the appliance's binds every account.
    file = tmp_path / "list.csv"
    file.write_text("target_value,reason\nann@far.test,complaint\n")
    house.appliance.cli("suppression", "import", str(file), "--appliance")
    for user in ("app", "other"):
        said = refusal(house.swaks("--to", "ann@far.test", user=user))
        assert "[SUPPRESSED] ann@far.test is on the suppression list of this system (complaint); its administrator can take it off. See" in said


def test_queued_already(house: Submitting, far: SinkProcess) -> None:
    """What is in the queue when its recipient is suppressed is not sent: it is rejected, and the sender gets a report."""
    far.stop()
    assert "queued as" in house.swaks("--to", "late@far.test")
    house.appliance.cli("suppression", "add", "late@far.test", "--reason", "unsubscribe")
    find = lambda: [row for row in house.appliance.rows("log", "--limit", "20") if row["reason"] == "suppressed"]  # noqa: E731
    (row,) = wait_until(find, 20, "the end of what was queued")
    shown = house.appliance.rows("message", "show", row["uid"])[0]
    assert "report" in [event["kind"] for event in shown["timeline"]]
