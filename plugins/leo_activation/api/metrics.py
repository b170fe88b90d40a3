"""What the API counts, in the text format that Prometheus reads. No label names a tenant."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import Scope

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Set by `leo api --workers`, whose processes put their counters together.
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class ApiMetrics:
    """One set of counters; each application has its own."""

    def __init__(self) -> None:
        """Register everything, so that a counter shows 0 before its first event."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "leo_api_requests", "Requests, by route, method and HTTP status.",
            ["route", "method", "status"], registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "leo_api_request_seconds", "From the request's first byte to its answer's last.",
            ["route"], buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "leo_api_events", "Events that were posted, by what became of them.",
            ["status"], registry=self.registry,
        )  # fmt: skip
        self.flushes = Histogram(
            "leo_api_flush_events", "Events that were written in one transaction.",
            buckets=_ROWS, registry=self.registry,
        )  # fmt: skip
        self.flush_seconds = Histogram(
            "leo_api_flush_seconds", "One transaction of events, its commit included.",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "leo_api_events_waiting", "Events that are not written yet.",
            registry=self.registry, multiprocess_mode="livesum",
        )  # fmt: skip
        # Looking a child up by its labels costs more than counting.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        for status in ("accepted", "duplicate", "conflict", "rejected"):
            self.events.labels(status)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request under the pattern of its route, never under its address."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (route, method, status)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = (
                self.requests.labels(route, method, str(status)),
                self.latency.labels(route),
            )
        found[0].inc()
        found[1].observe(seconds)

    def page(self) -> bytes:
        """Return all counters as text, of all processes where there are several."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
