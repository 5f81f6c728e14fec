"""Writes each kind of file of a demo voice as the official tools leave it."""

from __future__ import annotations

import json
import re
import sys
import wave
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sovits_exporter.checkpoint.layout import Layout, gpt_layout, sovits_layout
from sovits_exporter.checkpoint.lora import lora_layout
from sovits_exporter.checkpoint.speaker import speaker_file_layout
from sovits_exporter.checkpoint.version import HEADERS, LORA_HEADERS
from sovits_exporter.checkpoint.vocoder import BIGVGAN_WEIGHTS, vocoder_file_layout
from sovits_exporter.demo.audio import SAMPLE_RATE
from sovits_exporter.demo.configs import (
    ENCODER_GAINS,
    Config,
    bert_config,
    bert_layout,
    bert_vocab,
    gpt_config,
    hubert_config,
    hubert_layout,
    sovits_config,
    speaker_config,
)
from sovits_exporter.demo.weights import fill
from sovits_exporter.modeling.sizes import DEMO_DIT, OFFICIAL_DIT
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import CheckpointError

Report = Callable[[int, int], None]

LORA_SEED = 1000  # added to the seed of the voice, so that base and fine-tune differ


def write_gpt(path: Path, version: str, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes a `.ckpt`."""
    config = gpt_config(version, tiny=tiny)
    weight = _state(gpt_layout(config), seed, report=report)
    save_torch(OrderedDict(weight=weight, config=config, info="GPT-e15"), path)


def write_sovits(path: Path, version: str, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes a `.pth`: its config an object of the trainer's class, its version over the first two bytes.

    Trainers of v3 to v5 leave those bytes alone; the config tells them apart.
    """
    config = sovits_config(version, tiny=tiny)
    layout = sovits_layout(config, version, DEMO_DIT if tiny else OFFICIAL_DIT)
    weight = dict(_state(layout, seed, report=report))
    save_sovits(path, config, {"weight": weight, "info": "8epoch_96iteration"})
    headers = [header for header, named in HEADERS.items() if named == version]
    if headers and not model_spec(version).flow:
        _write_header(path, headers[0])


def write_lora(path: Path, version: str, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes a LoRA fine-tune as the trainer of v3 to v5 saves it, of rank 8 if tiny and 32 else."""
    config, rank = sovits_config(version, tiny=tiny), 8 if tiny else 32
    layout = lora_layout(sovits_layout(config, version, DEMO_DIT if tiny else OFFICIAL_DIT), rank)
    weight = dict(_state(layout, seed + LORA_SEED, report=report))
    save_sovits(path, config, {"weight": weight, "info": "2epoch_22iteration", "lora_rank": rank})
    _write_header(path, LORA_HEADERS[version])


def save_sovits(path: Path, config: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Writes what a SoVITS file holds beside its config, and that as an object of the trainer's class."""
    with _trainer_config(config) as hparams:
        save_torch(OrderedDict(config=hparams, **content), path)


def _write_header(path: Path, header: bytes) -> None:
    with path.open("r+b") as f:
        f.write(header)


def write_vocoder(path: Path, config: Config, *, seed: int, report: Report) -> None:
    """Writes `vocoder.pth` of v4 or v5, or the folder of v3's BigVGAN where the config is one of that, in float32."""
    is_bigvgan = "activation" in config
    kind = "bigvgan" if is_bigvgan else "hifigan"
    layout = vocoder_file_layout({**config, "kind": kind, "bias": not is_bigvgan})
    state = OrderedDict(
        (name, tensor.float()) for name, tensor in _state(layout, seed, report=report).items()
    )
    if not is_bigvgan:
        save_torch(state, path)
        return
    path.mkdir()
    write_json(path / "config.json", config)
    save_torch({"generator": state}, path / BIGVGAN_WEIGHTS)


def write_hubert(folder: Path, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes a folder as transformers saves a HubertModel."""
    config = hubert_config(tiny=tiny)
    folder.mkdir()
    write_json(folder / "config.json", config)
    write_json(
        folder / "preprocessor_config.json", {"sampling_rate": 16000, "do_normalize": True, "feature_size": 1}
    )
    save_torch(
        _state(hubert_layout(config), seed, gains=ENCODER_GAINS, report=report), folder / "pytorch_model.bin"
    )


def write_bert(folder: Path, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes a folder as transformers saves a BertModel, with the vocabulary in both of its forms."""
    config, vocab = bert_config(tiny=tiny), bert_vocab(tiny=tiny)
    folder.mkdir()
    write_json(folder / "config.json", config)
    (folder / "vocab.txt").write_text(
        "".join(f"{token}\n" for token in vocab), encoding="utf-8", newline="\n"
    )
    write_json(folder / "tokenizer.json", _tokenizer(vocab))
    save_torch(
        _state(bert_layout(config), seed, gains=ENCODER_GAINS, report=report), folder / "pytorch_model.bin"
    )


def write_speaker(path: Path, *, tiny: bool, seed: int, report: Report) -> None:
    """Writes the state dict of the speaker network, in float32."""
    layout = speaker_file_layout(speaker_config(tiny=tiny))
    state = _state(layout, seed, report=report)
    for name, tensor in state.items():
        state[name] = tensor.long() if name.endswith("num_batches_tracked") else tensor.float()
    save_torch(state, path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes JSON text."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")


def write_wav(path: Path, samples: NDArray[np.float64]) -> None:
    """Writes samples [n] within +-1 as 16 bit mono at 32 kHz."""
    with wave.open(str(path), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(SAMPLE_RATE)
        f.writeframes(np.round(samples * 32767.0).astype("<i2").tobytes())


def _state(
    layout: Layout, seed: int, *, report: Report, gains: Sequence[tuple[re.Pattern[str], float]] = ()
) -> OrderedDict[str, torch.Tensor]:
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    done, total = 0, sum(map(_numel, layout.values()))
    for name, shape in layout.items():
        gain = next((gain for pattern, gain in gains if pattern.search(name)), 1.0)
        state[name] = (torch.from_numpy(fill(name, shape, seed)) * gain).half()
        done += _numel(shape)
        report(done, total)
    return state


def _numel(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def save_torch(content: Mapping[str, Any], path: Path) -> None:
    """Writes a file as torch.save does; a full disk is named."""
    try:
        torch.save(content, path)
    except RuntimeError as e:  # what torch makes of a full disk
        raise CheckpointError(f"{path.name} cannot be written ({e}); is the disk full?") from e


@contextmanager
def _trainer_config(config: Mapping[str, Any]) -> Iterator[object]:
    """Yields the config as an object that pickles as `utils.HParams`, the official trainer's class."""
    hparams = type("HParams", (), {"__module__": "utils"})
    module = ModuleType("utils")
    vars(module)["HParams"] = hparams

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        result = hparams()
        vars(result).update({key: convert(part) for key, part in value.items()})
        return result

    before = sys.modules.get("utils")
    sys.modules["utils"] = module
    try:
        yield convert(config)
    finally:
        if before is None:
            del sys.modules["utils"]
        else:
            sys.modules["utils"] = before


def _tokenizer(vocab: list[str]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocab.index("[SEP]")],
            "cls": ["[CLS]", vocab.index("[CLS]")],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: i for i, token in enumerate(vocab)},
        },
    }
