"""How the recorded values behind the GPT are replayed, by kind of decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sovits_runtime.audio.mel import reference_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.speech.decoder import SemanticDecoder, SpeechDecoder
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import DEFAULT_NOISE_SCALE, Floats, SpeechOptions, Utterance

Golden = Mapping[str, Array]
Outputs = Iterator[tuple[str, Array, Array]]


@dataclass(frozen=True)
class DecoderReplay:
    """The two ways to run a decoder again.

    Attributes:
        graphs: Yields name, recorded output and output now of every graph, each on the input that was recorded.
        waveform: Runs the whole chain and returns the samples; nothing is taken from the record in between.
    """

    graphs: Callable[[SpeechDecoder, Golden], Outputs]
    waveform: Callable[[SpeechDecoder, Golden], Floats]


def hifigan_graphs(decoder: SpeechDecoder, g: Golden) -> Outputs:
    """Encoder, prior and flow, vocoder of v1 to v2ProPlus."""
    assert isinstance(decoder, SemanticDecoder)
    yield "sovits_encoder", g["state"], decoder.encode(g["decoded_tokens"], g["phones"], g["style"])
    yield "sovits_flow", g["z"], decoder.latent(g["state"], g["style"], g["noise"], DEFAULT_NOISE_SCALE)
    yield "sovits_vocoder", g["waveform"], decoder.vocode(g["z"], g["style"])


def hifigan_waveform(decoder: SpeechDecoder, g: Golden) -> Floats:
    """Tokens to waveform of v1 to v2ProPlus."""
    assert isinstance(decoder, SemanticDecoder)
    return decoder.decode(g["decoded_tokens"], g["phones"], style=g["style"], noise=g["noise"])


def flow_graphs(decoder: SpeechDecoder, g: Golden) -> Outputs:
    """Encoder, features, condition, every Euler step, vocoder of v3 and v4."""
    assert isinstance(decoder, FlowMatchingDecoder)
    mel = reference_mel(g["wave"], 32000, flow=decoder.flow)
    yield "reference mel", g["reference_mel"], mel
    yield "sovits_encoder", g["state"], decoder.encode(g["decoded_tokens"], g["phones"], g["style"])
    yield "cfm_features", g["features"], decoder.features_of(g["state"], g["style"])
    condition = decoder.condition.run({"features": g["window_features"]})["condition"]
    yield "cfm_condition", g["condition"], condition
    prompt_len, steps = g["prompt_mel"].shape[2], len(g["velocities"])
    prompt_mel = np.zeros_like(g["noise"])
    prompt_mel[:, :, :prompt_len] = g["prompt_mel"]
    for i in range(steps):
        feeds = {
            "x": g["x"][i],
            "prompt_mel": prompt_mel,
            "condition": g["condition"],
            "time": np.array([i / steps], np.float32),
            "step_size": np.array([1 / steps], np.float32),
            "prompt_len": np.array([prompt_len]),
        }
        moved = decoder.step.run(feeds)
        yield f"cfm_step {i}, velocity", g["velocities"][i], moved["velocity"]
        yield f"cfm_step {i}", g["x"][i + 1], moved["next_x"]
    yield "mel_vocoder", g["waveform"], decoder.vocode(g["x"][-1][:, :, prompt_len:])


def flow_waveform(decoder: SpeechDecoder, g: Golden) -> Floats:
    """Tokens to waveform of v3 and v4, by the public path."""
    bert = g["bert"][: len(g["prompt_phones"])]
    reference = Reference("golden", g["prompt_phones"], bert, g["prompt"], g["style"], mel=g["reference_mel"])
    return decoder.speak(
        Utterance(g["decoded_tokens"], g["phones"]),
        reference,
        options=SpeechOptions(flow_steps=len(g["velocities"])),
        noise=lambda _: g["noise"],
    )


REPLAYS: dict[str, DecoderReplay] = {
    "hifigan": DecoderReplay(hifigan_graphs, hifigan_waveform),
    "cfm": DecoderReplay(flow_graphs, flow_waveform),
}
"""By decoder kind of `ModelSpec`."""
