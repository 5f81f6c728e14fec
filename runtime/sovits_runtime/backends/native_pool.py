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
        self._closed = False
        self._pools = {os.getpid(): self._start()}

    def handle(self) -> int:
        """The pool of this process.

        Raises:
            BackendError: It was forked, and its threads cannot be started; or the pool is closed.
        """
        if self._closed:
            raise BackendError("the threads of these steps were ended; load the voice again to speak")
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            mine = self._start()
            pool = self._pools.setdefault(process, mine)  # no lock: a fork could copy it locked
            if pool != mine:
                self._lib.sovits_pool_free(mine)
        return pool

    def close(self) -> None:
        """Ends the threads of this process; no step runs, and none may come. A second call does nothing."""
        pool = self._pools.pop(os.getpid(), None)
        self._closed = True
        if pool is not None:
            self._lib.sovits_pool_free(pool)

    def __del__(self) -> None:
        if hasattr(self, "_pools"):
            self.close()

    def _start(self) -> int:
        pool = self._lib.sovits_pool_new(self._threads)
        if not pool:
            raise BackendError(f"no {self._threads} threads could be started; ask for fewer")
        return int(pool)
