"""Compiled CPU kernels for sovits-export; its runtime finds them by this package.

Attributes:
    LIBRARY: The library, which may be missing in a damaged installation. Its interface is `gpt_step.h`.
"""

from pathlib import Path

LIBRARY = next(Path(__file__).parent.glob("_gpt_step.*"), Path(__file__).with_name("_gpt_step"))
