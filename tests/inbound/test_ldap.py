"""LDAP over ldap3's own directory in memory: what is searched for, what is kept, what a failure comes to."""

from __future__ import annotations

from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPSocketOpenError
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jetmail.inbound import ldap
from jetmail.inbound.ldap import DOWN_FOR, Directory, LdapOptions
from jetmail.interfaces import Existence, IExecutor
from jetmail.mail.address import parse
from jetmail.offload import InlineExecutor

PEOPLE = {
    "uid=ann,ou=people,dc=demo,dc=test": {"objectClass": "inetOrgPerson", "mail": "ann@demo.test", "cn": "Ann", "sn": "A"},
    "uid=star,ou=people,dc=demo,dc=test": {"objectClass": "inetOrgPerson", "mail": "st*r@demo.test", "cn": "Star", "sn": "S"},
}


class MemoryDirectory(Directory):
    """Connects to entries in memory; `refuses` is raised instead of connecting."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        values: dict[str, Any] = {"servers": ("ldap://one.test",), "base": "ou=people,dc=demo,dc=test", "filter": "(mail={address})"} | options
        super().__init__(IExecutor(InlineExecutor()), clock, LdapOptions(**values))
        self.connected: list[str] = []
        self.refuses: dict[str, Exception] = {}
        self.searched: list[str] = []

    def _thd_connect(self, server: str) -> Any:
        self.connected.append(server)
        if server in self.refuses:
            raise self.refuses[server]
        connection = ldap3.Connection(ldap3.Server("memory"), client_strategy=ldap3.MOCK_SYNC, raise_exceptions=True)
        for name, attributes in PEOPLE.items():
            connection.strategy.add_entry(name, attributes)
        connection.bind()
        search = connection.search

        def searched(base: str, query: str, **more: Any) -> Any:
            self.searched.append(query)
            return search(base, query, **more)

        connection.search = searched
        return connection


class DirectoryTests(SynchronousTestCase):
    """Of Directory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = MemoryDirectory(self.clock)

    def ask(self, address: str) -> Existence:
        """The answer."""
        result: Existence = self.successResultOf(self.directory.ask(parse(address)))
        return result

    def test_found_and_not(self) -> None:
        """Who has an entry exists, in any case of letters; who has none does not; one connection serves them all."""
        self.assertEqual(self.ask("ann@demo.test"), Existence.YES)
        self.assertEqual(self.ask("ANN@demo.test"), Existence.YES)
        self.assertEqual(self.ask("bob@demo.test"), Existence.NO)
        self.assertEqual(self.directory.connected, ["ldap://one.test"])

    def test_tag(self) -> None:
        """An address with a tag is asked about as it is, then without it."""
        self.assertEqual(self.ask("ann+news@demo.test"), Existence.YES)
        self.assertEqual(self.directory.searched, ["(mail=ann+news@demo.test)", "(mail=ann@demo.test)"])

    def test_nothing_breaks_out_of_the_filter(self) -> None:
        """Stars, parentheses and braces of an address are letters."""
        self.assertEqual(self.ask("*@demo.test"), Existence.NO)
        self.assertEqual(self.ask("a*@demo.test"), Existence.NO)
        self.assertEqual(self.ask('"a)(mail=*"@demo.test'), Existence.NO)
        self.assertEqual(self.ask("{domain}@demo.test"), Existence.NO)
        self.assertEqual(self.ask("st*r@demo.test"), Existence.YES)
        self.assertIn("(mail={domain}@demo.test)", self.directory.searched)
        self.assertIn("(mail=\\2a@demo.test)", self.directory.searched)

    def test_places(self) -> None:
        """The base is filled in too, escaped as a name and not as a filter."""
        self.directory = MemoryDirectory(self.clock, base="ou=people,dc=demo,dc=test", filter="(&(mail={local}@{domain})(cn=*))")
        self.assertEqual(self.ask("ann@demo.test"), Existence.YES)
        self.assertEqual(ldap._filled("o={domain}", parse("a@x.test"), lambda value: value.upper()), "o=X.TEST")

    def test_next_server(self) -> None:
        """Servers are tried in order."""
        self.directory = MemoryDirectory(self.clock, servers=("ldap://one.test", "ldap://two.test"))
        self.directory.refuses["ldap://one.test"] = LDAPSocketOpenError("refused")
        self.assertEqual(self.ask("ann@demo.test"), Existence.YES)
        self.assertEqual(self.directory.connected, ["ldap://one.test", "ldap://two.test"])

    def test_down(self) -> None:
        """When nobody answers it is a fault, nobody is asked for a moment, then again."""
        for problem in (LDAPSocketOpenError("refused"), OSError("no route")):
            self.setUp()
            self.directory.refuses["ldap://one.test"] = problem
            self.assertEqual(self.ask("ann@demo.test"), Existence.FAULT)
            self.assertEqual(self.ask("ann@demo.test"), Existence.FAULT)
            self.assertEqual(len(self.directory.connected), 1)
            self.clock.advance(DOWN_FOR)
            self.directory.refuses.clear()
            self.assertEqual(self.ask("ann@demo.test"), Existence.YES)

    def test_who_waits_is_told(self) -> None:
        """Whoever waits for a turn when the directory is found dead hears so at once: it is not asked once more for each of them."""
        running: list[Deferred[bool]] = []

        @implementer(IExecutor)
        class Slow:
            def run(self, function: Any, *arguments: Any) -> Deferred[bool]:
                running.append(Deferred())
                return running[-1]

        directory = Directory(IExecutor(Slow()), self.clock, LdapOptions(("ldap://one.test",), "dc=test", connections=2))
        asked = [directory.ask(parse(f"{number}@demo.test")) for number in range(50)]
        self.assertEqual(len(running), 2)
        running[0].errback(LDAPSocketOpenError("time is over"))
        running[1].callback(True)
        self.assertEqual(len(running), 2)
        self.assertEqual([self.successResultOf(each) for each in asked], [Existence.FAULT, Existence.YES, *[Existence.FAULT] * 48])
        self.flushLoggedErrors()

    def test_a_kept_connection_that_had_ended(self) -> None:
        """It is replaced by a fresh one within the same question."""
        self.ask("ann@demo.test")

        def gone(*args: Any, **more: Any) -> Any:
            raise LDAPSocketOpenError("gone")

        self.directory._idle[0].search = gone
        self.assertEqual(self.ask("ann@demo.test"), Existence.YES)
        self.assertEqual(len(self.directory.connected), 2)
        self.directory.close()
        self.assertFalse(self.directory._idle)

    def test_an_unfinished_search_is_no_answer(self) -> None:
        """A search that ran out of time, or was referred elsewhere, says nothing about anybody."""
        self.ask("ann@demo.test")

        def unfinished(*args: Any, **more: Any) -> Any:
            connection.response, connection.result = [], {"result": 3, "description": "timeLimitExceeded"}

        connect = self.directory._thd_connect

        def connect_and_break(server: str) -> Any:
            nonlocal connection
            connection = connect(server)
            connection.search = unfinished
            return connection

        connection = self.directory._idle[0]
        connection.search = unfinished
        self.directory._thd_connect = connect_and_break  # type: ignore[method-assign]
        self.assertEqual(self.ask("bob@demo.test"), Existence.FAULT)


def test_password_is_not_shown() -> None:
    """The options can be printed."""
    assert "secret" not in repr(LdapOptions(("ldap://x",), "dc=x", password="secret"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('servers = ["http://x"]\nbase = "dc=x"', "ldap://HOST"),
        ('servers = ["ldap://x:port"]\nbase = "dc=x"', "ldap://HOST"),
        ('servers = ["ldap://x"]', "ldap.base"),
        ('servers = ["ldap://x"]\nbase = "dc=x"\nfilter = "(mail=*)"', "match anybody"),
        ('servers = ["ldap://x"]\nbase = "dc=x"\nbind_dn = "cn=a"', "given together"),
        ('servers = ["ldap://x"]\nbase = "dc=x"\nbind_dn = "cn=a"\npassword_file = "p"\nstarttls = false', "another machine"),
    ],
)
def test_settings_that_cannot_be_meant(text: str, problem: str, tmp_path: Any) -> None:
    """[ldap] is checked at boot, and a password never goes in clear to another machine."""
    from jetmail.config import load
    from jetmail.errors import ConfigError

    (tmp_path / "jetmail.toml").write_text("[ldap]\n" + text)
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path / "jetmail.toml")
