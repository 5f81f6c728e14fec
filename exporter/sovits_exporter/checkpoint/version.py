"""Tells which model version a SoVITS file is: by its header, then its tensors, then its config.

Source: GPT-SoVITS, process_ckpt.py, get_sovits_version_from_path_fast, for the header bytes. The file's size, which the
original asks as well, misleads and is not used; of its digests only those of the v3 to v5 bases tell something new.
Headers 07 and 08 stand on complete models of v5 in one release of the original and on LoRA fine-tunes in the next, so
no header tells the one from the other: the tensors do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sovits_exporter.checkpoint.inert import one_line
from sovits_runtime.bundle.model_spec import MODEL_SPECS, model_spec
from sovits_runtime.errors import CheckpointError

_PLAIN_HEADER = b"PK"
_OPEN_HEADERS = (_PLAIN_HEADER, b"00", b"01")  # 00 and 01 are overruled by the tensors, as the original does
HEADERS = {
    b"02": "v3",
    b"03": "v3",
    b"04": "v4",
    b"05": "v2Pro",
    b"06": "v2ProPlus",
    b"07": "v5dev",
    b"08": "v5turbo",
}
LORA_HEADERS = {"v3": b"03", "v4": b"04", "v5dev": b"07", "v5turbo": b"08"}
BASES = {
    "43797be674a37c1c83ee81081941ed0f": "v3",
    "4f26b9476d0c5033e04162c486074374": "v4",
    "0e6e00af4104438346bda5344e6260e3": "v5dev",
    "c4ce1f839a0d271e41963f9fb16ade76": "v5dev",
    "695048a8e361076a54e6f32a21b949a3": "v5turbo",
    "6bc5cb2a195cc8ec22b2e723cd4d6f47": "v5turbo",
}
"""MD5 of the first 8192 bytes of s2Gv3.pth and its like; those of v5 were released twice."""
RELEASED = {
    "dc3c97e17592963677a4a1681f30c653": "s2G488k.pth (v1)",
    "6642b37f3dbb1f76882b69937c95a5f3": "s2G2333k.pth (v2)",
    **{digest: f"s2G{version}.pth" for digest, version in BASES.items()},
    "c7e9fce2223f3db685cdfa1e6368728a": "s2Gv2Pro.pth",
    "66b313e39455b57ab1b0bc0b239c9d0a": "s2Gv2ProPlus.pth",
}
"""MD5 of the first 8192 bytes of the pretrained models."""
RELEASED_GPT = {
    "b1c1e17e9c99547a89388f72048cd6e1b41b5a18b170e86a46dfde0324d63eb1": "s1bert25hz-2kh-longer-epoch=68e (v1)",
    "732f94e63b148066e24c7f9d2637f3374083e637635f07fbdb695dee20ddbe1f": "s1bert25hz-5kh-longer-epoch=12 (v2)",
    "87133414860ea14ff6620c483a3db5ed07b44be42e2c3fcdad65523a729a745a": "s1v3.ckpt (v3 to v5)",
}
"""SHA-256 of the pretrained GPTs."""
_OTHER_NAMES = {"v5": "v5dev"}
_PRO_BY_WIDTH = {row.decoder_width: (row.version,) for row in MODEL_SPECS.values() if row.speaker_network}


def detect_version(
    header: bytes,
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    *,
    requested: str | None = None,
    otherwise: str | None = None,
    start_digest: str = "",
    info: str = "",
    name: str = "",
) -> str:
    """Returns the version of a SoVITS file.

    Args:
        header: Its first two bytes.
        shapes: Shapes of its tensors by name.
        config: Its training config; what it says decides only between versions that hold the same tensors.
        requested: The version that the user says it is.
        otherwise: What to take it for where nothing tells; by default that is an error.
        start_digest: MD5 of its first 8192 bytes.
        info: What the trainer noted, such as the base.
        name: The file's name without suffix; asked last, and only that of a base counts.

    Raises:
        CheckpointError: The signs contradict each other or `requested`, or leave it open and `requested` is None.
    """
    possible = _possible(shapes)
    detected = HEADERS.get(header) or BASES.get(start_digest)
    if detected is None and header not in _OPEN_HEADERS:
        raise CheckpointError(
            f"starts with the version {one_line(header.decode('latin-1'))}, expected one of "
            f"{', '.join(h.decode() for h in HEADERS)} or PK; this release does not know it"
        )
    if detected is not None and detected not in possible:
        raise CheckpointError(
            f"its first bytes say {detected}, its tensors say {' or '.join(possible)}; take the original file"
        )
    if requested is not None and (
        model_spec(requested).version not in possible or detected not in (None, requested)
    ):
        raise CheckpointError(
            f"is a {detected or ' or '.join(possible)} model, but version {requested} was asked for; leave that out"
        )
    stated = detected or requested or _stated(possible, config, info=info, name=name)
    if stated is None and otherwise in possible:
        return otherwise
    if stated is None:
        raise CheckpointError(
            f"could be {' or '.join(possible)} and does not say which; name it: "
            f"{' or '.join(f'--version {v}' for v in possible)}"
        )
    return stated


def _possible(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    if any(name.startswith("cfm.") for name in shapes):
        return _flow_versions(shapes)
    if any(name.startswith("sv_emb.") for name in shapes):
        width = _rows(shapes, "dec.conv_pre.weight")
        return _PRO_BY_WIDTH.get(width) or tuple(v for (v,) in _PRO_BY_WIDTH.values())
    rows = _rows(shapes, "enc_p.text_embedding.weight")
    return ("v1",) if rows == MODEL_SPECS["v1"].n_symbols else ("v2",)


def _flow_versions(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The versions with flow matching whose transformer has these parts; LoRA fine-tunes hold neither of the two."""
    told_size, told_time = (any(part in name for name in shapes) for part in (".d_embed.", ".time_embed."))
    return tuple(
        row.version
        for row in MODEL_SPECS.values()
        if row.flow and (row.flow.step_size_embedding == told_size or not (told_size or told_time))
    )


def _rows(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    return next(iter(shapes.get(name, ())), 0)


def _stated(possible: tuple[str, ...], config: Mapping[str, Any], *, info: str, name: str) -> str | None:
    """The one version that its tensors leave open, or the first that the file itself states."""
    if len(possible) == 1:
        return possible[0]
    model = config.get("model")
    told = (model.get("version") if isinstance(model, Mapping) else None, config.get("version"))
    stated = tuple(_OTHER_NAMES.get(word, word) for word in told if isinstance(word, str))
    bases = (version for version in possible if name.lower() == f"s2g{version}".lower())
    named = {version for version in possible if re.search(rf"(?:\b|_|s2G){version}(?![a-z0-9])", info, re.I)}
    words = (*stated, *(named if len(named) == 1 else ()), *bases)
    return next((str(word) for word in words if word in possible), None)
