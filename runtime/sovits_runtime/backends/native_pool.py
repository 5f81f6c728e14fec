"""The threads that run the steps of the native kernels, also in a process that was forked."""

from __future__ import annotations

import ctypes
import os

from sovits_runtime.errors import BackendError


class StepPool:
    """Threads of the kernels, for each process that uses them.

    A fork copies a pool but not its threads, so a step would wait for them for ever. The child gets a pool of its own
    with its first step; what it inherited may be locked by a thread that it has not, and stays as it is.

    Args:
        lib: The kernels.
        threads: How many run a step, the caller's included.

    Raises:
        BackendError: They cannot be started.
    """

    def __init__(self, lib: ctypes.CDLL, threads: int) -> None:
        self._lib = lib
        self._threads = threads
        self._pools = {os.getpid(): self._start()}

    def handle(self) -> int:
        """The pool of this process.

        Raises:
            BackendError: It was forked, and its threads cannot be started.
        """
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            mine = self._start()
            pool = self._pools.setdefault(process, mine)  # no lock: a fork could copy it locked
            if pool != mine:
                self._lib.sovits_pool_free(mine)
        return pool

    def __del__(self) -> None:
        pool = getattr(self, "_pools", {}).get(os.getpid())
        if pool is not None:
            self._lib.sovits_pool_free(pool)

    def _start(self) -> int:
        pool = self._lib.sovits_pool_new(self._threads)
        if not pool:
            raise BackendError(f"no {self._threads} threads could be started; ask for fewer")
        return int(pool)
