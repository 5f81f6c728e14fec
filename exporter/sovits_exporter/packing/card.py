"""The card of a packed voice: what a hub and its reader see first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sovits_runtime.errors import printable

PART_LICENCES: Mapping[str, str] = {
    "hubert": "chinese-hubert-base (TencentGameMate): MIT",
    "bert": "chinese-roberta-wwm-ext-large (hfl): Apache-2.0",
    "speaker": "ERes2NetV2 (3D-Speaker): Apache-2.0",
    "vocoder": "the vocoder of GPT-SoVITS, in v3 NVIDIA's BigVGAN: MIT",
}
"""Kind of a shared part -> whose it is."""
_CODE = "GPT-SoVITS, which the voice was trained with: MIT"
_NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        name: The voice's.
        pack: The file's name.
        licence: Of the voice; empty: not stated.
        manifest: Of the bundle.
        precision: Of the bundle.
        apart: Folders of shared parts that the pack needs and does not hold.
    """

    name: str
    pack: str
    licence: str
    manifest: Mapping[str, Any]
    precision: str
    apart: tuple[str, ...]


def card_text(card: Card) -> str:
    """The card in Markdown, with the fields that a hub reads above it."""
    model = card.manifest["model"]
    lines = [
        "---",
        f"license: {_hub_licence(card.licence)}",
        "library_name: sovits-export",
        "pipeline_tag: text-to-speech",
        "tags: [text-to-speech, GPT-SoVITS, onnx]",
        "---",
        "",
        f"# {_plain(card.name)}",
        "",
        f"A GPT-SoVITS {model['version']} voice, {model['sample_rate']} Hz, {card.precision}, packed by sovits-export. "
        "It speaks without PyTorch.",
        "",
        "```sh",
        'pip install "sovits-export[cpu,text]"',
        f"sovits-export speak {_quoted(card.pack)} {_example(card.manifest)}",
        "```",
        "",
        "The pack is unpacked once, into a cache of yours, and every file is compared with its digest.",
    ]
    if card.apart:
        folders = ", ".join(f"`{_plain(name)}`" for name in card.apart)
        lines += ["", f"It needs these shared parts in a folder `shared` beside it: {folders}."]
    return "\n".join([*lines, *_licences(card), *_sources(card)]) + "\n"


def _example(manifest: Mapping[str, Any]) -> str:
    """What to type after the pack's name: a text where the voice has a reference of its own."""
    if manifest.get("references"):
        return '"Good morning." -o hello.wav'
    return '--ref RECORDING.wav --ref-text "What it says." --ref-lang en --text "Good morning." --lang en -o hello.wav'


def _licences(card: Card) -> list[str]:
    parts = [PART_LICENCES[kind] for kind in card.manifest["shared"] if kind in PART_LICENCES]
    voice = _plain(card.licence) if card.licence else f"{_NOT_STATED}; ask whoever gave it to you"
    return [
        "",
        "## Licences",
        "",
        f"- The voice: {voice}.",
        *(f"- {line}." for line in [_CODE, *parts]),
        "",
        "A voice is somebody's. Do not say with it what that person has not agreed to.",
    ]


def _sources(card: Card) -> list[str]:
    lines = ["", "## Made of", "", "| file | sha256 |", "|---|---|"]
    for source in card.manifest["sources"].values():
        lines.append(f"| `{_plain(source['file'])}` | `{_plain(source['sha256'])}` |")
    return [*lines, "", f"Digest of the bundle: `{card.manifest['digest']}`"]


def _hub_licence(licence: str) -> str:
    """The field `license`: names such as mit are taken as they are, all else is `other`."""
    name = licence.strip().lower()
    return name if name in ("mit", "apache-2.0", "cc0-1.0") or name.startswith("cc-by") else "other"


def _plain(text: str) -> str:
    """Words of a file that can be no markup."""
    return "".join(char for char in printable(text) if char not in "`<>|[]\\*")


def _quoted(name: str) -> str:
    name = _plain(name)
    return name if name.isascii() and " " not in name else json.dumps(name, ensure_ascii=False)
