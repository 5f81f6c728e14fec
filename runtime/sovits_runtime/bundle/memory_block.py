"""Arrays side by side in large blocks.

For blocks of 4 MB and more NumPy asks Linux for huge pages, from which a processor reads faster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # of a cache line, and of the widest vectors
LARGE = 32 << 20


class MemoryBlock:
    """Hands out pieces of memory.

    Args:
        size: Bytes of a block; when it is used up, another one is taken.
    """

    def __init__(self, size: int = LARGE) -> None:
        self._size = size
        self._left = self._before = np.empty(0, np.uint8)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Returns uint8 [size], aligned to cache lines and not initialized."""
        skipped = -self._left.ctypes.data % ALIGNMENT
        if len(self._left) < size + skipped:
            self._left = np.empty(max(self._size, size) + ALIGNMENT, np.uint8)
            skipped = -self._left.ctypes.data % ALIGNMENT
        self._before = self._left
        self._left = self._left[skipped + size :]
        return self._before[skipped : skipped + size]

    def give_back(self) -> None:
        """Undoes the last `take`."""
        self._left = self._before
