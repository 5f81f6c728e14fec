"""What `serve run` and files of Ray Serve may set: all of the server, and what machines it runs on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sovits_runtime.errors import shown
from sovits_server.config import Config, load_config, split_words
from sovits_server.problems import ConfigError

CLUSTER = ("replicas", "most_replicas", "cpus", "gpus", "voices_each")
OF_CLIENTS = (
    *("host", "api_key", "insecure", "wyoming_port", "zeroconf", "client_requests", "cache_mb"),
    *("weights", "pretrained"),
)
"""What only the ingress needs to know."""
MANY = 100_000


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """The application's settings.

    Attributes:
        server: Those of `sovits_server.config`, as they were given; the environment of each process has the rest.
        replicas: Processes with voices, at least.
        most_replicas: And at most: as many as the requests under way need.
        cpus: Cores of each, also a part of one.
        gpus: GPUs of each, also a part of one.
        voices_each: Voices that each has open at most.
    """

    server: Mapping[str, Any]
    replicas: int
    most_replicas: int
    cpus: float
    gpus: float
    voices_each: int

    def config(self) -> Config:
        """Of the ingress.

        Raises:
            ConfigError: Says what makes no sense.
        """
        given = {
            name: split_words(name, value) if isinstance(value, str) else value
            for name, value in self.server.items()
        }
        return load_config(given, written=str)

    def of_a_replica(self) -> Config:
        """Of a replica: clients are the ingress's affair, and it has the cores that Ray gives it.

        Raises:
            ConfigError: Says what makes no sense.
        """
        kept = {name: value for name, value in self.server.items() if name not in OF_CLIENTS}
        device = {"device": "cuda"} if self.gpus else {}
        threads = {"threads": max(int(self.cpus), 1)}
        alone = {"host": "127.0.0.1", "client_requests": MANY, "cache_mb": 0}
        server = {**device, **threads, **kept, **alone}
        return ClusterSettings(**{**vars(self), "server": server}).config()


def read_settings(given: Mapping[str, Any]) -> ClusterSettings:
    """The settings of what `serve run` is given, or of `args` in a file.

    Raises:
        ConfigError: One makes no sense.
    """
    replicas = _whole(given, "replicas", 1)
    settings = ClusterSettings(
        server={name: value for name, value in given.items() if name not in CLUSTER},
        replicas=replicas,
        most_replicas=max(_whole(given, "most_replicas", replicas), replicas),
        cpus=_share(given, "cpus", 1.0),
        gpus=_share(given, "gpus", 0.0),
        voices_each=_whole(given, "voices_each", 8),
    )
    settings.config()
    return settings


def _whole(given: Mapping[str, Any], name: str, default: int) -> int:
    number = _number(given, name, default)
    if number < 1 or not number.is_integer():
        raise ConfigError(f"{name}: got {shown(given[name])}, expected a whole number from 1 on")
    return int(number)


def _share(given: Mapping[str, Any], name: str, default: float) -> float:
    number = _number(given, name, default)
    if number < 0 or (number > 1 and not number.is_integer()):
        raise ConfigError(f"{name}: got {shown(given[name])}, expected a part of one, or a whole number")
    return number


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(f"{name}: got {shown(value)}, expected a number")
    return number
