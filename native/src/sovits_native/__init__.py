"""Compiled CPU kernels for sovits-export; its runtime finds them by this package.

Attributes:
    LIBRARY: The library, which may be missing in a damaged installation. Its interface is `gpt_step.h`.
"""

import sys
from pathlib import Path

_SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")

LIBRARY = Path(__file__).with_name(f"_gpt_step.{_SUFFIX}")
