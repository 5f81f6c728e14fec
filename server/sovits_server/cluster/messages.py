"""What a replica tells the ingress of a request, in this order: it has begun, sound, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sovits_server.problems import Problem
from sovits_server.words import Spoken


@dataclass(frozen=True)
class Begun:
    """Sound is there.

    Attributes:
        sample_rate: In Hz.
        told: For the client, by headers.
    """

    sample_rate: int
    told: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Heard:
    """Some of the sound.

    Attributes:
        samples: float32 [n].
        sentence: Which sentence it belongs to.
        last: Whether that sentence ends with it.
        spoken: Sentences whose place is known now.
        tokens: Semantic tokens so far.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sentence: int
    last: bool
    spoken: tuple[Spoken, ...]
    tokens: int


@dataclass(frozen=True)
class Ended:
    """All of it was made. Without it a stream that is over is one that broke.

    Attributes:
        samples: How many there are, silence included.
    """

    samples: int


Message = Begun | Heard | Ended | Problem
"""A problem is sent as a value: raised, Ray would wrap it, with a traceback in its text."""
