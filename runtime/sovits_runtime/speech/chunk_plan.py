"""Chunks that suit the speed of a machine: the first sound as early as may be, and a player that never runs dry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sovits_runtime.speech.decoder import FRAMES_PER_TOKEN
from sovits_runtime.speech.types import ChunkOptions

TOKENS_PER_S = 25
SHORTEST_FIRST = 8
"""Tokens of a first chunk below which hardly anything sounds: the vocoder keeps back what it cannot be sure of yet."""
MARGIN = 1.4
"""How much slower than measured the machine may be before a player runs dry."""
SIMULATED_S = 40
_GROWTHS = (2.0, 1.5, 1.25, 1.1, 1.0)


@dataclass(frozen=True)
class Speeds:
    """What was measured, in seconds.

    Attributes:
        prefill: From phones to the first token.
        token: One more token.
        chunk: What any chunk costs: encoder, flow, and the smallest run of the vocoder.
        frame: What each of its frames adds; 50 are one second.
        context: Frames that the vocoder keeps back and reads again.
    """

    prefill: float
    token: float
    chunk: float
    frame: float
    context: int

    def sound(self, frames: int) -> float:
        """Seconds to make the sound of so many new frames."""
        return self.chunk + self.frame * (frames + 2 * self.context)


def plan_chunks(speeds: Speeds) -> ChunkOptions:
    """Chooses the shortest first chunk after which a player never waits; the defaults where no chunks are enough."""
    usual = ChunkOptions()
    for first in range(SHORTEST_FIRST, usual.most_tokens + 1):
        for growth in _GROWTHS:
            chunks = ChunkOptions(first_tokens=first, growth=growth)
            if least_margin(chunks, speeds) >= 0:
                return chunks
    return usual


def least_margin(chunks: ChunkOptions, speeds: Speeds) -> float:
    """Seconds of sound that a player has left when it has least, the machine being `MARGIN` times slower."""
    clock, sounded_until, margin = 0.0, None, float("inf")
    for came, seconds in _arrivals(chunks, speeds):
        clock = MARGIN * came
        if sounded_until is None:
            sounded_until = clock
        margin = min(margin, sounded_until - clock)
        sounded_until = max(sounded_until, clock) + seconds
    return margin


def first_sound(chunks: ChunkOptions, speeds: Speeds) -> float:
    """Seconds to the first sound, by what was measured."""
    return next(_arrivals(chunks, speeds))[0]


def _arrivals(chunks: ChunkOptions, speeds: Speeds) -> Iterator[tuple[float, float]]:
    """When each chunk comes, and how many seconds it sounds."""
    clock, begun, given = speeds.prefill, 0, 0
    made = 1
    for end in islice(chunks.ends(), SIMULATED_S * TOKENS_PER_S):
        if end > SIMULATED_S * TOKENS_PER_S:
            return
        wanted = end + chunks.lookahead_tokens
        clock += speeds.token * (wanted - made) + speeds.sound(FRAMES_PER_TOKEN * (end - begun))
        made, begun = wanted, end
        sure = max(FRAMES_PER_TOKEN * end - speeds.context, given)
        if sure > given:
            yield clock, (sure - given) / (FRAMES_PER_TOKEN * TOKENS_PER_S)
        given = sure


def chunks_from(planned: Mapping[str, float] | None) -> ChunkOptions:
    """The fields that a plan keeps, as options; the defaults where it keeps none."""
    if planned is None:
        return ChunkOptions()
    return ChunkOptions(
        first_tokens=int(planned["first_tokens"]),
        growth=float(planned["growth"]),
        most_tokens=int(planned["most_tokens"]),
    )
