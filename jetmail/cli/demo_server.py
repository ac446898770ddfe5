"""The demo's server: the appliance as it is, an inbox beside it, and a line on standard output for each message.

`jetmail.tap` makes it, by name, when twistd is given --demo-inbox-port. The inbox speaks the appliance's own SMTP over listeners of its own, so it
is met like any destination; its pages stand in front of the site and behind the site's door. The lines come from the log as the portal shows it,
looked at twice a second: a message is told when it comes and again when something became of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from jetmail import resources
from jetmail.actions import logsearch
from jetmail.actions.access import Actor
from jetmail.app import Appliance
from jetmail.cli import output
from jetmail.cli.demo import DIRECTORY, DOMAIN, LOOPBACK
from jetmail.cli.demo_inbox import Inbox, Receiver
from jetmail.cli.demo_pages import Pages
from jetmail.cli.log import status_word
from jetmail.cli.parser import program
from jetmail.config import Config
from jetmail.host import refuse_to_start
from jetmail.inbound.connections import Connections
from jetmail.inbound.listener import Listeners, SmtpFactory
from jetmail.inbound.options import ConnectionOptions, ListenerOptions
from jetmail.mail.status import Status
from jetmail.smtp.options import SessionOptions
from jetmail.store.traffic.search import Criteria, LogRow
from jetmail.web.options import WebOptions
from jetmail.web.render import Renderer, load_static

LOOK_SECONDS = 0.5
LOOK_ROWS = logsearch.MAX_LIMIT
MAX_SIZE = 2_000 << 20  # the inbox takes whatever the appliance takes


def demo(config: Config, reactor: Any, inbox_port: int) -> DemoAppliance:
    """The service that twistd runs for `jetmail demo`."""
    return DemoAppliance(config, reactor, inbox_port, _print)


def _print(line: str) -> None:
    print(line, flush=True, file=sys.__stdout__)  # sys.stdout is the log by now


class DemoAppliance(Appliance):
    """See the module. `say` prints one line."""

    demo_log = Logger()

    def __init__(self, config: Config, reactor: Any, inbox_port: int, say: Callable[[str], None]) -> None:
        super().__init__(config, reactor, announce=self._announce_demo)
        self._say = say
        self.inbox = Inbox(config.root / "inbox")
        self._teller = Teller(say)
        options = ListenerOptions("inbox", "mx", LOOPBACK, inbox_port)
        session = SessionOptions("inbox.demo.test", "mx", tls_available=False, max_size=MAX_SIZE)
        connections = Connections(reactor, ConnectionOptions())
        factory = SmtpFactory(options, session, connections, lambda peer: Receiver(self.inbox), lambda: "inbox")
        self._inbox_door = Listeners(reactor, connections, [factory])
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def privilegedStartService(self) -> None:
        """The appliance's ports and the inbox's."""
        super().privilegedStartService()
        try:
            self._inbox_door.listen()
        except CannotListenError as error:
            refuse_to_start(f"--inbox-port: port {error.port} cannot be opened: {error.socketError}")
        renderer = Renderer(resources.templates(), load_static(resources.static()), WebOptions(brand=self.config.web.brand), self.reactor.seconds)
        self.site.resource = Pages(self.inbox, self.site.resource, renderer, DOMAIN)

    def startService(self) -> None:
        """Begin, and begin to tell."""
        super().startService()
        self._inbox_door.startService()
        self._look().addBoth(lambda _: self._looking.start(LOOK_SECONDS, now=False))

    def stopService(self) -> Deferred:
        """The inbox ends last: deliveries under way still reach it."""
        if self._looking.running:
            self._looking.stop()
        return super().stopService().addCallback(lambda _: self._inbox_door.stopService())

    def _announce_demo(self, line: str) -> None:
        web = f"http://{LOOPBACK}:{self._pages.getHost().port}" if self._pages is not None else "(off)"
        ports = {**self.listeners.ports, **self._inbox_door.ports}
        command = program()
        root = f" --dir {shown}" if (shown := _shown(self.config.root)) != str(DIRECTORY) else ""
        for name, value in (
            (f"mail to {DOMAIN}", f"{LOOPBACK}:{ports.get('mx', '-')}  (MX; alice, bob, carol, zoë, postmaster; team is alice and bob)"),
            ("submission", f"{LOOPBACK}:{ports.get('submission', '-')}  (STARTTLS, then AUTH; there are no users yet)"),
            ("web pages", f"{web}/"),
            ("demo inbox", f"{web}/demo/inbox  (SMTP on port {ports['inbox']}, files in {_shown(self.inbox.folder)})"),
            ("send a dozen", f"{command}{root} demo-mail"),
            ("command line", f"{command} --dir {shown} log"),
        ):
            self._say(f"  {name:<18} {value}")
        self._say(line)

    def _look(self) -> Deferred:
        found = logsearch.search(self.db, Actor.sysadmin("demo", "system"), Criteria(), limit=LOOK_ROWS)
        # A look that fails (the store is busy or closing) is made up for by the next.
        return found.addCallbacks(
            lambda page: self._teller.tell(page.rows), lambda failure: self.demo_log.warn("demo: {why}", why=failure.getErrorMessage())
        )


class Teller:
    """Remembers what was told. The first rows it is given are old news."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: dict[tuple[int, int], tuple[str, int]] | None = None

    def tell(self, rows: tuple[LogRow, ...]) -> None:
        """`rows` newest first, as the log gives them; what is new in them is said, oldest first."""
        before = self._told
        self._told = {(row.message_id, row.delivery_id): (row.status, row.attempts if row.status == Status.QUEUED else 0) for row in rows}
        if before is None:
            return
        oldest = min(before, default=(0, 0))
        for row in reversed(rows):
            key = (row.message_id, row.delivery_id)
            if key >= oldest and before.get(key) != self._told[key]:
                self._say(
                    line(
                        row.finished or row.received, status_word(row.status, row.held), row.sender or "<>", row.recipient, row.subject, row.last_word
                    )
                )


def line(at: float, status: str, sender: str, recipient: str, subject: str, reply: str) -> str:
    """One message on one line."""
    time = datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
    return output.clean(f"{time} {status:<11} {sender} -> {recipient}  {subject[:60] or '(no subject)'}  [{reply[:100]}]")


def _shown(path: Path) -> str:
    """Relative where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
