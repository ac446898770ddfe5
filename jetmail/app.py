"""The composition root: a Config and a reactor in, the whole appliance out. It knows everybody and nobody imports it but tap and the command line.

Boot reads from top to bottom in `privilegedStartService` (ports, while we may still be root) and `startService` (store, spool, queue, jobs,
sessions). Everything that can be wrong with the configuration is found in `__init__`, before anything is touched. A store that is too new, a
port that is taken, a directory that cannot be written end the process with one line that says so.

Stop is ordered too, because services of a MultiService do not wait for one another: no new connections, running sessions end, running
deliveries end, jobs, pages, threads, and the store last, when nobody can need it any more.

Raises ConfigError from the constructor; the two start methods end the process with a sentence (host.refuse_to_start).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from jetmail import building, host, logs, wiring
from jetmail import config as configuration
from jetmail.actions.dkim import Workshop
from jetmail.config import Config
from jetmail.dns import Resolver
from jetmail.errors import ConfigError, StoreError
from jetmail.inbound.activity import Activity
from jetmail.inbound.blocking import Blocking
from jetmail.inbound.connections import Connections
from jetmail.inbound.contacts import Contacts
from jetmail.inbound.greylist import Greylist
from jetmail.inbound.holding import Holding
from jetmail.inbound.ldap import Directory as LdapDirectory
from jetmail.inbound.listener import Listeners
from jetmail.inbound.lockdown import LockdownCheck
from jetmail.inbound.login import DirectoryLogin
from jetmail.inbound.peer import Peer
from jetmail.inbound.policies import PolicyBook
from jetmail.inbound.quota import Meter
from jetmail.inbound.services import ReceiverOptions, ReceiverServices
from jetmail.inbound.submission import Submissions
from jetmail.inbound.tls import CertificateFiles, ServerTls, ensure_certificate
from jetmail.inbound.transaction import Receiver
from jetmail.inbound.verification import Verification
from jetmail.interfaces import IContentStore, IDatabase, IDialer, IEntropy, IExecutor, ILogin, IQueueDoor, IResolver
from jetmail.jobs.learning import Learner, LearningJob
from jetmail.jobs.scheduler import Scheduler
from jetmail.mail.address import AddressError, parse
from jetmail.mail.outcome import Outcome, Result
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import InlineExecutor, SystemEntropy, ThreadExecutor
from jetmail.outbound import providers
from jetmail.outbound.bounce import Reporter, ReportOptions
from jetmail.outbound.callout import Callout
from jetmail.outbound.dialer import Dialer
from jetmail.outbound.queue import Queue
from jetmail.outbound.schedule import ScheduleOptions
from jetmail.outbound.suppressed import Sifter
from jetmail.returnpaths import ReturnPaths
from jetmail.rules import registry, symbols
from jetmail.rules.chain import Judge
from jetmail.rules.services import RuleServices
from jetmail.signatures import Signatures
from jetmail.spool.files import FileStore, SpoolOptions
from jetmail.spool.sweep import sweep
from jetmail.store import migrations
from jetmail.store.database import Database
from jetmail.store.directory.cache import Directory
from jetmail.store.keyfiles import KeyFiles
from jetmail.store.traffic import contacts, spooled
from jetmail.web.metrics import Metrics
from jetmail.web.site import make_site


class Appliance(Service):
    """Everything. `announce` is told one line when all is open."""

    name = "jetmail"
    log = Logger()

    def __init__(self, config: Config, reactor: Any, announce: Callable[[str], None] = lambda line: None) -> None:
        self.config = config
        self.reactor = reactor
        self._announce = announce
        self.hostname = config.server.hostname or host.full_hostname()
        self._owner = host.identity(config.server.user, config.server.group)
        self._inherited = host.inherited_sockets(host.first_environment(), os.getpid())
        self._chain = registry.load(config.rules_file)
        self.scores = symbols.load(config.file.parent / "scores.toml", self._chain.symbols)
        self._presets = providers.load(config.file.parent / providers.FILE_NAME)
        self._dns_options = wiring.dns_options(config)
        self._smarthost = wiring.smarthost(config)
        self._ldap_options = wiring.ldap_options(config)
        self._pages: Any = None
        self._wake_up: Any = None
        self._compose()

    # what is made of what

    def _compose(self) -> None:
        config, reactor = self.config, self.reactor
        self.metrics = Metrics(CollectorRegistry())
        self.entropy = IEntropy(SystemEntropy())
        self.executor = ThreadExecutor(reactor, config.server.workers, config.submission.hashes)
        self.db = Database(str(config.database), reactor, self.metrics.committed)
        self.directory = Directory(self.db, reactor.seconds)
        self._spool_options = SpoolOptions(str(config.state / "spool"), config.store.min_free)
        self.files = CertificateFiles(
            config.path(config.tls.certificate or f"{config.server.state}/tls/certificate.pem"),
            config.path(config.tls.key or f"{config.server.state}/tls/key.pem"),
        )
        self.resolver = IResolver(Resolver(reactor, self._dns_options, self.entropy))
        self.dialer = IDialer(Dialer(reactor))
        self.connections = Connections(reactor, wiring.connection_options(config))
        self.learner = Learner(
            IDatabase(self.db), config.state / "classifier" / "model", IExecutor(self.executor), self.hostname, Logger("jetmail.jobs.learning")
        )
        services = RuleServices(
            self.hostname,
            reactor,
            self.resolver,
            IExecutor(self.executor),
            self.scores,
            config.file.parent,
            config.state,
            dialer=self.dialer,
            http=wiring.http_client(reactor),
            verify=lambda mode, address: self.verification.verify(mode, address),
            classifier=self.learner.classifier,
        )
        self._chain.bind(services)
        self.judge = Judge(self._chain, reactor)

    def _compose_on_disk(self) -> None:
        """What needs the state directory: after it was made, before root is left."""
        config, reactor = self.config, self.reactor
        self.content = FileStore(self._spool_options, IExecutor(self.executor), self._make_name, reactor.seconds)
        suffixes = PublicSuffixes()
        keys = KeyFiles(config.state / "dkim")
        self.signatures = Signatures(self.directory, keys, suffixes, IExecutor(self.executor), reactor.seconds)
        options = wiring.publish_options(config, self.hostname)
        shop = Workshop(IDatabase(self.db), self.resolver, IExecutor(self.executor), keys, options, suffixes, reactor.seconds)
        outgoing = building.outgoing(
            config, reactor, self.hostname, IDatabase(self.db), self.directory, self.resolver, self.dialer, self.entropy,
            IContentStore(self.content), self._smarthost, self._presets, suffixes,
        )  # fmt: skip
        deliverer, self.pool, self.security = outgoing.deliverer, outgoing.pool, outgoing.security
        asked = {"callout": Callout(deliverer, config.verify.timeout).ask}
        if self._ldap_options is not None:
            asked["ldap"] = LdapDirectory(IExecutor(self.executor), reactor, self._ldap_options).ask
        self.verification = Verification(reactor, asked, wiring.verification_options(config))
        self.contacts = Contacts(IDatabase(self.db), Greylist(write=lambda rows: self.db.run(contacts.save_greylist, rows), clock=reactor))
        self.suppressing = building.suppressing(config, IDatabase(self.db), self.directory)
        self.queue = Queue(
            self.db,
            Sifter(outgoing.departures, self.suppressing.find_for, reactor.seconds, Logger("jetmail.outbound.suppressed")),
            self.content,
            ScheduleOptions(config.queue.retries, config.queue.jitter, config.queue.lifetime, config.queue.delay_notice),
            reactor,
            self.entropy,
            wiring.queue_options(config),
            Reporter(ReportOptions(self.hostname), self.make_uid, self.entropy, self._behind_alias, self.signatures.signed),
            Logger("jetmail.outbound.queue"),
            on_outcome=self._count,
            sites=outgoing.sites,
            find=outgoing.find,
            strikes=self.suppressing.of_bounce,
        )
        self.returns = ReturnPaths(
            config, self.hostname, IDatabase(self.db), self.directory, self.entropy, reactor.seconds, self._behind_alias, self.suppressing,
            self.metrics.returned, IExecutor(self.executor),
        )  # fmt: skip
        deliverer.sender = self.returns.sender
        book = PolicyBook(self.directory, self.returns.door.is_ours, wiring.postmaster(config), self.hostname.lower())
        self.activity = Activity(self.db, reactor, *wiring.sending_limits(config))
        self.activity.on_over = Blocking(
            self.db, self.directory, book, IQueueDoor(self.queue), self.hostname, reactor.seconds, self.make_uid, self.signatures.signed
        )
        self.submissions = Submissions(
            wiring.submission_options(config, self.hostname), self.directory, Meter(self.db), self.activity, self.resolver, reactor,
            lockdown=LockdownCheck(self.resolver, suffixes, reactor), suppressing=self.suppressing,
        )  # fmt: skip
        login = DirectoryLogin(
            self.directory, self.executor.patient, reactor, self.entropy.token(32), wiring.login_options(config), on_login=self.activity.seen
        )
        self.services = ReceiverServices(
            hostname=self.hostname,
            db=IDatabase(self.db),
            book=book,
            judge=self.judge,
            content=IContentStore(self.content),
            queue=IQueueDoor(self.queue),
            login=ILogin(login),
            clock=reactor,
            make_uid=self.make_uid,
            first_retry=self.queue.first_retry,
            has_room=self.content.has_room,
            options=ReceiverOptions(inline_limit=config.store.inline_limit),
            submissions=self.submissions,
            contacts=self.contacts,
            signatures=self.signatures,
            returns=self.returns.door,
            holding=Holding(self.directory),
            on_accepted=self.metrics.accepted,
            on_refused=self.metrics.refused,
        )
        if ensure_certificate(self.files, self.hostname, reactor.seconds()):
            self.log.warn("made a self-signed certificate for {hostname}: {path}", hostname=self.hostname, path=str(self.files.certificate))
        tls = ServerTls(self.files)
        doors = building.doors(config, self.hostname, self.connections, self._make_receiver, self._make_reference, self._inherited, tls, login)
        self.listeners = Listeners(reactor, self.connections, list(doors))
        self.webhooks = building.webhooks(config, reactor, IDatabase(self.db), self.resolver, self.dialer, self.entropy, self.metrics)
        jobs = building.jobs(
            config, reactor, self.db, self.content, self.hostname, self.make_uid, IQueueDoor(self.queue), outgoing, self.resolver, self.executor,
            shop, self.signatures.signed, self.contacts.greylist.expire, self.activity.returned, self.suppressing.options.window,
        )  # fmt: skip
        own = [LearningJob(self.db, self.learner, reactor.seconds), self.returns]
        self.scheduler = Scheduler(self.db, reactor, reactor.seconds, [*jobs, *own], Logger("jetmail.jobs"))
        self.api = building.api(
            config, reactor, self.services, self.directory, self.entropy, self.executor, self.metrics, self._make_reference, tls
        )  # fmt: skip
        self.policies = building.policies(config, reactor, self.hostname, self.directory, self.metrics, self.files, self._inherited)
        web = building.web_services(
            config, reactor, self.db, self.content, self.executor, self.metrics, self.connections, self.queue, self.listeners, self.scores,
            self._make_reference,
        )  # fmt: skip
        self.site = make_site(wiring.web_options(config), web)

    def _make_receiver(self, peer: Peer) -> Receiver:
        self.metrics.connected(peer.listener)
        return Receiver(self.services, peer)

    # small things handed to rooms

    def make_uid(self) -> str:
        """A new message id: milliseconds first, so that the store's index grows at its end."""
        return f"{int(self.reactor.seconds() * 1000):011x}{self.entropy.token(5).hex()[:9]}"

    def _count(self, outcome: Outcome) -> None:
        if outcome.result is Result.DELIVERED:
            self.metrics.delivered()
        elif outcome.result is Result.LATER:
            self.metrics.deferred(outcome.reason)
        else:
            self.metrics.bounced(outcome.reason)

    def _make_name(self) -> str:
        return self.make_uid() + self.entropy.token(6).hex()

    def _make_reference(self) -> str:
        return self.entropy.token(5).hex()

    def _behind_alias(self, address: str) -> Any:
        try:
            targets = self.services.book.recipient(parse(address)).targets
        except AddressError:
            return (address,)
        return tuple(str(target) for target in targets) or (address,)

    # Service

    def setServiceParent(self, parent: Any) -> None:
        """twistd hands us to an Application, which is where it asks for the log observer."""
        if isinstance(parent, Componentized):
            import sys

            parent.setComponent(ILogObserver, logs.observer(sys.stderr, self.config.log.format, self.config.log.level))
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Make the state directory and open every port, as the user the process was started as."""
        try:
            host.give_to(self.config.state, self._owner)
            self._compose_on_disk()
            self.listeners.listen()
            self.api.listen()
            self.policies.listen()
            if self.config.web.port:
                self._pages = self.reactor.listenTCP(self.config.web.port, self.site, interface=self.config.web.address)
            host.give_to(self.config.state, self._owner)
        except CannotListenError as error:
            host.refuse_to_start(f"port {error.port} on {error.interface or 'any address'} cannot be opened: {_reason(error)}")
        except ConfigError as error:
            host.refuse_to_start(str(error))

    def startService(self) -> None:
        """Leave root, bring the store up to date, and begin. Connections made since the ports were opened wait in the kernel."""
        if self._pages is None and not hasattr(self, "listeners"):
            self.privilegedStartService()
        try:
            host.leave_root(self.config.server.user, self._owner)
            for key, value in configuration.effective(self.config):
                self.log.debug("setting {key} = {value}", key=key, value=value)
            migrations.apply(str(self.config.database))
            self.db.open()
            self.contacts.load(self.reactor.seconds())
            self.learner.load()
            self.security.load()
            self._sweep()
            self._listen_for_wake_ups()
        except (ConfigError, StoreError) as error:
            host.refuse_to_start(str(error))
        self.executor.start()
        self.queue.startService()
        self.listeners.startService()
        self.scheduler.start()
        self.webhooks.start()
        super().startService()
        self.reactor.callWhenRunning(self._ready)

    def stopService(self) -> Deferred:
        """Each part ends before what it needs does. -> Deferred that fires when the store is closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.api.stop()
        await self.policies.stop()
        await self.listeners.stopService()
        await self.queue.stopService()
        self.pool.close()
        await self.scheduler.stop()
        await self.webhooks.stop()
        await self.contacts.greylist.flush()
        await self.learner.stop()
        await self.activity.flush()
        await self.security.ledger.stop()
        for port in (self._pages, self._wake_up):
            if port is not None:
                await maybeDeferred(port.stopListening)
        self.config.socket.unlink(missing_ok=True)
        await self.db.close()
        self.executor.stop()
        self.log.info("stopped")

    def _sweep(self) -> None:
        """Before anybody receives: nothing else runs yet, so on this thread."""
        failed: list[Any] = []
        inline = FileStore(self._spool_options, InlineExecutor(), self._make_name)
        sweep(inline, self.db.read(spooled.listing), Logger("jetmail.spool")).addErrback(failed.append)
        if failed:
            raise StoreError(failed[0].getErrorMessage())

    def _woken(self) -> None:
        self.queue.wake()
        self.learner.wake()
        self.webhooks.wake()

    def _listen_for_wake_ups(self) -> None:
        path = self.config.socket
        path.unlink(missing_ok=True)
        try:
            self._wake_up = self.reactor.listenUNIXDatagram(str(path), WakeUp(self._woken), mode=0o660)
        except CannotListenError as error:
            self.log.warn("cannot listen on {path}: the command line's changes are noticed a little later", path=str(path), reason=str(error))

    def _ready(self) -> None:
        # What boot made stays for good: out of the collector's sight. Sessions are freed by reference counts; the collector need only look
        # now and then.
        gc.collect()
        gc.freeze()
        host.give_back_memory()
        gc.set_threshold(20_000, 20, 50)
        ports = " ".join(f"{name}={port}" for name, port in self.listeners.ports.items())
        web = f" web=http://{host.bracketed(self.config.web.address)}:{self._pages.getHost().port}/" if self._pages is not None else ""
        self.log.info("ready", hostname=self.hostname, ports=ports)
        self._announce(f"jetmail ready {ports}{web}{self.api.url and ' api=' + self.api.url}")


class WakeUp(DatagramProtocol):
    """The command line wrote to the store: look. What the datagram says does not matter."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """One nudge."""
        self._wake()


def _reason(error: CannotListenError) -> str:
    inner = error.socketError
    return getattr(inner, "strerror", None) or str(inner)
