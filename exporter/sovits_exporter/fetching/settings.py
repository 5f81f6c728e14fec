"""What the environment says about fetching: endpoints, token, offline; the names are those of Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from sovits_exporter.fetching.catalog import Endpoint, catalog
from sovits_exporter.fetching.download import Network
from sovits_exporter.fetching.errors import FetchError

_TRUE = {"1", "true", "yes", "on"}


def is_offline() -> bool:
    """Whether `$HF_HUB_OFFLINE` is set."""
    return _is_true("HF_HUB_OFFLINE")


def network(endpoints: Sequence[str], say: Callable[[str], None]) -> Network:
    """How servers are spoken to.

    Args:
        endpoints: Addresses that the user gives, and then no others are asked; none: `$HF_ENDPOINT` first, then those
            of the catalog.
        say: Is told what goes wrong.

    Raises:
        FetchError: An address is none.
    """
    token = "" if _is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") else os.environ.get("HF_TOKEN", "").strip()
    if endpoints:
        return Network([endpoint(url) for url in endpoints], token, say)
    own = os.environ.get("HF_ENDPOINT")
    first = [endpoint(own)] if own else []
    rest = [known for known in catalog().endpoints if known.url not in {one.url for one in first}]
    return Network([*first, *rest], token, say)


def endpoint(url: str) -> Endpoint:
    """An endpoint of the user's.

    Raises:
        FetchError: It is no address.
    """
    url = url.rstrip("/")
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError:  # such as a port that is no number
        place, port = urlsplit(""), None
    host = place.hostname or ""
    if place.scheme not in ("http", "https") or not host:
        raise FetchError(f"{url!r}: is no endpoint; expected an address such as https://hf-mirror.com")
    for known in catalog().endpoints:
        if known.url == url:
            return known
    name = f"{host}:{port}" if port else host
    return Endpoint(name, "modelscope" if "modelscope" in host else "hub", url)


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _TRUE
