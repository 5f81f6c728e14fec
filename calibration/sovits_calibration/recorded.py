"""What each graph is fed by the request that a bundle recorded when it was built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from sovits_calibration.observe import KEPT_CALLS, Feeds, RecordingVoice, observe
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.names import BERT, PREFILL, STEP
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.verify.exact import Verification
from sovits_runtime.verify.recorded import Tolerances, recorded_options, recorded_request

_GPT = frozenset({PREFILL, STEP})


def recorded_feeds(bundle: Bundle, graphs: Sequence[str]) -> dict[str, list[Feeds]]:
    """Runs the recorded request and keeps the inputs of some of its calls; see `observe.CallLog`.

    The request holds no text, so BERT's inputs are those of the calibration corpus.

    Args:
        bundle: An FP32 bundle.
        graphs: Whose inputs are wanted; the others are run only as far as these need them.

    Raises:
        BundleError: What the bundle recorded is damaged.
        TextError: BERT is wanted, and the tokenizers package is not installed.
    """
    golden, backend = recorded_request(bundle), RecordingVoice(bundle)
    with Synthesizer(backend) as voice:
        if _GPT & set(graphs):
            _speak_tokens(voice, golden)
        if set(graphs) - _GPT - {BERT}:
            run = Verification(voice, golden, Tolerances(bundle))
            for checks in (run.reference, run.decoder):
                backend.begin()
                for _ in checks():
                    pass
    feeds = {name: list(backend.logs[name].kept) for name in graphs}
    if BERT in feeds:
        feeds[BERT] = observe(bundle)[BERT]
    return feeds


def _speak_tokens(voice: Synthesizer, golden: Mapping[str, Array]) -> None:
    """Makes as many of the recorded tokens as it takes for the last call that is kept."""
    steps = voice.text_to_semantic.steps(
        np.concatenate([golden["prompt_phones"], golden["phones"]]),
        golden["bert"],
        golden["prompt"],
        options=recorded_options(voice.bundle),
        noise=lambda step: golden["token_noise"][step : step + 1],
        forced=golden["tokens"],
    )
    for _ in islice(steps, KEPT_CALLS[-1] + 1):
        pass
