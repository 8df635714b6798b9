"""What a node counts about itself, for Prometheus.

One `Metrics` belongs to one node object, never to the process: a simulation runs fifty nodes in one. Counting is an
addition to a slot and takes no lock, because everything that counts runs on the event loop; the Prometheus library
(85 ms and some MiB to import) is loaded at the first scrape, which most small nodes never see.

Names end in their unit. Labels have few values that we choose ourselves: a label made of user input would let
anybody grow the registry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Counter:
    """Only grows. With a `label` name it keeps one number for each value of it."""

    __slots__ = ("help", "label", "name", "values")

    def __init__(self, name: str, help_text: str, label: str = "") -> None:
        self.name, self.help, self.label = name, help_text, label
        self.values: dict[str, float] = {} if label else {"": 0.0}

    def inc(self, amount: float = 1.0, *, of: str = "") -> None:
        """Adds `amount` to the number of label value `of`."""
        self.values[of] = self.values.get(of, 0.0) + amount


class Gauge:
    """A number that is asked for when somebody looks."""

    __slots__ = ("help", "name", "read")

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self.name, self.help, self.read = name, help_text, read


class Histogram:
    """How many observations fell under each of `bounds` (ascending), and their sum."""

    __slots__ = ("bounds", "counts", "help", "name", "sum")

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        assert list(bounds) == sorted(set(bounds))
        self.name, self.help, self.bounds = name, help_text, bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Metrics:
    """All numbers of one node. Parts add gauges for what they own with `gauge`."""

    def __init__(self) -> None:
        self.posts = Counter("startalk_posts_total", "Events accepted, by kind.", "kind")
        self.refusals = Counter("startalk_refusals_total", "Commands and requests refused, by code.", "code")
        self.deliveries = Counter("startalk_deliveries_total", "Entries handed to device sockets.")
        self.sockets_opened = Counter("startalk_sockets_opened_total", "Device sockets that said hello.")
        self.sockets_closed = Counter("startalk_sockets_closed_total", "Device sockets closed, by reason.", "reason")
        self.logins = Counter("startalk_logins_total", "Password logins, by outcome.", "outcome")
        self.requests = Counter("startalk_http_requests_total", "HTTP requests answered, by status class.", "status")
        self.internal_errors = Counter("startalk_internal_errors_total", "Faults of our own that a request met.")
        self.service_restarts = Counter(
            "startalk_service_restarts_total", "Services restarted after a fault.", "service"
        )
        self.request_seconds = Histogram("startalk_http_request_seconds", "Time to answer an HTTP request.", SECONDS)
        self.post_seconds = Histogram(
            "startalk_post_seconds", "Time from a post's arrival until it is on disk.", SECONDS
        )
        self._gauges: dict[str, Gauge] = {}
        self._registry: CollectorRegistry | None = None

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """`read` is asked at each scrape; a later gauge of the same name takes the place of the earlier."""
        self._gauges[name] = Gauge(name, help_text, read)

    @property
    def registry(self) -> CollectorRegistry:
        """This node's registry; the first call loads the Prometheus library."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry

            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(self)
        return self._registry

    def exposition(self) -> tuple[bytes, str]:
        """(body, content type) of an answer to a scrape."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """The present numbers, as the Prometheus library wants them."""
        for held in vars(self).values():
            if isinstance(held, Counter):
                yield _counter(held)
            elif isinstance(held, Histogram):
                yield _histogram(held)
        for gauge in self._gauges.values():
            yield _gauge(gauge)


def _counter(held: Counter) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(held.name, held.help, labels=[held.label] if held.label else [])
    for value, number in held.values.items():
        family.add_metric([value] if held.label else [], number)
    return family


def _histogram(held: Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(held.name, held.help)
    running, buckets = 0, []
    for bound, count in zip((*map(str, held.bounds), "+Inf"), held.counts, strict=True):
        running += count
        buckets.append((bound, float(running)))
    family.add_metric([], buckets, held.sum)
    return family


def _gauge(held: Gauge) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(held.name, held.help, value=held.read())
