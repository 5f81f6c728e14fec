"""Says what a file of torch.save holds, before anything is asked of its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sovits_exporter.checkpoint.inert import Mapped, kind_of, mapping_of, one_line, tensors_in
from sovits_exporter.checkpoint.tensor_names import GPT_PREFIX, official_name
from sovits_runtime.errors import CheckpointError

_PLACES = ("weight", "state_dict", "model", "generator", "net_g")
"""Keys under which tools keep their tensors; else they are the content itself."""
_TRAINING_STATE = {"optimizer", "optimizer_states", "optimizer_state_dict", "state_dict", "lr_schedulers"}
_OURS = "take a voice of GPT-SoVITS"


@dataclass(frozen=True)
class _Kind:
    """A kind of model, known by its tensors.

    Attributes:
        marks: Beginnings of names; one of them is enough.
        what: What a file of it is.
        remedy: What to do instead.
    """

    marks: tuple[str, ...]
    what: str
    remedy: str


_OTHER_KINDS = (
    _Kind(
        ("discriminators.",),
        "a discriminator (D_... or s2D...), which only training uses",
        "take the file of the SoVITS_weights folder, or the s2G... beside it",
    ),
    _Kind(("f0_decoder.", "enc_p.f0_emb."), "a voice of so-vits-svc", _OURS),
    _Kind(("enc_p.emb_phone.", "enc_p.emb_pitch."), "a voice of RVC", _OURS),
    _Kind(("sdp.", "dp.", "enc_p.emb."), "a voice of VITS or Bert-VITS2", _OURS),
    _Kind(("ema_model.transformer.", "transformer.transformer_blocks."), "a voice of F5-TTS", _OURS),
    _Kind(
        ("hubert.", "feature_extractor.conv_layers."),
        "HuBERT",
        "give its folder to --hubert, and here the voice's own file",
    ),
    _Kind(
        ("bert.", "embeddings.word_embeddings."),
        "BERT",
        "give its folder to --bert, and here the voice's own file",
    ),
    _Kind(("layer1.0.",), "a speaker network", "give it to --speaker, and here the voice's own file"),
    _Kind(
        ("conv_pre.", "activation_post."), "a vocoder", "give it to --vocoder, and here the voice's own file"
    ),
)
_OWN_KINDS: Mapping[str, tuple[str, ...]] = {
    "GPT": (
        GPT_PREFIX,
        "bert_proj.",
        "ar_text_embedding.",
        "ar_audio_embedding.",
        "ar_predict_layer.",
        "h.layers.",
    ),
    "SoVITS": ("enc_p.", "dec.", "flow.", "ref_enc.", "ssl_proj.", "cfm.", "quantizer.", "bridge."),
}
"""Beginnings of the official names."""


def check_kind(content: object, wanted: str) -> None:
    """Refuses a file that holds something else than the result of a training of GPT-SoVITS.

    Args:
        content: What was saved.
        wanted: `GPT` or `SoVITS`.

    Raises:
        CheckpointError: It is a state of a training run, a model of another kind or tool, or none at all.
    """
    top = mapping_of(content)
    names = _names(top)
    if other := next((kind for kind in _OTHER_KINDS if _has(names, kind.marks)), None):
        raise CheckpointError(f"is {other.what}, expected a {wanted} model; {other.remedy}")
    own = next((kind for kind, marks in _OWN_KINDS.items() if _has(names, marks)), None)
    if top is not None and not _TRAINING_STATE.isdisjoint(top) and "weight" not in top:
        raise CheckpointError(
            f"is a state to resume training from; its result lies in the {own or wanted}_weights folder, take that"
        )
    if own not in (wanted, None):
        raise CheckpointError(f"is a {own} model, expected a {wanted} model; are the two files swapped?")
    if top is None or not {"weight", "config"} <= top.keys():
        raise CheckpointError(
            f"holds {_described(content, top)}, expected a {wanted} checkpoint: a dict with weight, config and info; "
            "take the original file"
        )
    if names and own is None:
        raise CheckpointError(
            f"holds tensors such as {one_line(names[0])}, expected those of a {wanted} model; take {wanted}'s file"
        )


def _names(top: Mapped | None) -> list[str]:
    """Names of the tensors, wherever they are kept."""
    if top is not None:
        for value in (*(top.get(place) for place in _PLACES), top):
            if tensors := tensors_in(value):
                return list(map(official_name, tensors))
    return []


def _has(names: list[str], marks: tuple[str, ...]) -> bool:
    return any(name.startswith(marks) for name in names)


def _described(content: object, top: Mapped | None) -> str:
    return f"a dict with the keys {one_line(list(top)[:5])}" if top else f"a {kind_of(content)}"
