"""Parts of the appliance that are made of many others: what leaves (`outgoing`), who is told of it (`webhooks`), the doors mail comes in by
(`doors`, `api`), what tells others that TLS is wanted (`policies`), what is done now and then (`jobs`), what pages are made of
(`web_services`). app.py calls each once, in the order it boots; nothing is kept here.

Raises ConfigError where a setting makes no sense to the room it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from jetmail import host, wiring
from jetmail.actions.access import Actor
from jetmail.actions.dkim import Workshop
from jetmail.actions.findings import explain
from jetmail.actions.publishing import served
from jetmail.actions.tokens import Bearers
from jetmail.api.site import ApiPort, ApiServices, make_api
from jetmail.config import Config
from jetmail.inbound.connections import Connections
from jetmail.inbound.handin import HandIn
from jetmail.inbound.listener import Listeners, SmtpFactory, adopted, everywhere
from jetmail.inbound.login import DirectoryLogin, is_allowed_from
from jetmail.inbound.options import ListenerOptions
from jetmail.inbound.peer import Peer, origin, plain
from jetmail.inbound.services import ReceiverServices
from jetmail.inbound.tls import CertificateFiles, ServerTls
from jetmail.inbound.transaction import Receiver
from jetmail.interfaces import IContentStore, IDatabase, IDialer, IEntropy, IExecutor, IHandIn, IJob, IQueueDoor, IResolver
from jetmail.jobs.checkpoint import CheckpointJob
from jetmail.jobs.contacts import ContactsJob
from jetmail.jobs.dkim_rotation import DkimRotationJob
from jetmail.jobs.domain_checks import DomainChecksJob
from jetmail.jobs.quarantine import QuarantineJob
from jetmail.jobs.retention import RetentionJob
from jetmail.jobs.returned import ReturnedJob
from jetmail.jobs.suppressions import SuppressionsJob
from jetmail.jobs.vacuum import VacuumJob
from jetmail.jobs.webhook_retention import WebhookRetentionJob
from jetmail.jobs.webhooks import WebhookOptions, Webhooks
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import ThreadExecutor
from jetmail.outbound.attempt import Deliverer
from jetmail.outbound.departures import Departures
from jetmail.outbound.fetching import PolicyFetcher, trust
from jetmail.outbound.gate import Find
from jetmail.outbound.pool import Pool
from jetmail.outbound.posting import Poster
from jetmail.outbound.providers import Providers
from jetmail.outbound.queue import Queue
from jetmail.outbound.route import RouteOptions, Router, Smarthost
from jetmail.outbound.security import Security
from jetmail.outbound.sites import Sites
from jetmail.outbound.tls import ClientTls, TlsOptions
from jetmail.outbound.warmup import Counts
from jetmail.rules.symbols import Scores
from jetmail.smtp.options import SessionOptions
from jetmail.spool.content import chunks
from jetmail.spool.files import FileStore
from jetmail.store.database import Database
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic.webhook_queue import Bounds
from jetmail.suppressing import Suppressing
from jetmail.web.door import is_loopback
from jetmail.web.metrics import Metrics
from jetmail.web.policies import PolicyOptions, PolicyPort, PolicySite
from jetmail.web.site import WebServices


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What leaves the house: connections, the security they are to have, and who uses them."""

    fetcher: PolicyFetcher
    security: Security
    pool: Pool
    deliverer: Deliverer
    departures: Departures
    sites: Sites
    find: Find


def outgoing(
    config: Config, reactor: Any, hostname: str, db: IDatabase, directory: Directory, resolver: IResolver, dialer: IDialer, entropy: IEntropy,
    content: IContentStore, smarthost: Smarthost | None, presets: Providers, suffixes: PublicSuffixes,
) -> Outgoing:  # fmt: skip
    """[delivery], [queue]"""
    bound: dict[int, frozenset[str]] = {}
    for listener in config.listeners:
        bound[listener.port] = bound.get(listener.port, frozenset()) | {listener.address}
    delivery = config.delivery
    fetcher = wiring.policy_fetcher(config, reactor, resolver, dialer)
    security = wiring.security(config, reactor, resolver, fetcher, db)

    def destinations(domain: str) -> Any:
        policy = directory.policy_for(domain)
        # A domain that is only claimed must not draw the mail our users send there to wherever its claimant says.
        return policy.destinations if policy is not None and policy.is_verified else ()

    own = RouteOptions(own_names=frozenset({hostname}), own_endpoints=host.OwnEndpoints(bound), smarthost=smarthost, mx_port=delivery.mx_port)
    router = Router(resolver, destinations, entropy, own, security.demands)
    sites = Sites(presets, config.queue.max_per_destination, suffixes.organisational)
    pool = Pool(wiring.pool_options(config), reactor, sites.bounds)
    tls = ClientTls(TlsOptions(str(config.path(delivery.ca_file)) if delivery.ca_file else ""), reactor.seconds)
    options = wiring.delivery_options(config, hostname)
    deliverer = Deliverer(router, pool, dialer, tls, lambda found: chunks(found, content), reactor, options, security)

    def account_of(user: str, domain: str) -> int:
        return (directory.account_of(user) if user else 0) or (directory.outbound_account(domain) if domain else 0)

    departures = Departures(deliverer, directory.sources, account_of, Counts(db, reactor.seconds), reactor.seconds)
    return Outgoing(fetcher, security, pool, deliverer, departures, sites, router.best)


def suppressing(config: Config, db: IDatabase, directory: Directory) -> Suppressing:
    """[suppression]"""
    return Suppressing(db, directory.account_of, wiring.suppressing_options(config))


def webhooks(config: Config, reactor: Any, db: IDatabase, resolver: IResolver, dialer: IDialer, entropy: IEntropy, metrics: Metrics) -> Webhooks:
    """[webhooks]"""
    given = config.webhooks
    trusted = trust(str(config.path(config.delivery.ca_file)) if config.delivery.ca_file else "")
    poster = Poster(reactor, resolver, dialer, trusted, given.timeout)
    options = WebhookOptions(
        retries=given.retries,
        timeout=given.timeout,
        per_hook=given.per_webhook,
        concurrency=given.concurrency,
        bounds=Bounds(given.backlog, given.dead_letters),
    )
    log = Logger("jetmail.jobs.webhooks")
    return Webhooks(db, poster.post, reactor, entropy, options, log, metrics.webhook_attempt, metrics.webhook_dead)


def api(
    config: Config, reactor: Any, receiving: ReceiverServices, directory: Directory, entropy: IEntropy, executor: IExecutor, metrics: Metrics,
    make_reference: Callable[[], str], tls: ServerTls,
) -> ApiPort:  # fmt: skip
    """[api]"""
    given, db = config.api, receiving.db
    hand_in = IHandIn(HandIn(partial(Receiver, receiving), directory, reactor, config.smtp.max_message_size))
    bearers = Bearers(db, directory, reactor.seconds, is_allowed_from)
    services = ApiServices(db, bearers, hand_in, reactor, reactor.seconds, entropy, executor, metrics, make_reference, plain, origin)
    site, messages = make_api(wiring.api_options(config, receiving.hostname), services)
    is_plain = given.tls == "off" or is_loopback(given.address)
    return ApiPort(reactor, site, messages, given.address or everywhere(), given.port, None if is_plain else tls, config.smtp.stop_grace)


def policies(
    config: Config, reactor: Any, hostname: str, directory: Directory, metrics: Metrics, files: CertificateFiles,
    inherited: Mapping[int, Sequence[int]],
) -> PolicyPort:  # fmt: skip
    """[web], the policies of our own domains"""
    web = config.web

    def open_ports(factory: Any) -> list[Any]:
        if not web.policy_port:
            return []
        ours = [adopted(reactor, fd, factory) for fd in inherited.get(web.policy_port, ())]
        return ours or [reactor.listenTCP(web.policy_port, factory, interface=web.policy_address or everywhere())]

    def policy_of(domain: str) -> str:
        found = directory.served_policy(domain)
        policy = directory.policy_for(domain) if found is not None else None
        # A domain that is only claimed must not be spoken for.
        return served(hostname.lower(), found).file if found is not None and policy is not None and policy.is_verified else ""

    folder = config.path(web.policy_certificates) if web.policy_certificates else config.state / "tls"
    site = PolicySite(PolicyOptions(), metrics, reactor, policy_of, origin)
    return PolicyPort(reactor, site, ServerTls(files, folder=folder), open_ports)


def doors(
    config: Config, hostname: str, connections: Connections, make_receiver: Callable[[Peer], Receiver], make_reference: Callable[[], str],
    inherited: Mapping[int, Sequence[int | None]], tls: ServerTls, login: DirectoryLogin,
) -> Iterator[SmtpFactory]:  # fmt: skip
    """One factory for each listener, or for each socket that was handed over for it. Where people sign in, `login` says who need not try."""
    smtp = config.smtp
    kinds = [each.kind for each in config.listeners]
    for index, listener in enumerate(config.listeners):
        name = listener.kind if index == kinds.index(listener.kind) else f"{listener.kind}-{index + 1}"
        session = SessionOptions(
            hostname,
            listener.kind,
            max_size=smtp.max_message_size,
            max_recipients=smtp.max_recipients,
            max_messages=smtp.max_messages,
            max_errors=smtp.max_errors,
        )
        options = ListenerOptions(name, listener.kind, listener.address, listener.port, None, listener.proxy_from, smtp.greeting_delay)
        for number, fd in enumerate(inherited.get(listener.port, [None])):
            door = replace(options, fd=fd, name=options.name if not number else f"{options.name}-{number + 1}")
            welcome = {} if listener.kind == "mx" else {"is_welcome": login.is_welcome}
            yield SmtpFactory(door, session, connections, make_receiver, make_reference, tls, **welcome)


def jobs(
    config: Config, reactor: Any, db: Database, content: FileStore, hostname: str, make_uid: Callable[[], str], queue: IQueueDoor,
    outgoing: Outgoing, resolver: IResolver, executor: ThreadExecutor, shop: Workshop, signed: Callable[[bytes], bytes],
    expire_greylist: Callable[[float], Any], on_returned: Callable[..., Any], window: float,
) -> list[IJob]:  # fmt: skip
    """What is done now and then, whatever comes in. `window`: seconds in which refusals of a recipient add up."""
    seconds = reactor.seconds
    return [
        RetentionJob(db, content, seconds, config.store.log_days),
        QuarantineJob(db, content, seconds, config.store.quarantine_days),
        ContactsJob(db, seconds, expire_greylist),
        ReturnedJob(db, on_returned),
        SuppressionsJob(db, seconds, window),
        *wiring.transport_jobs(config, reactor, resolver, db, outgoing.security, outgoing.fetcher, hostname, make_uid, queue, signed),
        DomainChecksJob(shop),
        DkimRotationJob(shop),
        WebhookRetentionJob(IDatabase(db), seconds, config.webhooks.dead_days),
        VacuumJob(db),
        CheckpointJob(str(config.database), executor, Logger("jetmail.jobs.checkpoint")),
    ]


def web_services(
    config: Config, reactor: Any, db: Database, content: FileStore, executor: ThreadExecutor, metrics: Metrics, connections: Connections,
    queue: Queue, listeners: Listeners, scores: Scores, make_reference: Callable[[], str],
) -> WebServices:  # fmt: skip
    """[web], and what its figures and its word on our health are made of"""
    metrics.connections = lambda: float(len(connections))
    metrics.cooling = lambda: float(queue.figures().cooling)
    metrics.window = lambda: float(queue.figures().window)
    metrics.wal_bytes = lambda: float(host.size_of(Path(str(config.database) + "-wal")))
    checks = {
        "store": lambda: db.run(lambda conn: True),
        "queue": lambda: bool(queue.running) and queue.figures().is_recording,
        "listeners": lambda: bool(listeners.ports),
    }
    return WebServices(
        db,
        Actor.sysadmin("local", "portal"),
        reactor,
        reactor.seconds,
        make_reference,
        metrics,
        IContentStore(content),
        IExecutor(executor),
        lambda found, recipients: explain(found, scores, recipients),
        checks,
    )
