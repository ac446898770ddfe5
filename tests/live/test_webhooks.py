"""Webhooks against a real server: signed and told, tried again, dead letters sent again, private addresses refused, nothing lost by SIGKILL."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.live.conftest import Certificates
from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.submitting import Names, Submitting
from tests.live.talk import Client
from tests.live.zones import unbound

QUICK = {"webhooks": {"retries": [0.3, 0.3, 0.3]}}


class Hook(ThreadingHTTPServer):
    """A receiver on 127.0.0.1. `answers` are used up in turn, then it is 204. `came` is (fields, body) of every request, in order."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, certificates: Certificates | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: list[int] = []
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/in?from=jetmail"

    def told(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [json.loads(body) for _, body in list(self.came)]

    def wait_for(self, *types: str, seconds: float = 20) -> list[dict[str, Any]]:
        """The bodies, once each of these types came as often as it is named."""

        def all_here() -> list[dict[str, Any]] | None:
            told = self.told()
            here = [body["type"] for body in told]
            return told if all(here.count(word) >= types.count(word) for word in types) else None

        found: list[dict[str, Any]] = wait_until(all_here, seconds, f"{types}")
        return found


class Answering(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        hook: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook.paths.append(self.path)
        hook.came.append((dict(self.headers.items()), body))
        self.send_response(hook.answers.pop(0) if hook.answers else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A receiver."""
    with Hook() as running:
        yield running
        running.shutdown()


def signed(secret: str, fields: dict[str, str], body: bytes) -> bool:
    """Whether the request is signed with that secret."""
    text = f"{fields['X-Webhook-ID']}.{fields['X-Webhook-Timestamp']}.".encode() + body
    return "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest() in fields["X-Webhook-Signature"].split(", ")


def send(appliance: Appliance, *recipients: str) -> None:
    """One message to each."""
    with Client(appliance.smtp_port) as client:
        for recipient in recipients:
            client.ask("MAIL FROM:<bob@example.org>", "250")
            client.ask(f"RCPT TO:<{recipient}>", "250")
            client.ask("DATA", "354")
            client.ask("From: bob@example.org\r\nSubject: hello\r\n\r\ntext\r\n.", "250")


def states(appliance: Appliance) -> list[str]:
    """Of the events of the webhook h, oldest first."""
    return [row["state"] for row in appliance.rows("webhook", "deliveries", "h")][::-1]


def test_told(make: Callable[..., Appliance], far: SinkProcess, certificates: Certificates) -> None:
    """Mail that comes and goes is told, signed and over TLS, within seconds; so is a test; a new secret signs beside the old one."""
    with Hook(certificates) as hook, make({**QUICK, "delivery": {"ca_file": str(certificates.authority)}}) as appliance:
        appliance.domain("live.test", far.port)
        appliance.start()
        send(appliance, "early@live.test")
        (made,) = appliance.rows("webhook", "add", "h", hook.url, "--allow-private")
        send(appliance, "ann@live.test")
        first, second = hook.wait_for("inbound.received", "inbound.delivered")
        assert (first["type"], second["type"]) == ("inbound.received", "inbound.delivered")
        assert {body["data"]["recipient"] for body in (first, second)} == {"ann@live.test"}
        assert second["data"]["subject"] == "hello" and second["data"]["reply"].startswith("250")
        assert all(signed(made["secret"], *one) for one in hook.came)
        (tested,) = appliance.rows("webhook", "test", "h")
        assert (tested["state"], tested["status"]) == ("delivered", 204)
        (changed,) = appliance.rows("webhook", "rotate", "h")
        appliance.rows("webhook", "test", "h")
        assert signed(made["secret"], *hook.came[-1]) and signed(changed["secret"], *hook.came[-1])
        assert 'jetmail_webhook_attempts_total{result="delivered"} 4.0' in appliance_metrics(appliance)
        hook.shutdown()


def appliance_metrics(appliance: Appliance) -> str:
    """What /metrics says."""
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{appliance.http_port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_tried_again(make: Callable[..., Appliance], far: SinkProcess, hook: Hook) -> None:
    """500 is tried again; 404 and the last 500 are dead letters with their reason, and arrive when they are sent again, with the same id."""
    with make(QUICK) as appliance:
        appliance.domain("live.test", far.port)
        appliance.cli("webhook", "add", "h", hook.url, "--allow-private", "--event", "inbound.received")
        appliance.start()
        hook.answers = [500, 503]
        send(appliance, "ann@live.test")
        wait_until(lambda: states(appliance) == ["delivered"], 20, "delivered after 500")
        assert len(hook.came) == 3 and len({fields["X-Webhook-ID"] for fields, _ in hook.came}) == 1
        hook.answers = [404]
        send(appliance, "bob@live.test")
        wait_until(lambda: states(appliance) == ["delivered", "dead"], 20, "dead after 404")
        hook.answers = [500, 500, 429, 500]
        send(appliance, "carl@live.test")
        wait_until(lambda: states(appliance) == ["delivered", "dead", "dead"], 20, "dead after the last 500")
        dead = appliance.rows("webhook", "dead", "h")
        assert [(row["status"], row["attempts"]) for row in dead] == [(500, 4), (404, 1)]
        before = len(hook.came)
        assert appliance.rows("webhook", "resend", "h", "--all") == [{"resent": 2}]
        wait_until(lambda: states(appliance) == ["delivered"] * 3, 20, "delivered once sent again")
        assert {body["id"] for body in hook.told()[before:]} == {row["event"] for row in dead}


def test_outbound(make: Callable[..., Appliance], far: SinkProcess, hook: Hook, tmp_path: Any) -> None:
    """What a user sends is told to the user's account, refusals too, and to no other account; a filter for users and domains narrows it."""
    names = Names({})
    settings, ports = Submitting.settings(names, far)
    with make({**settings, **QUICK}) as appliance:
        house = Submitting(appliance, ports, tmp_path / "password")
        house.user("app", "--domain", "example.org")
        house.user("crm", "--domain", "example.org")
        appliance.cli("account", "add", "other")
        hooks = {
            "mine": ("--event", "outbound.*"),
            "crm": ("--user", "crm"),
            "elsewhere": ("--domain", "example.net"),
            "other": ("--account", "other"),
            "all": ("--appliance", "--event", "outbound.rejected", "--event", "outbound.delivered"),
        }
        for name, words in hooks.items():
            appliance.cli("webhook", "add", name, hook.url.replace("/in?from=jetmail", f"/{name}"), "--allow-private", *words)
        appliance.start()
        assert "queued as" in house.swaks()
        assert "550" in house.swaks(sender="a@not-ours.test")
        wait_until(lambda: len(hook.came) >= 5, 20, "five events")
        came = sorted((path, json.loads(body)["type"]) for path, (_, body) in zip(hook.paths, hook.came, strict=True))
        assert came == [
            ("/all", "outbound.delivered"), ("/all", "outbound.rejected"), ("/mine", "outbound.delivered"), ("/mine", "outbound.queued"),
            ("/mine", "outbound.rejected"),
        ]  # fmt: skip
        (user,) = appliance.rows("smtp-user", "show", "app")
        assert {body["data"]["user"] for body in hook.told()} == {user["uuid"]}
        (refused, _) = [body["data"] for body in hook.told() if body["type"] == "outbound.rejected"]
        assert (refused["reason"], refused["domain"]) == ("acl", "not-ours.test") and "[ACL]" in refused["reply"]
    names.close()


def test_private(make: Callable[..., Appliance], far: SinkProcess, hook: Hook, tmp_path: Any) -> None:
    """A private address is refused when it is written down, and when a name leads there; nobody is asked."""
    with (
        unbound(tmp_path / "unbound", {}, {"hooks.test": "in A 127.0.0.1\n"}) as port,
        make({**QUICK, "dns": {"servers": [f"127.0.0.1:{port}"]}}) as appliance,
    ):
        appliance.domain("live.test", far.port)
        with pytest.raises(AssertionError, match="exited 2: jetmail: url: 127.0.0.1 is no public address"):
            appliance.cli("webhook", "add", "h", hook.url.replace("http:", "https:"))
        name = f"in.hooks.test:{hook.server_address[1]}"
        appliance.cli("webhook", "add", "h", f"https://{name}/", "--event", "inbound.received")
        appliance.start()
        send(appliance, "ann@live.test")
        wait_until(lambda: states(appliance) == ["dead"], 20, "a dead letter")
        assert "not public" in appliance.rows("webhook", "dead", "h")[0]["error"]
        assert hook.came == []
        appliance.cli("webhook", "set", "h", "--url", f"http://{name}/", "--allow-private", "yes")
        appliance.cli("webhook", "resend", "h", "--all")
        hook.wait_for("inbound.received")


def test_killed(make: Callable[..., Appliance], far: SinkProcess, hook: Hook) -> None:
    """SIGKILL while events are on their way, and mail that comes between two lives: every event is told in the end."""
    with make(QUICK) as appliance:
        appliance.domain("live.test", far.port)
        appliance.cli("webhook", "add", "h", hook.url, "--allow-private", "--event", "inbound.received", "--event", "inbound.delivered")
        appliance.start()
        names = [f"a{number}@live.test" for number in range(40)]
        hook.answers = [500] * 10
        send(appliance, *names[:20])
        wait_until(lambda: len(hook.came) > 5, 20, "some were told")
        appliance.kill()
        appliance.start()
        send(appliance, *names[20:])
        appliance.kill()
        appliance.start()
        wanted = {(kind, name) for name in names for kind in ("inbound.received", "inbound.delivered")}
        wait_until(lambda: {(body["type"], body["data"]["recipient"]) for body in hook.told()} >= wanted, 40, "all were told")
        assert len({body["id"] for body in hook.told() if body["type"] == "inbound.received"}) == len(names)
