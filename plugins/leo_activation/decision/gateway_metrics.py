"""What the gateway counts, in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class GatewayMetrics:
    """One set of counters; each application has its own.

    :param depth: how many requests are inside now.
    """

    def __init__(self, depth: Callable[[], int]) -> None:
        """Register everything, so that a counter shows 0 before its first event."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "leo_gateway_requests", "Requests for decisions, by mode and HTTP status.",
            ["mode", "status"], registry=self.registry,
        )  # fmt: skip
        self.rejects = Counter(
            "leo_gateway_rejects", "Requests that got no decision, by reason.",
            ["reason"], registry=self.registry,
        )  # fmt: skip
        self.decisions = Counter(
            "leo_gateway_decisions", "Decisions given, by mode and verdict.",
            ["mode", "verdict"], registry=self.registry,
        )  # fmt: skip
        self.distinct = Counter(
            "leo_gateway_distinct_decisions", "Decisions that the model computed.",
            registry=self.registry,
        )  # fmt: skip
        self.memo_hits = Counter(
            "leo_gateway_memo_hits", "Decisions given again without computing.",
            registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "leo_gateway_request_seconds", "From the first byte read to the answer.",
            ["mode"], buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        waiting = Gauge(
            "leo_gateway_queue_depth", "Requests under way or waiting.", registry=self.registry
        )
        waiting.set_function(depth)
        for reason in ("invalid", "too_large", "full", "unavailable", "gone", "slow", "failed"):
            self.rejects.labels(reason)

    def page(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self.registry)
