"""What a bundle recorded, as it has to be: it may come from anybody, and is fed to graphs and kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.arrays import Arrays
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.manifest import FETCH_AGAIN
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.sampling import SamplingOptions

HIFIGAN = ("state", "noise", "z")
FLOW = (
    "reference_mel",
    "state",
    "features",
    "prompt_mel",
    "window_features",
    "condition",
    "noise",
    "x",
    "velocities",
)
"""What the decoders of the two kinds are compared with."""


class Tolerances(dict[str, float]):
    """Limits by name; one that is missing is an error of ours.

    Args:
        bundle: Whose manifest holds them.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.manifest["tolerances"])
        self._place = bundle.path

    def __missing__(self, name: str) -> float:
        raise BundleError(f"{self._place}: its manifest has no tolerance {name!r}; {FETCH_AGAIN}")


def recorded_options(bundle: Bundle) -> SamplingOptions:
    """How the tokens of the recorded request were sampled.

    Raises:
        BundleError: The manifest does not say it.
    """
    try:
        return SamplingOptions(**bundle.manifest["golden"]["request"])
    except (KeyError, TypeError) as error:
        raise BundleError(f"{bundle.path}: its manifest holds no recorded request; {FETCH_AGAIN}") from error


def recorded_request(bundle: Bundle) -> Arrays:
    """Reads the recorded request.

    Raises:
        BundleError: Its arrays do not go together, or name tokens and phones that there are not.
    """
    golden, spec = bundle.golden("request"), bundle.spec
    steps, phones = len(golden["tokens"]) + 1, len(golden["prompt_phones"]) + len(golden["phones"])
    guided = ("unprompted",) if spec.flow and spec.flow.guidance is not None else ()
    for name in ("ssl", "ended", "waveform", *(FLOW if spec.flow else HIFIGAN), *guided):
        golden[name]  # raises where it is missing
    _check_ids(bundle, golden, spec)
    _require(
        bundle,
        {
            "logits": len(golden["logits"]) == steps,
            "leads": len(golden["leads"]) == steps,
            "token_noise": golden["token_noise"].shape[0] >= steps
            and golden["token_noise"].shape[1] == spec.eos + 1 == golden["logits"].shape[1],
            "bert": len(golden["bert"]) == phones,
            "style": golden["style"].shape[0] == golden["style"].shape[2] == 1,
            "wave": len(golden["wave"]) > spec.reference_sample_rate,
        },
    )
    return golden


def recorded_steps(bundle: Bundle, vocab: int) -> Arrays:
    """Reads the long decode of the FP32 graphs.

    Args:
        bundle: The bundle.
        vocab: Tokens that the GPT knows.

    Raises:
        BundleError: Its arrays do not go together.
    """
    steps = bundle.golden("steps")
    tokens = steps["tokens"]
    good = steps["logits"].shape == (len(tokens) + 1, vocab)
    _require(bundle, {"logits": good, "tokens": _within(tokens, vocab)})
    return steps


def _check_ids(bundle: Bundle, golden: Mapping[str, Array], spec: ModelSpec) -> None:
    limits = {
        "tokens": spec.eos + 1,
        "decoded_tokens": spec.codebook_size,
        "prompt": spec.codebook_size,
        "phones": spec.n_symbols,
        "prompt_phones": spec.n_symbols,
    }
    _require(bundle, {name: _within(golden[name], most) for name, most in limits.items()})


def _within(ids: Array, most: int) -> bool:
    return len(ids) == 0 or bool(np.min(ids) >= 0 and np.max(ids) < most)


def _require(bundle: Bundle, good: Mapping[str, bool]) -> None:
    bad = [name for name, is_good in good.items() if not is_good]
    if bad:
        raise BundleError(f"{bundle.path}: its recorded {bad[0]} cannot be those of a request; {FETCH_AGAIN}")
