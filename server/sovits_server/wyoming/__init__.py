"""Home Assistant's protocol. Its parts need the extra [wyoming], so they are imported where it is asked for."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec

from sovits_server.config import Config
from sovits_server.core.floor import Floor
from sovits_server.problems import ConfigError


def check_wyoming(config: Config) -> None:
    """Looks whether the protocol can be spoken as it is configured.

    Raises:
        ConfigError: A package is missing, or it would be open to others without anybody having said so.
    """
    if config.wyoming_port is None:
        return
    for package in ("wyoming", "zeroconf") if config.zeroconf else ("wyoming",):
        if find_spec(package) is None:
            raise ConfigError(
                f'wyoming_port: needs {package}, which is not installed; pip install "sovits-export[wyoming]"'
            )
    if not config.loopback and not config.insecure:
        raise ConfigError(
            "wyoming_port: Home Assistant's protocol knows no keys, so on an address that others reach it is open; "
            "give --insecure to have it so (--api-key still guards HTTP)"
        )


def open_wyoming(floor: Floor) -> AbstractAsyncContextManager[int]:
    """A server of the protocol over the desk of others, as it is configured; entering it gives its port.

    Args:
        floor: Where requests are made; its configuration has a `wyoming_port`.
    """
    from sovits_server.wyoming.server import wyoming_server

    config = floor.config
    assert config.wyoming_port is not None
    return wyoming_server(floor, host=config.host, port=config.wyoming_port, announce=config.zeroconf)
