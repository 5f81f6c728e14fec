"""Chunks for a machine's speed: the faster, the sooner the first sound, and no player that runs dry."""

from dataclasses import replace

import pytest

from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.chunk_plan import (
    MARGIN,
    SHORTEST_FIRST,
    Speeds,
    chunks_from,
    first_sound,
    least_margin,
    plan_chunks,
)
from sovits_runtime.speech.types import ChunkOptions

FAST = Speeds(prefill=0.1, token=0.003, chunk=0.03, frame=0.0008, context=11)
MIDDLE = Speeds(prefill=0.3, token=0.007, chunk=0.1, frame=0.006, context=11)
SLOW = Speeds(prefill=0.7, token=0.03, chunk=0.3, frame=0.03, context=11)


@pytest.mark.parametrize("speeds", [FAST, MIDDLE])
def test_a_player_does_not_run_dry_even_if_the_machine_is_slower_than_measured(speeds):
    chunks = plan_chunks(speeds)
    assert least_margin(chunks, speeds) >= 0
    shorter = replace(chunks, first_tokens=chunks.first_tokens - 1, growth=1.0)
    assert chunks.first_tokens == SHORTEST_FIRST or least_margin(shorter, speeds) < 0
    slower = Speeds(
        *(MARGIN * s for s in (speeds.prefill, speeds.token, speeds.chunk, speeds.frame)), context=11
    )
    assert first_sound(chunks, slower) == pytest.approx(MARGIN * first_sound(chunks, speeds))


def test_a_faster_machine_sounds_sooner():
    fast, middle = plan_chunks(FAST), plan_chunks(MIDDLE)
    assert fast.first_tokens <= middle.first_tokens
    assert first_sound(fast, FAST) < first_sound(ChunkOptions(), FAST)


def test_a_machine_that_cannot_keep_up_gets_the_defaults():
    assert least_margin(ChunkOptions(), SLOW) < 0
    assert plan_chunks(SLOW) == ChunkOptions()


def test_a_plan_keeps_them_as_numbers():
    assert chunks_from(None) == ChunkOptions()
    kept = {"first_tokens": 9, "growth": 1.5, "most_tokens": 40}
    assert chunks_from(kept) == ChunkOptions(first_tokens=9, growth=1.5, most_tokens=40)
    with pytest.raises(ShapeError):
        chunks_from({**kept, "growth": 0.5})
