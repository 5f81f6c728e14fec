"""The stages behind the GPT that a benchmark times, by kind of decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sovits_runtime.bench.workload import STATE_CHANNELS, Workload
from sovits_runtime.speech.decoder import SemanticDecoder, SpeechDecoder
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder

StageRuns = Mapping[str, Callable[[], object]]


def latent_channels(decoder: SpeechDecoder) -> int:
    """Returns the channels of the latent; of a decoder that has none, those of the state."""
    return decoder.latent_channels if isinstance(decoder, SemanticDecoder) else STATE_CHANNELS


def hifigan_stages(decoder: SpeechDecoder, work: Workload) -> StageRuns:
    """Encoder, prior and flow, vocoder of v1 to v2ProPlus."""
    assert isinstance(decoder, SemanticDecoder)
    return {
        "sovits_encoder": lambda: decoder.encode(work.tokens, work.phones, work.style),
        "sovits_flow": lambda: decoder.latent(work.state, work.style, work.noise),
        "sovits_vocoder": lambda: decoder.vocode(work.z, work.style),
    }


def flow_stages(decoder: SpeechDecoder, work: Workload) -> StageRuns:
    """Encoder, features, condition and Euler step of one window, vocoder of v3 and v4."""
    assert isinstance(decoder, FlowMatchingDecoder)
    flow = work.flow
    assert flow is not None
    step = {
        "x": flow.x,
        "prompt_mel": flow.prompt_mel,
        "condition": flow.condition,
        "time": np.zeros(1, np.float32),
        "step_size": np.array([1 / decoder.flow.steps], np.float32),
        "prompt_len": np.array([flow.prompt_len]),
    }
    return {
        "sovits_encoder": lambda: decoder.encode(work.tokens, work.phones, work.style),
        "cfm_features": lambda: decoder.features_of(work.state, work.style),
        "cfm_condition": lambda: decoder.condition.run({"features": flow.features})["condition"],
        "cfm_step": lambda: decoder.step.run(step)["next_x"],
        "mel_vocoder": lambda: decoder.vocode(flow.mel),
    }


DECODER_STAGES: dict[str, Callable[[SpeechDecoder, Workload], StageRuns]] = {
    "hifigan": hifigan_stages,
    "cfm": flow_stages,
}
"""By decoder kind of `ModelSpec`."""
