"""Traces by OpenTelemetry, where it is installed; without it, or without an exporter set up, they cost nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def span(name: str, **attributes: str | int | float) -> Iterator[None]:
    """A stretch of work, with what is known about it."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    with tracer.start_as_current_span(name, attributes={f"sovits.{k}": v for k, v in attributes.items()}):
        yield


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Work that belongs to the trace that a client's headers name."""
    try:
        from opentelemetry import context, propagate
    except ImportError:
        yield
        return
    token = context.attach(propagate.extract(dict(headers)))
    try:
        yield
    finally:
        context.detach(token)


def _tracer() -> Any:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("sovits_server")
