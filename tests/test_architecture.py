"""The house stands as it was drawn: rooms, arrows, bans (tests/house.py holds the rules and says why each exists).

The first half looks at every file of the project. The second half proves that each rule bites, with a line of bad code apiece: a rule that
cannot fail protects nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests import house
from tests.house import Fault, Source


def told(faults: list[Fault]) -> str:
    return "\n\n" + "\n".join(f"  {fault}" for fault in faults) + "\n"


@pytest.mark.parametrize("rule", house.PRODUCT_RULES, ids=lambda rule: rule.__name__)
def test_product(rule: Callable[[Source], Iterator[Fault]]) -> None:
    """Every module of the product obeys this rule of the house."""
    faults = [fault for source in house.product() for fault in rule(source)]
    assert not faults, told(faults)


@pytest.mark.parametrize("rule", house.TEST_RULES, ids=lambda rule: rule.__name__)
def test_tests(rule: Callable[[Source], Iterator[Fault]]) -> None:
    """Every module of the tests obeys this rule of the house."""
    faults = [fault for source in house.tests() for fault in rule(source)]
    assert not faults, told(faults)


def test_no_machine_paths() -> None:
    """Product, scripts and documents name no path of one person's machine."""
    texts = [
        Source(str(path.relative_to(house.ROOT)), path.read_text("utf-8", "replace"))
        for folder in ("bin", "docs", "etc", ".ci")
        for path in sorted((house.ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    faults = [fault for source in [*house.product(), *texts] for fault in house.anywhere(source)]
    assert not faults, told(faults)


def test_every_room_is_known() -> None:
    """Every module and package under jetmail/ is on a line of the house, and no room is on two."""
    found = {path.name.removesuffix(".py") for path in (house.ROOT / "jetmail").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} <= frozenset().union(*house.LINES)
    assert sum(len(line) for line in house.LINES) == len(frozenset().union(*house.LINES))


BAD: list[tuple[Callable[[Source], Iterator[Fault]], str, str]] = [
    (house.arrows, "jetmail/web/pages/log.py", "from jetmail.store.traffic import messages"),
    (house.arrows, "jetmail/api/v1/queue.py", "import jetmail.spool.files"),
    (house.arrows, "jetmail/web/site.py", "from jetmail.outbound import queue"),
    (house.arrows, "jetmail/web/site.py", "from jetmail.rules.verdict import Action"),
    (house.arrows, "jetmail/inbound/transaction.py", "from jetmail.outbound.queue import Queue"),
    (house.arrows, "jetmail/outbound/bounce.py", "from jetmail.inbound.transaction import Receiver"),
    (house.arrows, "jetmail/actions/queue.py", "from jetmail.outbound.queue import Queue"),
    (house.arrows, "jetmail/rules/checks/known.py", "from jetmail.store.directory import domains"),
    (house.arrows, "jetmail/rules/checks/known.py", "from ...store.directory import domains"),
    (house.arrows, "jetmail/smtp/server.py", "from jetmail.config import Config"),
    (house.arrows, "jetmail/mail/address.py", "from jetmail.smtp import grammar"),
    (house.arrows, "jetmail/store/database.py", "from jetmail.spool import sweep"),
    (house.arrows, "jetmail/outbound/queue.py", "from jetmail.app import build"),
    (house.arrows, "jetmail/app.py", "from jetmail.cli import main"),
    (house.arrows, "jetmail/jobs/sweep.py", "from jetmail.outbound import queue"),
    (house.arrows, "jetmail/helpers.py", "X = 1"),
    (house.libraries, "jetmail/outbound/queue.py", "import sqlite3"),
    (house.libraries, "jetmail/cli/database.py", "import sqlite_utils"),
    (house.libraries, "jetmail/smtp/client.py", "from twisted.internet import defer"),
    (house.libraries, "jetmail/mail/dsn.py", "from twisted.python import log"),
    (house.libraries, "jetmail/mail/dsn.py", "import attrs"),
    (house.libraries, "jetmail/classifier/model.py", "import twisted"),
    (house.libraries, "jetmail/inbound/protocol.py", "from twisted.mail import smtp"),
    (house.libraries, "jetmail/inbound/protocol.py", "from twisted.mail.smtp import SMTP"),
    (house.libraries, "tests/inbound/test_protocol.py", "import twisted.mail.smtp"),
    (house.libraries, "jetmail/actions/domains.py", "import klein"),
    (house.libraries, "jetmail/rules/chain.py", "from jinja2 import Template"),
    (house.libraries, "jetmail/outbound/pool.py", "import threading"),
    (house.libraries, "jetmail/dns.py", "import asyncio"),
    (house.reactor, "jetmail/inbound/listener.py", "from twisted.internet import reactor"),
    (house.reactor, "jetmail/tap.py", "from twisted.internet import reactor"),
    (house.reactor, "jetmail/app.py", "def build():\n    from twisted.internet import reactor"),
    (house.clock, "jetmail/outbound/schedule.py", "import time"),
    (house.clock, "jetmail/outbound/schedule.py", "from random import uniform"),
    (house.clock, "jetmail/store/traffic/messages.py", "from uuid import uuid4"),
    (house.clock, "jetmail/jobs/digest.py", "from datetime import datetime\ndatetime.now()"),
    (house.clock, "jetmail/jobs/digest.py", "import datetime\ndatetime.datetime.utcnow()"),
    (house.clock, "jetmail/mail/dsn.py", "from email.utils import formatdate\nformatdate()"),
    (house.clock, "jetmail/inbound/login.py", "import os\nos.urandom(8)"),
    (house.packages, "jetmail/smtp/__init__.py", "'''Doc.'''\nfrom jetmail.smtp.server import Session"),
    (house.documented, "jetmail/smtp/lines.py", "X = 1"),
    (house.mutable, "jetmail/outbound/pool.py", "connections = {}"),
    (house.mutable, "jetmail/outbound/pool.py", "waiting: list[int] = []"),
    (house.mutable, "jetmail/outbound/pool.py", "import collections\nseen = collections.defaultdict(int)"),
    (house.mutable, "jetmail/outbound/pool.py", "TABLE = {}\ndef f():\n    TABLE['a'] = 1"),
    (house.mutable, "jetmail/outbound/pool.py", "TABLE = []\ndef f():\n    TABLE.append(1)"),
    (house.mutable, "jetmail/outbound/pool.py", "count = 0\ndef f():\n    global count\n    count += 1"),
    (house.tidy, "jetmail/smtp/lines.py", "from jetmail.mail.reply import *"),
    (house.tidy, "jetmail/inbound/login.py", "from twisted.internet.defer import inlineCallbacks"),
    (house.tidy, "jetmail/smtp/lines.py", "X = 1\n" * 451),
    (house.tidy, "jetmail/smtp/lines.py", "X = 1  # TO" + "DO later"),
    (house.hermetic, "tests/outbound/test_queue.py", "import time\ntime.sleep(1)"),
    (house.hermetic, "tests/outbound/test_queue.py", "from twisted.internet import reactor"),
    (house.telling, "tests/outbound/test_queue.py", "def test_quiet():\n    assert True"),
    (house.telling, "tests/outbound/test_queue.py", "def test_idle():\n    '''Waits.'''\n    f()"),
    (house.anywhere, "tests/outbound/test_queue.py", "PATH = '/ho" + "me/someone/mail'"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=[f"{rule.__name__}-{number}" for number, (rule, _, _) in enumerate(BAD)])
def test_bites(rule: Callable[[Source], Iterator[Fault]], path: str, text: str) -> None:
    """The rule finds this piece of bad code and explains itself."""
    faults = list(rule(Source(path, text + "\n")))
    assert faults
    assert all(len(fault.why) > 20 for fault in faults)


GOOD: list[tuple[Callable[[Source], Iterator[Fault]], str, str]] = [
    (house.arrows, "jetmail/web/pages/log.py", "from jetmail.actions import logsearch\nfrom jetmail.mail.status import Status"),
    (house.arrows, "jetmail/outbound/queue.py", "from jetmail.store.traffic import deliveries\nfrom jetmail.smtp import client\nfrom . import pool"),
    (house.arrows, "jetmail/app.py", "from jetmail.inbound import listener\nfrom jetmail.outbound import queue\nfrom jetmail.web import site"),
    (house.arrows, "jetmail/cli/main.py", "from jetmail.actions import domains\nfrom jetmail.app import build"),
    (house.libraries, "jetmail/store/database.py", "import sqlite3\nimport threading"),
    (house.reactor, "jetmail/tap.py", "def makeService(options):\n    from twisted.internet import reactor\n    return reactor"),
    (house.clock, "jetmail/app.py", "import time\nimport random"),
    (house.clock, "jetmail/mail/dsn.py", "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)"),
    (house.mutable, "jetmail/smtp/server.py", "VERBS = {b'EHLO': 1}\n__all__ = ['VERBS']"),
    (house.packages, "jetmail/smtp/__init__.py", "'''The grammar.'''"),
    (house.telling, "tests/outbound/test_queue.py", "def check(x):\n    assert x\ndef test_it():\n    '''It holds.'''\n    check(1)"),
    (house.telling, "tests/outbound/test_queue.py", "class A:\n    def test_it(self):\n        '''It holds.'''\n        self.assertEqual(1, 1)"),
    (house.hermetic, "tests/live/harness.py", "import time\ntime.sleep(0.1)"),
]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD, ids=[f"{rule.__name__}-{number}" for number, (rule, _, _) in enumerate(GOOD)])
def test_spares(rule: Callable[[Source], Iterator[Fault]], path: str, text: str) -> None:
    """The rule leaves good code alone."""
    assert not list(rule(Source(path, text + "\n")))
