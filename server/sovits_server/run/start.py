"""Starts a server: its first word is on its way before all that speaks HTTP is imported."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sovits_server.config import Config
from sovits_server.core.ahead import Ahead
from sovits_server.operations.logs import set_up

if TYPE_CHECKING:
    from sovits_server.run.process import Say


def serve(config: Config, say: Say, *, verbose: bool = False) -> None:
    """Serves until it is stopped.

    Args:
        config: Of the operator.
        say: Told how to reach it, a line a call.
        verbose: Whether more is logged.

    Raises:
        ConfigError: A setting makes no sense, or the address is taken.
    """
    set_up(config.log_format, verbose=verbose)
    with Ahead(config) as ahead:
        from sovits_server.run.process import run

        again = run(ahead, say)
    if again:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
