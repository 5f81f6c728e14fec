"""A recorded flow matching, taken apart into what each graph was fed and gave."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.speech.decoder import Arrays

PREPARED = ("turn", "moves")
"""What `cfm_condition` gives a step beside its condition; bundles of the older form have neither."""


def _prompt(recording: Arrays) -> dict[str, Array]:
    """The recorded prompt mel, as long as its window, and how long the prompt is."""
    prompt_len = recording["prompt_mel"].shape[2]
    prompt_mel = np.zeros_like(recording["noise"])
    prompt_mel[:, :, :prompt_len] = recording["prompt_mel"]
    return {"prompt_mel": prompt_mel, "prompt_len": np.array([prompt_len], np.int64)}


def recorded_condition(recording: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yields what all steps of the first window were told."""
    yield "cfm_condition", {**recording, **_prompt(recording)}


def recorded_steps(recording: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yields every Euler step of the first window with what went in and came out; guided ones are two rows."""
    prompt_len, steps = recording["prompt_mel"].shape[2], len(recording["velocities"])
    names = ("condition", "unprompted")[: recording["velocities"].shape[1]]
    condition = np.concatenate([recording[name] for name in names])
    prepared = {name: recording[name] for name in PREPARED if name in recording} | _prompt(recording)
    for i in range(steps):
        velocity = recording["velocities"][i]
        moved = recording["x"][i] + velocity / np.float32(steps)
        moved[:, :, :prompt_len] = 0
        yield (
            f"cfm_step {i}",
            {
                **prepared,
                "x": np.repeat(recording["x"][i], len(names), axis=0),
                "condition": condition,
                "time": np.array([i / steps], np.float32),
                "step_size": np.array([1 / steps], np.float32),
                "velocity": velocity,
                "next_x": moved if len(names) > 1 else recording["x"][i + 1],
            },
        )


def recorded_mel(recording: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yields what the vocoder made of the frames after the prompt."""
    mel = recording["x"][-1][:, :, recording["prompt_mel"].shape[2] :]
    yield "mel_vocoder", {"mel": mel, "waveform": recording["waveform"]}
