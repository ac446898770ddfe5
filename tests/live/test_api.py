"""Programs that send over HTTP, with curl: TLS, keys, batches, every refusal a client can meet, and SIGKILL between two answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live import needs
from tests.live.conftest import Certificates
from tests.live.harness import Appliance, free_port
from tests.live.sink import SinkProcess
from tests.live.submitting import Names

pytestmark = pytest.mark.slow

LETTER = {"from": "Shop <shop@example.org>", "to": "ann@far.test", "subject": "Größe", "text": "Thank you."}


class Client:
    """curl with a token of the SMTP user app, who may send from example.org and closed.test."""

    def __init__(self, appliance: Appliance, port: int, authority: Path) -> None:
        self.appliance = appliance
        self.place = ("127.0.0.1", port)
        self.url = f"https://127.0.0.1:{port}"
        self.authority = authority
        self.token: str = appliance.rows("token", "add", "app", "--name", "live")[0]["token"]

    def curl(self, path: str, *options: str, token: str = "") -> tuple[int, dict[str, Any]]:
        """-> (status, answer); status 0 when there was no answer."""
        command = [
            needs.program("curl"), "-sS", "--cacert", str(self.authority), "--max-time", "30", "-w", "\n%{http_code}",
            "-H", f"Authorization: Bearer {token or self.token}", *options, self.url + path,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        body, _, code = done.stdout.rpartition("\n")
        return int(code), json.loads(body) if body else {}

    def post(self, value: Any = None, path: str = "/v1/messages", *options: str, key: str = "", token: str = "") -> tuple[int, dict[str, Any]]:
        """JSON."""
        more = ["-H", f"Idempotency-Key: {key}"] if key else []
        text = json.dumps(LETTER if value is None else value)
        return self.curl(path, "-H", "Content-Type: application/json", *more, "--data-binary", text, *options, token=token)


@pytest.fixture
def client(make: Callable[..., Appliance], far: SinkProcess, certificates: Certificates) -> Iterator[Client]:
    names = Names({"_jm.closed.test": "v=jm1 auth=somebody-else"})
    port = free_port()
    appliance = make(
        {
            "dns": {"servers": [f"127.0.0.1:{names.port}"]},
            "delivery": {"smarthost": f"127.0.0.1:{far.port}", "smarthost_tls": "none"},
            "tls": {"certificate": str(certificates.certificate), "key": str(certificates.key)},
            "api": {"address": "0.0.0.0", "port": port},
        }
    )
    appliance.cli("smtp-user", "add", "app", "--domain", "example.org", "--domain", "closed.test")
    found = Client(appliance, port, certificates.authority)
    appliance.start()
    yield found
    names.socket.close()


def test_sent(client: Client, far: SinkProcess) -> None:
    """A letter of JSON arrives over TLS as one of HTTP, with its user's uuid; its status can be asked for; the same key sends it once."""
    code, answer = client.post(key="order-1")
    assert code == 202, answer
    assert client.post(key="order-1") == (202, answer)
    assert client.post(LETTER | {"text": "other"}, key="order-1")[0] == 422
    (row,) = far.wait_for(1)
    user = client.appliance.rows("smtp-user", "show", "app")[0]
    assert f"X-JetEmail-User: {user['uuid']}\r\n" in row["content"]
    assert "with HTTP id " + answer["id"] in row["content"] and "(using TLSv1.3" in row["content"]
    assert "=?utf-8?B?" in row["content"]
    assert (user["used"], client.appliance.rows("token", "list")[0]["last_used"] > 0) == (1, True)
    code, told = client.curl(f"/v1/messages/{answer['id']}")
    assert (code, told["transtype"], told["deliveries"][0]["status"]) == (200, "HTTP", "delivered")
    assert client.appliance.queued() == []


def test_raw(client: Client, far: SinkProcess) -> None:
    """Thirty megabytes as they are go into the spool while they come, and not into memory; they arrive whole, without Bcc and with CRLF."""
    client.post()
    body = b"From: shop@example.org\nBcc: eve@far.test\nSubject: large\n\n" + b"".join(b"%064d\n" % number for number in range(480_000))
    connection = http.client.HTTPSConnection(*client.place, context=ssl.create_default_context(cafile=str(client.authority)), timeout=30)
    connection.putrequest("POST", "/v1/messages/raw?from=shop@example.org&to=ann@far.test")
    for name, value in (("Authorization", f"Bearer {client.token}"), ("Content-Type", "message/rfc822"), ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders()
    client.appliance.forget_peak()
    before = client.appliance.memory("VmHWM")
    connection.send(body[:-1_000_000])
    assert client.appliance.memory("VmHWM") - before < 8_000_000
    connection.send(body[-1_000_000:])
    with contextlib.closing(connection):
        assert connection.getresponse().status == 202
    row = next(row for row in far.wait_for(2) if row["subject"] == "large")
    assert "Bcc" not in row["content"]
    assert row["content"].endswith(body.partition(b"\n\n")[2].decode().replace("\n", "\r\n"))


def test_replies(client: Client) -> None:
    """Lockdown, permission, quota and a bad token are told in the words of SMTP."""
    uuid = client.appliance.rows("smtp-user", "show", "app")[0]["uuid"]
    for sender, status, word in (
        ("a@closed.test", 403, "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from closed.test. See"),
        ("a@other.test", 403, "550 [ACL] Blocked. See"),
    ):
        code, answer = client.post(LETTER | {"from": sender})
        error = answer["error"]
        assert (code, error["message"]) == (status, f"{word} https://live.example.test/?id={error['reference']}&auth={uuid}")
        assert client.appliance.rows("message", "show", error["reference"])[0]["user"] == uuid
    client.appliance.cli("smtp-user", "set", "app", "--quota", "3")
    results = client.post({"messages": [LETTER] * 5}, "/v1/messages/batch")[1]["results"]
    assert sorted(result["status"] for result in results) == [202, 202, 202, 429, 429]
    code, answer = client.post()
    assert (code, answer["error"]["message"]) == (429, "421 4.7.1 Rate limit exceeded. Try again later.")
    client.appliance.cli("smtp-user", "set", "app", "--quota", "0", "--network", "203.0.113.0/24")
    code, answer = client.post()
    assert (code, answer["error"]["message"]) == (403, "535 IP not authorized")
    client.appliance.cli("smtp-user", "set", "app", "--network", "none")
    assert client.post()[0] == 202
    client.appliance.cli("token", "revoke", "1", "--yes")
    assert client.post()[0] == client.post(token="transactional_" + "a" * 43)[0] == 401


def test_killed(client: Client) -> None:
    """SIGKILL in the middle of a burst: every request is sent again with its key, and every message is in the store once."""
    keys = [f"order-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.post, key=key) for key in keys]
        for answer in answers[:10]:
            answer.result()
        client.appliance.kill()
        first = {key: answer.result()[1].get("id") for key, answer in zip(keys, answers, strict=True)}
    assert any(first.values()) and not all(first.values())
    client.appliance.start()
    batch = {key: client.post(key=key) for key in keys}
    assert all(code == 202 for code, _ in batch.values())
    assert all(first[key] in (None, batch[key][1]["id"]) for key in keys)
    assert client.appliance.rows("smtp-user", "show", "app")[0]["used"] == len({answer["id"] for _, answer in batch.values()}) == 40
