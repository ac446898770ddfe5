"""`twistd -n jetmail --config DIR/etc/jetmail.toml`: the options, and the service they make.

A configuration that makes no sense ends here, with every fault named, before a port is opened or a file is touched. The reactor is
imported here and nowhere else.
"""

from __future__ import annotations

import sys

from twisted.application.service import IService
from twisted.python import usage
from twisted.python.reflect import namedAny

from jetmail.app import Appliance
from jetmail.config import load, with_ports
from jetmail.errors import ConfigError
from jetmail.host import refuse_to_start


class Options(usage.Options):
    """What the command line says. Ports given here replace the configured ones; 0 lets the system choose (and the ready line tells)."""

    synopsis = "[--config FILE] [--smtp-port N] [--submission-port N] [--submissions-port N] [--http-port N]"
    longdesc = "Runs the mail appliance described by FILE. `jetmail init DIR` makes one to start from."
    optParameters = [
        ["config", "c", "etc/jetmail.toml", "settings file"],
        ["smtp-port", None, None, "port for mail to our domains instead of the configured one", int],
        ["submission-port", None, None, "port for users with STARTTLS", int],
        ["submissions-port", None, None, "port for users with TLS from the start", int],
        ["http-port", None, None, "port of the pages", int],
        ["demo-inbox-port", None, None, "what `jetmail demo` adds: an inbox on this port that takes all mail", int],
    ]

    def postOptions(self) -> None:
        """Read the file now: twistd shows a UsageError as it is."""
        try:
            ports = {"mx": self["smtp-port"], "submission": self["submission-port"], "submissions": self["submissions-port"]}
            self.configuration = with_ports(load(self["config"]), ports, self["http-port"])
        except ConfigError as error:
            raise usage.UsageError(str(error)) from error


def makeService(options: Options) -> IService:
    """The appliance as a service of the global reactor. Ends the process when the rule chain is at fault."""
    from twisted.internet import reactor

    try:
        if options["demo-inbox-port"] is not None:
            # By name: the demo belongs to the command line, which imports everything and is imported by nobody.
            return namedAny("jetmail.cli.demo_server.demo")(options.configuration, reactor, options["demo-inbox-port"])
        return Appliance(options.configuration, reactor, announce=announce)
    except ConfigError as error:
        refuse_to_start(str(error))


def announce(line: str) -> None:
    """Say that everything is open. The line begins with 'jetmail ready'."""
    print(line, flush=True, file=sys.__stdout__)  # sys.stdout is the log by now
