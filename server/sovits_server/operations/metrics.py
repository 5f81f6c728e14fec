"""Counters and clocks for Prometheus, at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
FIRST_SOUND_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
GAP_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
TOTAL_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Meters:
    """What is counted. Each server has its own, so that several in one process keep apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        common: Any = {"namespace": "sovits", "registry": self.registry}
        self.answers = Counter(
            "answers", "Answers by dialect, method and status", ("dialect", "status"), **common
        )
        self.first_sound = Histogram(
            "first_sound_seconds",
            "From a request to its first sound",
            ("dialect",),
            buckets=FIRST_SOUND_S,
            **common,
        )
        self.gap = Histogram(
            "gap_seconds",
            "How much later than a player needed it each further piece of sound came",
            buckets=GAP_S,
            **common,
        )
        self.total = Histogram(
            "request_seconds",
            "From a request to the end of its sound",
            ("dialect",),
            buckets=TOTAL_S,
            **common,
        )
        self.tokens = Counter("tokens", "Semantic tokens made (25 are a second of speech)", **common)
        self.sound = Counter("sound_seconds", "Seconds of sound made", ("voice",), **common)
        self.ends = Counter("ends", "How requests for sound ended", ("how",), **common)
        self.cached = Counter("cached_lines", "Lines answered from the cache", **common)
        self.sockets = Gauge("sockets", "WebSockets that are open", **common)

    def watch(self, read: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        """Adds what is read anew at each scrape.

        Args:
            read: Gives name, description and value.
        """
        self.registry.register(_Now(read))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Now(Collector):
    def __init__(self, read: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, words, value in self._read():
            yield GaugeMetricFamily(f"sovits_{name}", words, value=value)
