"""What the process counts, and how Prometheus reads it (docs/metrics.md lists every name; a test compares).

The road must not pay for being watched: counting is adding to a plain integer, here, and the exposition is built only when somebody asks.
Other rooms never import this one; app hands them a bound method (`metrics.accepted`, `metrics.committed`), and gives this object callables for
what is better asked than counted (`metrics.window = queue.window_size`). A callable that raises costs its own sample, never the page.

Labels come from closed lists; should one ever not be closed, further words past MAX_WORDS are counted as 'other', so that no peer can grow the page.
Nothing here is exact to the fsync: counters begin at nought with the process, as Prometheus expects.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.logger import Logger

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_WORDS = 64
BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
COMMIT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = Logger()


class Words:
    """A counter for each word of a small list."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, *words: str, count: int = 1) -> None:
        """Count these label values once more."""
        counts = self.counts
        if words not in counts and len(counts) >= MAX_WORDS:
            words = ("other",) * len(words)
        counts[words] = counts.get(words, 0) + count


class Spread:
    """A histogram: how many observations fell under each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative buckets in the form the exposition wants."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


def _nought() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """`oldest` is an age in seconds; `down` counts destinations."""

    queued: int
    held: int
    oldest: float
    down: int


class Metrics(Collector):
    """The counters of one process. Everything public is for other rooms: methods count, attributes named under 'asked' are set once by app.

    `window`, `cooling`, `connections`, `wal_bytes`, `spool_bytes` -> a number; each is asked once a scrape and must answer at once. The queue is
    not asked but told: whoever serves a scrape looks it up first and calls `queue`, or `queue_unknown` when that failed.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.messages_accepted = 0
        self.octets_accepted = 0
        self.messages_refused = Words()
        self.connections_total = Words()
        self.deliveries = Words()
        self.returned_mail = Words()
        self.web_requests = Words()
        self.webhook_attempts = Words()
        self.webhook_dead_letters = 0
        self.commit_transactions = Spread(BATCH_SIZES)
        self.commit_seconds = Spread(COMMIT_SECONDS)
        self.web_seconds = Spread(ANSWER_SECONDS)
        self._queue: QueueFigures | None = None
        # asked at a scrape
        self.connections: Callable[[], float] = _nought
        self.window: Callable[[], float] = _nought
        self.cooling: Callable[[], float] = _nought
        self.wal_bytes: Callable[[], float] = _nought
        self.spool_bytes: Callable[[], float] = _nought
        registry.register(self)
        ProcessCollector(registry=registry)

    # counted by the receiving side
    def connected(self, listener: str) -> None:
        """A connection was accepted by the listener of this name."""
        self.connections_total.add(listener)

    def accepted(self, octets: int) -> None:
        """A message was answered 250."""
        self.messages_accepted += 1
        self.octets_accepted += octets

    def refused(self, reason: str) -> None:
        """A message or recipient was refused; `reason` is the ruling's word."""
        self.messages_refused.add(reason)

    # counted by the queue
    def delivered(self, reason: str = "accepted") -> None:
        """A destination took responsibility for a delivery."""
        self.deliveries.add("delivered", reason)

    def deferred(self, reason: str) -> None:
        """An attempt ended in 'later'; `reason` is the outcome's word."""
        self.deliveries.add("deferred", reason)

    def bounced(self, reason: str) -> None:
        """A delivery failed for good; `reason` is the outcome's word."""
        self.deliveries.add("bounced", reason)

    # counted by the job that tells webhooks
    def webhook_attempt(self, result: str) -> None:
        """An attempt to tell a webhook ended: delivered, failed (tried again) or refused (for good)."""
        self.webhook_attempts.add(result)

    def webhook_dead(self, count: int) -> None:
        """So many events became dead letters."""
        self.webhook_dead_letters += count

    def returned(self, kind: str, word: str) -> None:
        """Something came back to a return path: of that kind, and what for."""
        self.returned_mail.add(kind, word)

    # counted by the store
    def committed(self, transactions: int, seconds: float) -> None:
        """One group commit: how many transactions it carried, and how long from BEGIN to synced."""
        self.commit_transactions.observe(transactions)
        self.commit_seconds.observe(seconds)

    # counted by the site
    def answered(self, code: int, seconds: float) -> None:
        """One web request was answered."""
        self.web_requests.add(str(code))
        self.web_seconds.observe(seconds)

    # told by whoever serves a scrape
    def queue(self, figures: QueueFigures) -> None:
        """How the queue is now."""
        self._queue = figures

    def queue_unknown(self) -> None:
        """It cannot be told now: a gap is better than a stale number."""
        self._queue = None

    def exposition(self) -> bytes:
        """The page Prometheus reads."""
        return generate_latest(self.registry)

    def describe(self) -> list[Metric]:
        """Called by the registry when registering: the families, without asking anything yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        yield _counter("jetmail_messages_accepted", "Messages answered 250 after the commit.", self.messages_accepted)
        yield _counter("jetmail_accepted_octets", "Octets of content in the messages accepted.", self.octets_accepted)
        yield _counters("jetmail_messages_refused", "Messages and recipients refused, by the ruling's reason.", ("reason",), self.messages_refused)
        yield _counters("jetmail_smtp_connections", "SMTP connections accepted, by listener.", ("listener",), self.connections_total)
        yield from _gauge("jetmail_smtp_connections_open", "SMTP connections open now.", self.connections)
        yield _counters("jetmail_deliveries", "Attempts to deliver that ended, by result and reason.", ("result", "reason"), self.deliveries)
        yield _counters("jetmail_returned", "Messages that came back to return paths, by kind and word.", ("kind", "word"), self.returned_mail)
        yield from self._queue_families()
        yield from _gauge("jetmail_sites_cooling", "Sites that asked us to slow down and have not recovered.", self.cooling)
        yield from _gauge("jetmail_queue_window", "Deliveries held in memory.", self.window)
        yield _histogram("jetmail_commit_transactions", "Transactions in one group commit.", self.commit_transactions)
        yield _histogram("jetmail_commit_seconds", "Seconds from BEGIN to synced of one group commit.", self.commit_seconds)
        yield from _gauge("jetmail_wal_bytes", "Size of the write-ahead log.", self.wal_bytes)
        yield from _gauge("jetmail_spool_bytes", "Size of the content kept as files.", self.spool_bytes)
        yield _counters("jetmail_webhook_attempts", "Attempts to tell a webhook of an event, by result.", ("result",), self.webhook_attempts)
        yield _counter("jetmail_webhook_dead_letters", "Events that became dead letters.", self.webhook_dead_letters)
        yield _counters("jetmail_web_requests", "Web requests answered, by status code.", ("code",), self.web_requests)
        yield _histogram("jetmail_web_seconds", "Seconds a web request took.", self.web_seconds)

    def _queue_families(self) -> Iterator[Metric]:
        if (known := self._queue) is None:
            return
        family = GaugeMetricFamily("jetmail_queue_deliveries", "Deliveries in the queue, by state.", labels=("state",))
        family.add_metric(("queued",), known.queued)
        family.add_metric(("held",), known.held)
        yield family
        yield GaugeMetricFamily("jetmail_queue_oldest_seconds", "Age of the oldest delivery in the queue.", value=known.oldest)
        yield GaugeMetricFamily("jetmail_destinations_down", "Destinations with mail waiting that do not accept it now.", value=known.down)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counters(name: str, text: str, labels: tuple[str, ...], words: Words) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in sorted(words.counts.items()):
        family.add_metric(values, count)
    return family


def _gauge(name: str, text: str, read: Callable[[], float]) -> Iterator[Metric]:
    try:
        value = float(read())
    except Exception:
        log.failure("a metric could not be read", metric=name)
        return
    yield GaugeMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, spread: Spread) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric((), buckets=spread.buckets(), sum_value=spread.sum)
    return family
