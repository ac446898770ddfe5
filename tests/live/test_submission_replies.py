"""Every permission mode and every reply of submission with swaks: PLAIN and LOGIN, STARTTLS and TLS from the first octet, letter by letter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.conftest import QUICK
from tests.live.harness import Appliance, merge
from tests.live.sink import SinkProcess
from tests.live.submitting import GTUBE, Names, Scanner, Submitting, refusal

pytestmark = pytest.mark.slow

WAYS = [(tls, auth) for tls in ("-tls", "-tlsc") for auth in ("PLAIN", "LOGIN")]
SPF = "v=spf1 include:spf.live.test -all"
ZONE = {
    **dict.fromkeys(("example.org", "all.test", "any.test", "own.test", "example.com", "dark.test", "claimed.test"), SPF),
    "_jm.example.com": "v=jm1 auth=660f9500-f39c-52e5-b827-557766550111 auth=all",
    "_jm.dark.test": "",
}
CLAMD = 'options = { enabled = false, socket = "/run/clamav/clamd.ctl"'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitting]:
    """Everybody there is in the documents: users of each mode, one elsewhere, one with a quota for each way in, a person; DNS, a scanner."""
    place = tmp_path_factory.mktemp("replies")
    names, scanner = Names(ZONE), Scanner()
    with SinkProcess(place / "far.log") as far:
        settings, ports = Submitting.settings(names, far)
        settings["submission"] = {"spf": "strict", "spf_include": "spf.live.test", "sender_spam": 1}
        with Appliance(place / "jetmail", merge(QUICK, settings)) as appliance:
            rules = appliance.directory / "etc" / "rules.toml"
            text = rules.read_text("utf-8")
            assert CLAMD in text
            rules.write_text(text.replace(CLAMD, f'options = {{ enabled = true, socket = "127.0.0.1:{scanner.port}"'), "utf-8")
            house = Submitting(appliance, ports, place / "password")
            for domain in ("all.test", "own.test", "claimed.test"):
                proved = () if domain == "claimed.test" else ("--verified",)
                appliance.cli("domain", "add", domain, "--destination", f"127.0.0.1:{far.port}", *proved)
            appliance.cli("account", "set", "default", "--plan", "pro")
            house.user("app", *(word for domain in ("example.org", "example.com", "dark.test", "nospf.test") for word in ("--domain", domain)))
            house.user("all", "--all-domains")
            house.user("any", "--any-domain")
            house.user("elsewhere", "--domain", "example.org", "--network", "203.0.113.0/24")
            for number in range(len(WAYS)):
                house.user(f"little-{number}", "--domain", "example.org", "--quota", "1")
            house.person("ann@own.test")
            appliance.cli("sender-address", "add", "team@own.test", "ann@own.test")
            appliance.start()
            yield house
    scanner.close()
    names.close()


@pytest.fixture(params=range(len(WAYS)), ids=["-".join(way).strip("-") for way in WAYS])
def way(request: pytest.FixtureRequest) -> int:
    """One of WAYS."""
    number: int = request.param
    return number


class Way:
    """One way in."""

    def __init__(self, house: Submitting, number: int) -> None:
        self.house = house
        self.tls, self.auth = WAYS[number]
        self.is_first = number == 0

    def taken(self, user: str, sender: str, *options: str) -> None:
        """It is queued."""
        talk = self.house.swaks(*options, tls=self.tls, auth=self.auth, user=user, sender=sender)
        assert "235 2.7.0 Authentication successful" in talk and "queued as" in talk, talk

    def refused(self, user: str, sender: str, *options: str, password: str = "") -> str:
        """What it is refused with."""
        more = {"password": password} if password else {}
        return refusal(self.house.swaks(*options, tls=self.tls, auth=self.auth, user=user, sender=sender, **more))

    def explained(self, user: str, words: str, sender: str, *options: str) -> None:
        """It is refused in these words with a reference to the record, which says the same and gives advice."""
        said = self.refused(user, sender, *options)
        (row,) = self.house.appliance.rows("log", "--limit", "1")
        assert said == f"{words} https://live.example.test/?id={row['uid']}&auth={row['user']}"
        if self.is_first:  # that is the same whatever way the mail came
            assert row["user"] == self.house.uuid(user)
            shown = self.house.appliance.cli("message", "show", row["uid"])
            assert said in shown and "advice" in shown and user in shown


def test_modes(house: Submitting, way: int) -> None:
    """Default: assigned domains; all: verified domains of the account; any: any; a person: itself and what was granted."""
    it = Way(house, way)
    it.taken("app", "a@example.org")
    it.taken("all", "a@all.test")
    it.taken("any", "a@any.test")
    it.taken("ann@own.test", "ann@own.test")
    it.taken("Ann@OWN.test", "team@own.test")
    for user, sender in (("app", "a@all.test"), ("all", "a@example.org"), ("all", "a@claimed.test")):
        it.explained(user, "550 [ACL] Blocked. See", sender)
    it.explained("app", "550 [ACL] Blocked. See", "a@example.org", "--header", "From: a@all.test")


def test_replies(house: Submitting, way: int) -> None:
    """The replies of the documents, to the letter."""
    it = Way(house, way)
    for user, password in (("app", "wrong password"), ("nobody", "wrong password"), ("ann@own.test", "wrong password"), ("bob@own.test", "x" * 12)):
        assert it.refused(user, "a@example.org", password=password) == "535 Authentication failed"
    assert it.refused("elsewhere", "a@example.org") == "535 IP not authorized"
    assert it.refused("elsewhere", "a@example.org", password="wrong password") == "535 Authentication failed"
    it.taken(f"little-{way}", "a@example.org")
    assert it.refused(f"little-{way}", "a@example.org") == "421 4.7.1 Rate limit exceeded. Try again later."
    it.explained("app", "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from example.com. See", "a@example.com")
    it.explained("any", "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from sub.example.com. See", "a@sub.example.com")
    assert it.refused("app", "a@dark.test").startswith("451 4.7.1 [LOCKDOWN] Whether this sender may send from dark.test cannot be checked now")
    it.explained("app", "550 [SPF_INVALID] Blocked. See", "a@nospf.test")
    it.explained("app", "550 [SPAM] Blocked. See", f"spam{way}@example.org", "--body", GTUBE)
    it.explained("app", "550 [VIRUS] Blocked. See", "a@example.org", "--body", "EICAR")
    it.explained("app", "550 [SPAM] Blocked. See", f"spam{way}@example.org", "--body", GTUBE)  # one more than the sender may
    it.explained("app", "550 5.7.1 [ABUSE] Sender blocked: spam or abuse detected. See:", f"spam{way}@example.org")
    it.taken("app", "a@example.org")
    not_owned = "553 5.7.1 Sender address rejected: not owned by user"
    assert it.refused("ann@own.test", "bob@own.test") == not_owned
    assert it.refused("ann@own.test", "ann@own.test", "--header", "From: bob@own.test") == not_owned
