"""What breaks in the night: disks, files, resolvers, peers. Mail in hand is answered 4xx, accepted mail survives, the process recovers by itself."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live import needs, sink
from tests.live.harness import Appliance, NotReady, free_port, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client
from tests.smtp.test_server import turns

pytestmark = pytest.mark.slow
Make = Callable[..., Appliance]
LARGE = b"Subject: large\r\n\r\n" + b"0123456789 a line of a large message\r\n" * 8000  # about 300 KB: a spool file


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disk"
    needs.small_disk(place, "24m")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def attempt(appliance: Appliance, recipient: str, content: bytes = b"Subject: x\r\n\r\nhello\r\n") -> str:
    """One message over a connection of its own; what was said to it at last."""
    try:
        with Client(appliance.smtp_port, timeout=30) as client:
            return client.attempt(recipient, content)
    except AssertionError as refused:
        return str(refused).partition(" expected: ")[2]


def is_later(reply: str) -> bool:
    """A temporary refusal (or a closed connection), never a permanent one."""
    return reply == "" or reply.startswith("4")


def test_disk_full(make: Make, disk: Path, far: SinkProcess) -> None:
    """On a full disk mail in hand is answered 4xx and nothing else; once there is room again mail is taken without a restart, and all that was
    ever answered 250 is delivered."""
    appliance = make({"store": {"min_free": 0}}, place=disk / "jetmail")
    down = free_port()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    accepted = [f"before-{number}@example.test" for number in range(20)]
    assert all(attempt(appliance, address).startswith("250") for address in accepted)
    filler = disk / "filler"
    fill(filler)
    replies: list[str] = []
    for number in range(400):
        address = f"during-{number}@example.test"
        reply = attempt(appliance, address, LARGE if number % 5 == 0 else b"Subject: x\r\n\r\n" + b"some text of a small message\r\n" * 150)
        replies.append(reply)
        if reply.startswith("250"):
            accepted.append(address)
        elif replies[-8:].count(reply) >= 4:
            break
    refused = [reply for reply in replies if not reply.startswith("250")]
    assert refused, "the disk never filled"
    assert all(is_later(reply) for reply in refused), refused
    assert appliance.running
    filler.unlink()
    wait_until(lambda: attempt(appliance, "after@example.test").startswith("250"), 20, "mail is taken again", every=0.5)
    accepted.append("after@example.test")
    with SinkProcess(disk.parent / "late.log", port=down) as late:
        wait_until(
            lambda: set(accepted) <= {address for row in late.received() for address in row["recipients"]}, 60, "all accepted mail is delivered"
        )
    appliance.stop()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def test_little_space_left(make: Make, disk: Path, far: SinkProcess) -> None:
    """Below `min_free` mail is refused for the time being, before the disk is full, and the queue keeps delivering."""
    appliance = make({"store": {"min_free": 12 << 20}}, place=disk / "jetmail")
    appliance.domain("example.test", far.port, "--tls", "none")
    appliance.start()
    assert attempt(appliance, "before@example.test").startswith("250")
    (disk / "filler").write_bytes(b"x" * (14 << 20))
    wait_until(lambda: is_later(attempt(appliance, "during@example.test")), 20, "mail is refused for now", every=0.5)
    (disk / "filler").unlink()
    wait_until(lambda: attempt(appliance, "after@example.test").startswith("250"), 20, "mail is taken again", every=0.5)
    wait_until(lambda: {"before@example.test", "after@example.test"} <= {row["recipients"][0] for row in far.received()}, 20, "delivery")


def test_write_errors(make: Make, far: SinkProcess) -> None:
    """When every write to a file fails (here: a limit on the size of files), mail is answered 4xx; when writing works again, so does everything."""
    appliance = make()
    down = free_port()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    assert attempt(appliance, "before@example.test").startswith("250")
    unlimited = resource.prlimit(appliance.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(appliance.pid, resource.RLIMIT_FSIZE, (1024, unlimited[1]))
    try:
        for content in (b"Subject: small\r\n\r\nhello\r\n", LARGE):
            for _ in range(3):
                reply = attempt(appliance, "during@example.test", content)
                assert is_later(reply), reply
    finally:
        resource.prlimit(appliance.pid, resource.RLIMIT_FSIZE, unlimited)
    wait_until(lambda: attempt(appliance, "after@example.test").startswith("250"), 20, "mail is taken again", every=0.5)
    assert attempt(appliance, "large@example.test", LARGE).startswith("250")
    with SinkProcess(appliance.directory.with_name("late.log"), port=down) as late:
        expected = {"before@example.test", "after@example.test", "large@example.test"}
        wait_until(lambda: expected <= {row["recipients"][0] for row in late.received()}, 40, "all accepted mail is delivered")


def test_read_only_store(make: Make, disk: Path, far: SinkProcess) -> None:
    """On a read-only disk the program does not start and says why in a line; writable again, it starts, and the queue is as it was."""
    appliance = make({"store": {"min_free": 0}}, place=disk / "jetmail")
    down = free_port()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    assert attempt(appliance, "before@example.test").startswith("250")
    appliance.stop()
    appliance.log = disk.parent / "read-only.log"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with pytest.raises(NotReady) as told:
            appliance.start()
        assert "read" in str(told.value).lower()
        assert "Traceback" not in str(told.value)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    appliance.start()
    assert [row["recipient"] for row in appliance.queued()] == ["before@example.test"]


def test_store_locked_by_somebody(make: Make, far: SinkProcess) -> None:
    """While another program holds the store's write lock mail waits or is answered 4xx; when it lets go, mail flows again."""
    appliance = make()
    appliance.domain("example.test", far.port, "--tls", "none")
    appliance.start()
    intruder = sqlite3.connect(appliance.database, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with Client(appliance.smtp_port, timeout=60) as client:
        reply = client.attempt("during@example.test")
    assert reply.startswith("4"), reply
    assert time.monotonic() - began < 30
    intruder.execute("ROLLBACK")
    intruder.close()
    wait_until(lambda: attempt(appliance, "after@example.test").startswith("250"), 20, "mail is taken again", every=0.5)
    wait_until(lambda: any(row["recipients"] == ["after@example.test"] for row in far.received()), 20, "delivery")


@pytest.mark.parametrize("harm", ["cut short", "removed", "emptied"])
def test_corrupt_spool_file(make: Make, tmp_path: Path, harm: str) -> None:
    """A damaged spool file is set aside where people see it, is never sent and not tried for ever; other mail to the same place goes on."""
    down = free_port()
    appliance = make()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    assert attempt(appliance, "damaged@example.test", LARGE).startswith("250")
    assert attempt(appliance, "sound@example.test").startswith("250")
    appliance.stop()
    (file,) = [path for path in (appliance.directory / "var" / "spool").rglob("*") if path.is_file()]
    if harm == "removed":
        file.unlink()
    else:
        os.truncate(file, 100_000 if harm == "cut short" else 0)
    with SinkProcess(tmp_path / "late.log", port=down) as late:
        appliance.start()
        wait_until(lambda: any(row["recipients"] == ["sound@example.test"] for row in late.received()), 30, "the sound message is delivered")
        assert attempt(appliance, "later@example.test", LARGE).startswith("250")
        wait_until(lambda: any(row["recipients"] == ["later@example.test"] for row in late.received()), 30, "a later large message is delivered")
        (row,) = [row for row in appliance.rows("log", "--limit", "50") if row["recipient"] == "damaged@example.test"]
        assert row["status"] != "delivered"
        first = attempts(appliance, "damaged@example.test")
        time.sleep(3)
        assert attempts(appliance, "damaged@example.test") <= first + 1
        assert all(row["recipients"] != ["damaged@example.test"] for row in late.received())
    appliance.stop()


def attempts(appliance: Appliance, recipient: str) -> int:
    """How often delivery to it was tried, as the queue tells; 0 when it is no longer queued."""
    return next((int(row["attempts"]) for row in appliance.queued() if row["recipient"] == recipient), 0)


def test_content_row_lost(make: Make, tmp_path: Path) -> None:
    """A message whose content is gone from the store is set aside like one with a damaged file; its neighbours are delivered."""
    down = free_port()
    appliance = make()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    assert attempt(appliance, "damaged@example.test").startswith("250")
    assert attempt(appliance, "sound@example.test").startswith("250")
    appliance.stop()
    store = sqlite3.connect(appliance.database, isolation_level=None)
    store.execute(
        "DELETE FROM content WHERE id = (SELECT content_id FROM messages m JOIN deliveries d ON d.message_id = m.id WHERE recipient LIKE 'damaged@%')"
    )
    store.close()
    with SinkProcess(tmp_path / "late.log", port=down) as late:
        appliance.start()
        wait_until(lambda: any(row["recipients"] == ["sound@example.test"] for row in late.received()), 30, "the sound message is delivered")
        assert attempt(appliance, "later@example.test").startswith("250")
        wait_until(lambda: any(row["recipients"] == ["later@example.test"] for row in late.received()), 30, "later mail is delivered")
        assert all(row["recipients"] != ["damaged@example.test"] for row in late.received())


def test_resolver_that_never_answers(make: Make, far: SinkProcess) -> None:
    """With a dead resolver mail is taken as fast as ever, mail that needs no look-up goes out at once, and the rest waits with the reason."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        appliance = make({"dns": {"servers": [f"127.0.0.1:{silent.getsockname()[1]}"], "timeout": 1.0}})
        appliance.domain("named.test", 25, "--tls", "none", host="mail.named.test")
        appliance.domain("example.test", far.port, "--tls", "none")
        appliance.start()
        for number in range(10):
            began = time.monotonic()
            assert attempt(appliance, f"someone-{number}@named.test").startswith("250")
            assert attempt(appliance, f"someone-{number}@example.test").startswith("250")
            assert time.monotonic() - began < 3
        far.wait_for(10, 10)
        row = wait_until(lambda: next((row for row in appliance.queued() if row["attempts"] and row["reason"]), None), 20, "a reason in the queue")
        assert "dns" in (str(row["reason"]) + str(row["reply"])).lower()
        assert len(appliance.queued()) == 10
        began = time.monotonic()
        appliance.stop()
        assert time.monotonic() - began < 10


def test_dead_resolver_costs_one_message(make: Make, far: SinkProcess) -> None:
    """Of the mail that comes while a resolver dies each waits two seconds at most, side by side; all that comes after it waits for nothing."""
    head = "From: a@sender-{0}.example\r\nTo: b@example.test\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{0}@sender-{0}.example>\r\n"
    content = [(head.format(number) + "Subject: x\r\n\r\nhello\r\n").encode() for number in range(40)]

    def timed(number: int) -> float:
        began = time.monotonic()
        assert attempt(appliance, f"someone-{number}@example.test", content[number]).startswith("250")
        return time.monotonic() - began

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, ThreadPoolExecutor(10) as crowd:
        silent.bind(("127.0.0.1", 0))
        appliance = make({"dns": {"servers": [f"127.0.0.1:{silent.getsockname()[1]}"]}})
        appliance.domain("example.test", far.port, "--tls", "none")
        appliance.start()
        together = list(crowd.map(timed, range(10)))
        assert max(together) < 2.3, together
        after = [timed(number) for number in range(10, 40)]  # longer than the pause between two probes is not needed: a probe is nobody's
        assert max(after) < 0.5, after
        far.wait_for(40, 10)


def test_destination_comes_back(make: Make, tmp_path: Path) -> None:
    """Every probe of a destination that is down really dials it: once it listens again its mail is there within a few probes' time."""
    down = free_port()
    appliance = make()
    appliance.domain("example.test", down, "--tls", "none")
    appliance.start()
    for number in range(30):
        assert attempt(appliance, f"someone-{number}@example.test").startswith("250")
    time.sleep(4)  # several probes
    with SinkProcess(tmp_path / "late.log", port=down) as late:
        began = time.monotonic()
        late.wait_for(30, 20)
        assert time.monotonic() - began < 6
        assert len(late.received()) == 30
    (uid,) = {row["uid"] for row in appliance.rows("log", "--limit", "100") if row["recipient"] == "someone-0@example.test"}
    attempts = [event for event in appliance.rows("message", "show", uid)[0]["timeline"] if event["kind"] == "attempt"]
    assert attempts[-1]["detail"]["result"] == "delivered"


def test_peers_that_stall(make: Make, far: SinkProcess, tmp_path: Path) -> None:
    """Destinations that go silent in any phase cost only their own mail time: it waits with a reason, everybody else's is delivered at once, and the
    process still stops when told. Silence after QUIT is nobody's loss: that message is delivered, once."""
    appliance = make()
    with ExitStack() as stack:
        stalling = {phase: stack.enter_context(SinkProcess(tmp_path / f"{phase}.log", "--stall", phase)) for phase in sink.PHASES}
        for phase, peer in stalling.items():
            appliance.domain(f"{phase}.test", peer.port, "--tls", "none")
        appliance.domain("example.test", far.port, "--tls", "none")
        appliance.start()
        with Client(appliance.smtp_port) as client:
            for phase in stalling:
                for number in range(3):
                    client.send(f"someone-{number}@{phase}.test")
            began = time.monotonic()
            client.send("quick@example.test")
        far.wait_for(1, 5)
        assert time.monotonic() - began < 5
        stuck = [phase for phase in sink.PHASES if phase != "quit"]
        waiting = wait_until(lambda: told_why(appliance, stuck), 40, "every stalled phase has its reason in the queue")
        assert {row["recipient"].partition("@")[2] for row in waiting} == {f"{phase}.test" for phase in stuck}
        delivered = [row["recipients"][0] for row in stalling["quit"].received()]
        assert sorted(delivered) == [f"someone-{number}@quit.test" for number in range(3)]
        began = time.monotonic()
        appliance.stop()
        assert time.monotonic() - began < 15


def told_why(appliance: Appliance, phases: list[str]) -> list[dict[str, object]] | None:
    """The queue, once each of these phases has a delivery that was tried and has a reason."""
    rows = appliance.queued()
    tried = {row["recipient"].partition("@")[2] for row in rows if row["attempts"] and row["reason"]}
    return rows if tried >= {f"{phase}.test" for phase in phases} else None


def test_clients_that_stall(make: Make, far: SinkProcess) -> None:
    """Senders that go silent in any phase are let go with 421 after their time, and meanwhile cost nobody else anything."""
    appliance = make({"smtp": {"idle_timeout": 10.0, "data_timeout": 10.0}})
    appliance.domain("example.test", far.port, "--tls", "none")
    appliance.start()
    phases: dict[str, bytes] = {
        "silent": b"",
        "ehlo": b"EHLO a.test\r\n",
        "half": b"EHLO a.te",
        "mail": b"EHLO a.test\r\nMAIL FROM:<a@sender.test>\r\n",
    }
    phases["rcpt"] = phases["mail"] + b"RCPT TO:<stalled@example.test>\r\n"
    phases["data"] = phases["rcpt"] + b"DATA\r\n"
    phases["body"] = phases["data"] + b"Subject: x\r\n\r\nhal"
    phases["bdat"] = phases["rcpt"] + b"BDAT 1000 LAST\r\nonly this"
    with ExitStack() as stack:
        stalled = {phase: stack.enter_context(Client(appliance.smtp_port, greet=False, timeout=30)) for phase in phases}
        for phase, octets in phases.items():
            stalled[phase].expect("220")
            *answered, last = turns(octets) or [b""]
            for turn in answered:
                stalled[phase].write(turn)
                for _ in range(turn.count(b"\n")):
                    stalled[phase].expect("")
            stalled[phase].write(last)
        began = time.monotonic()
        assert attempt(appliance, "quick@example.test").startswith("250")
        assert time.monotonic() - began < 3
        for phase, client in stalled.items():
            assert last_words(client).startswith("421"), phase
        assert time.monotonic() - began < 25
    far.wait_for(1)
    assert all(row["recipients"] == ["quick@example.test"] for row in far.received())


def last_words(client: Client) -> str:
    """The last reply before the server closes."""
    said = client.buffer
    while octets := client.socket.recv(65536):
        said += octets
    return said.decode().strip().rpartition("\n")[2]


def test_told_to_stop_in_the_middle_of_a_message(make: Make, far: SinkProcess) -> None:
    """SIGTERM while a message is coming in: it is finished or refused for now, never half accepted, and what was answered 250 survives."""
    appliance = make()
    appliance.domain("example.test", free_port(), "--tls", "none")
    appliance.start()
    with Client(appliance.smtp_port, timeout=30) as client:
        client.send("first@example.test")
        client.envelope("second@example.test")
        client.write(b"Subject: second\r\n\r\nhalf a mess")
        assert appliance.process is not None
        appliance.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        try:
            client.write(b"age\r\n.\r\n")
            reply = client.expect("")
        except (AssertionError, OSError):
            reply = ""
    appliance.stop()
    appliance.start()
    expected = {"first@example.test"} | ({"second@example.test"} if reply.startswith("250") else set())
    assert {row["recipient"] for row in appliance.queued()} == expected, json.dumps(reply)
