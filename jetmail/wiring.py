"""From settings to the options of each room: what config.py has read as sections, a room wants as one value of its own. Pure; for app.py alone.

Raises ConfigError where only the room can tell that a value makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool

from jetmail import config as configuration
from jetmail.actions.publishing import PublishOptions
from jetmail.api.options import ApiOptions
from jetmail.config import Config, split_host_port
from jetmail.dns import DnsOptions, server_addresses
from jetmail.errors import ConfigError
from jetmail.inbound.activity import Limits
from jetmail.inbound.ldap import LdapOptions
from jetmail.inbound.login import LoginOptions
from jetmail.inbound.options import ConnectionOptions
from jetmail.inbound.submission import SubmissionOptions
from jetmail.inbound.verification import VerificationOptions
from jetmail.interfaces import IDatabase, IDialer, IJob, IQueueDoor, IResolver
from jetmail.jobs.aggregates import AggregatesJob
from jetmail.jobs.transport import TransportJob
from jetmail.mail.address import Address, parse
from jetmail.outbound.fetching import PolicyFetcher, trust
from jetmail.outbound.job import DeliveryOptions, Timeouts
from jetmail.outbound.lane import QueueOptions
from jetmail.outbound.ledger import Ledger
from jetmail.outbound.policies import Policies
from jetmail.outbound.pool import PoolOptions
from jetmail.outbound.reporting import TlsReports
from jetmail.outbound.route import Credentials, Smarthost
from jetmail.outbound.security import Security, SecurityOptions
from jetmail.outbound.tls import TlsMode
from jetmail.suppressing import SuppressingOptions
from jetmail.web.options import WebOptions


def postmaster(config: Config) -> Address | None:
    """[server] postmaster"""
    return parse(config.server.postmaster) if config.server.postmaster else None


def dns_options(config: Config) -> DnsOptions:
    """[dns]"""
    dns = config.dns
    options = DnsOptions(servers=dns.servers, validating=dns.validating, timeout=dns.timeout, cache_entries=dns.cache_entries)
    try:
        server_addresses(options)
    except ValueError as error:
        raise ConfigError([f"{config.file.name}: dns.servers: {error}"]) from error
    return options


def smarthost(config: Config) -> Smarthost | None:
    """[delivery] smarthost"""
    delivery = config.delivery
    if not delivery.smarthost:
        return None
    name, port = split_host_port(delivery.smarthost)
    credentials = Credentials(delivery.smarthost_username, configuration.password(config)) if delivery.smarthost_username else None
    return Smarthost(name, port, TlsMode(delivery.smarthost_tls), credentials)


def connection_options(config: Config) -> ConnectionOptions:
    """[smtp], as connections know it"""
    smtp = config.smtp
    return ConnectionOptions(
        max_connections=smtp.max_connections,
        max_per_address=smtp.max_per_address,
        idle_timeout=smtp.idle_timeout,
        data_timeout=smtp.data_timeout,
        message_timeout=smtp.message_timeout,
        tls_timeout=smtp.tls_timeout,
        stop_grace=smtp.stop_grace,
    )


def submission_options(config: Config, hostname: str) -> SubmissionOptions:
    """[submission]"""
    given = config.submission
    return SubmissionOptions(hostname, given.report_host, given.user_header, given.reject_score, given.spf, given.spf_include.lower())


def login_options(config: Config) -> LoginOptions:
    """[submission], what concerns signing in"""
    return LoginOptions(hashes=config.submission.hashes, waiting=config.submission.login_queue)


def sending_limits(config: Config) -> tuple[Limits, Limits]:
    """[submission] -> the limits of a user, and of one sender of a user"""
    given = config.submission
    return (
        Limits(given.user_messages, given.user_newcomers, given.user_rejections, given.user_spam),
        Limits(given.sender_messages, given.sender_newcomers, given.sender_rejections, given.sender_spam),
    )


def suppressing_options(config: Config) -> SuppressingOptions:
    """[suppression]"""
    given = config.suppression
    return SuppressingOptions(
        given.enabled,
        given.bounces,
        given.complaints,
        given.gone,
        given.refused,
        given.window_days * 86_400.0,
        given.bounce_days,
        given.complaint_days,
    )


def queue_options(config: Config) -> QueueOptions:
    """[queue]"""
    queue = config.queue
    pauses = [queue.probe_first]
    while pauses[-1] < queue.probe_last:
        pauses.append(min(pauses[-1] * 2, queue.probe_last))
    limit = queue.max_per_destination
    return QueueOptions(
        window=queue.window,
        concurrency=queue.max_deliveries,
        lane_start=min(5, limit),
        lane_limit=limit,
        lane_pauses=tuple(pauses),
        grace=config.smtp.stop_grace,
    )


def pool_options(config: Config) -> PoolOptions:
    """[queue] and [delivery], as connections to destinations know them"""
    # An address may be dialled again a little before its destination is probed again, or the probe would be answered out of memory.
    sooner = 0.9 * (1.0 - config.queue.jitter)
    return PoolOptions(
        max_per_address=config.queue.max_per_destination,
        idle_seconds=config.delivery.keep_idle,
        max_messages=config.delivery.keep_messages,
        dead_seconds=sooner * config.queue.probe_first,
        dead_limit=sooner * config.queue.probe_last,
    )


def delivery_options(config: Config, hostname: str) -> DeliveryOptions:
    """[delivery]"""
    delivery = config.delivery
    timeouts = Timeouts(
        connect=delivery.connect_timeout,
        banner=delivery.command_timeout,
        ehlo=delivery.command_timeout,
        tls=min(60.0, delivery.command_timeout),
        mail=delivery.command_timeout,
        rcpt=delivery.command_timeout,
        data=min(120.0, delivery.command_timeout),
        block=delivery.data_timeout,
        final=delivery.final_timeout,
    )
    return DeliveryOptions(
        hostname=hostname,
        source=delivery.source_ipv4,
        source6=delivery.source_ipv6,
        send_8bit_anyway=delivery.send_8bit_anyway,
        bdat=delivery.bdat,
        timeouts=timeouts,
    )


def publish_options(config: Config, hostname: str) -> PublishOptions:
    """[domains], and how long anything signed may be in the queue"""
    given = config.domains
    zone = given.zone.lower() or hostname
    return PublishOptions(
        zone=zone,
        spf_include=config.submission.spf_include.lower() or f"spf.{zone}",
        return_target=given.return_target.lower() or f"return.{zone}",
        return_path=given.return_path.lower(),
        dmarc_reports=given.dmarc_reports or config.reports.address,
        tls_reports=given.tls_reports or config.reports.address,
        policy_target=given.policy_target.lower() or f"mta-sts.{zone}",
        hostname=hostname.lower(),
        selector=given.dkim_selector,
        delegated=given.dkim_delegated,
        ed25519=given.dkim_ed25519,
        rotate=given.dkim_rotate_days * 86_400.0,
        settle=given.dkim_settle,
        keep=config.queue.lifetime + given.dkim_margin,
    )


def ldap_options(config: Config) -> LdapOptions | None:
    """[ldap]; None when there is none"""
    ldap = config.ldap
    if not ldap.servers:
        return None
    return LdapOptions(
        servers=ldap.servers,
        base=ldap.base,
        filter=ldap.filter,
        starttls=ldap.starttls,
        ca_file=str(config.path(ldap.ca_file)) if ldap.ca_file else "",
        bind_dn=ldap.bind_dn,
        password=configuration.ldap_password(config),
        timeout=ldap.timeout,
        connections=min(ldap.connections, max(1, config.server.workers - 1)),  # a directory that hangs leaves a thread for the disk
    )


def verification_options(config: Config) -> VerificationOptions:
    """[verify]"""
    verify = config.verify
    return VerificationOptions(positive=verify.positive, negative=verify.negative, temporary=verify.temporary)


def policy_fetcher(config: Config, reactor: Any, resolver: IResolver, dialer: IDialer) -> PolicyFetcher:
    """[delivery], how policies are fetched and reports posted"""
    delivery = config.delivery
    return PolicyFetcher(reactor, resolver, dialer, trust(str(config.path(delivery.ca_file)) if delivery.ca_file else ""), delivery.mta_sts_port)


def security(config: Config, reactor: Any, resolver: IResolver, fetcher: PolicyFetcher, db: IDatabase) -> Security:
    """[delivery], what hosts found by MX must show"""
    delivery = config.delivery
    policies = Policies(resolver, fetcher.fetch, db, reactor.seconds, Logger("jetmail.outbound.policies"))
    options = SecurityOptions(delivery.dane and config.dns.validating, delivery.mta_sts, delivery.tls_downgrade == "defer")
    return Security(resolver, policies, Ledger(db, reactor.seconds), options)


def transport_jobs(
    config: Config, reactor: Any, resolver: IResolver, db: IDatabase, security: Security, fetcher: PolicyFetcher, hostname: str,
    make_uid: Callable[[], str], queue: IQueueDoor, signed: Callable[[bytes], bytes],
) -> list[IJob]:  # fmt: skip
    """What TLS towards other domains, and reports about it, need now and then"""
    jobs: list[IJob] = [
        AggregatesJob(db, reactor.seconds, config.reports.days),
        TransportJob("tls-sessions", 60.0, security.ledger.flush),
        TransportJob("mta-sts", 3_600.0, lambda: Deferred.fromCoroutine(security.policies.refresh())),
    ]
    if config.delivery.tls_reports:
        log = Logger("jetmail.outbound.reporting")
        reports = TlsReports(db, resolver, fetcher.post, hostname, reactor.seconds, make_uid, queue.wake, log, signed)
        jobs.append(TransportJob("tls-reports", 1_200.0, reports.send))
    return jobs


def api_options(config: Config, hostname: str) -> ApiOptions:
    """[api], and what it shares with [smtp]"""
    api, smtp = config.api, config.smtp
    return ApiOptions(
        hostname=hostname,
        proxies=api.proxies,
        json_limit=api.json_limit,
        json_memory=max(api.json_memory, api.json_limit),
        raw_limit=smtp.max_message_size,
        max_recipients=smtp.max_recipients,
        max_batch=api.max_batch,
        token_rate=api.token_rate,
        address_rate=api.address_rate,
        failures=api.failures,
        max_connections=api.max_connections,
        max_per_address=api.max_per_address,
    )


def web_options(config: Config) -> WebOptions:
    """[web], as the pages know it"""
    return WebOptions(brand=config.web.brand, hosts=tuple(name.lower().rstrip(".") for name in config.web.hosts))


def http_client(reactor: Any) -> HTTPClient:
    """What scanners are asked with: connections kept for the next question, five seconds to make one."""
    return HTTPClient(Agent(reactor, connectTimeout=5.0, pool=HTTPConnectionPool(reactor)))
