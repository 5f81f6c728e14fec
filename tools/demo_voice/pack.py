"""Joins the trained parts to a voice in official format, and packs that for the repository."""

from __future__ import annotations

import lzma
import math
import tarfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import corpus
import numpy as np
import soxr
import torch
import torch.nn.functional as F
from layout import CODE_WIDTH, CODES, FLOW_HIDDEN, gpt_config, hubert_config, sovits_config
from sentences import REFERENCE_TEXT
from torch import Tensor

from sovits_exporter.checkpoint.layout import FLOW_WN_LAYERS, Layout, gpt_layout, sovits_layout
from sovits_exporter.demo.configs import hubert_layout
from sovits_exporter.demo.demo import GPT, HUBERT, REFERENCE, REFERENCE_WAV, SOVITS, TARGET
from sovits_exporter.demo.writers import save_sovits, save_torch, write_json, write_wav
from sovits_exporter.modeling.vits import SSL_WIDTH
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.symbols import symbol_table

State = dict[str, Tensor]

TARGET_TEXT = "It is five past three, and the back door is closed."
HIDDEN = 192
SHARPER = 3.0  # times the scale of the logits: what is drawn at temperature 1 is then what 0.33 would draw
STEPS = 11  # of a weight's grid in its standard deviation
FINE_STEPS = 32  # in the waveform decoder, where rounding is heard


def gpt_state(weights: State, phones: set[int]) -> State:
    """Names the GPT's tensors as the official file does."""
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    state["model.ar_predict_layer.weight"] = SHARPER * state["model.ar_predict_layer.weight"]
    _complete_phones(state["model.ar_text_embedding.word_embeddings.weight"], phones)
    return state


def sovits_state(parts: Mapping[str, State], style: Tensor, phones: set[int]) -> State:
    """Names the tensors of encoder, flow and decoder as the official file does, weight norm apart."""
    prior, tokens = parts["prior"], parts["encoder"]
    state = {name: tensor for name, tensor in prior.items() if name.startswith("enc_p.")}
    _complete_phones(state["enc_p.text_embedding.weight"], phones)
    for i in range(0, 8, 2):
        state |= _widened(
            {n: t for n, t in prior.items() if n.startswith(f"flow.flows.{i}.")}, f"flow.flows.{i}", style
        )
    for name, tensor in parts["vocoder"].items():
        state[f"dec.{name}"] = tensor.squeeze(2) if tensor.ndim == 4 else tensor
    state |= {f"ref_enc.{name}": tensor for name, tensor in parts["style"].items()}
    idle = SSL_WIDTH - CODE_WIDTH
    state["ssl_proj.weight"] = F.pad(tokens["project.weight"], (0, 0, 0, 0, 0, idle))
    state["ssl_proj.bias"] = F.pad(tokens["project.bias"], (0, idle))
    book = "quantizer.vq.layers.0._codebook"
    state[f"{book}.embed"] = F.pad(tokens["codebook"], (0, idle))
    state[f"{book}.embed_avg"] = torch.zeros(CODES, SSL_WIDTH)
    state[f"{book}.cluster_size"], state[f"{book}.inited"] = torch.ones(CODES), torch.ones(1)
    return state


def hubert_state(tokens: State) -> State:
    """Names the speech encoder's tensors as transformers does."""
    state = {name.removeprefix("hubert."): t for name, t in tokens.items() if name.startswith("hubert.")}
    weight = state.pop("encoder.pos_conv_embed.conv.weight")
    state["encoder.pos_conv_embed.conv.weight_v"] = weight
    state["encoder.pos_conv_embed.conv.weight_g"] = torch.linalg.vector_norm(weight, dim=(0, 1), keepdim=True)
    state["masked_spec_embed"] = torch.zeros(SSL_WIDTH)
    return state


def _complete_phones(table: Tensor, used: set[int]) -> None:
    """Gives phones that no training sentence has the row of the same vowel with another stress, or zeros."""
    names = symbol_table("v2")
    known = {names[i]: i for i in used}
    for i, name in enumerate(names):
        if i not in used:
            same = [
                known[other]
                for other in (name[:-1] + s for s in "102")
                if name[-1:].isdigit() and other in known
            ]
            table[i] = table[same[0]] if same else 0


def _widened(part: State, prefix: str, style: Tensor) -> State:
    """Puts a coupling of 64 channels into the official 192; the others carry exact zeros."""
    state: State = {}
    more = HIDDEN - FLOW_HIDDEN
    for name, tensor in part.items():
        last = name.removeprefix(f"{prefix}.")
        if last == "post.bias":
            state[name] = tensor
        elif last == "post.weight":
            state[name] = F.pad(tensor, (0, 0, 0, more))
        elif last == "enc.cond_layer.weight":
            state[name] = torch.zeros(
                2 * HIDDEN * FLOW_WN_LAYERS, tensor.shape[1], 1
            )  # one speaker: a constant
        elif last == "enc.cond_layer.bias":
            constant = part[f"{prefix}.enc.cond_layer.weight"][:, :, 0] @ style[0, :, 0]
            state[name] = _rows(tensor + constant, row_blocks(name))
        else:
            wide = _rows(tensor, row_blocks(name))
            state[name] = F.pad(wide, (0, 0, 0, more)) if wide.ndim == 3 and reads_channels(name) else wide
    return state


def row_blocks(name: str) -> int:
    """Returns how many blocks of a coupling's channels lie one behind another in the rows of a tensor of the flow."""
    if ".pre." in name or f".res_skip_layers.{FLOW_WN_LAYERS - 1}." in name:
        return 1
    return 2 * FLOW_WN_LAYERS if ".cond_layer." in name else 2


def reads_channels(name: str) -> bool:
    """Tells whether the columns of a tensor of the flow are a coupling's channels."""
    return ".in_layers." in name or ".res_skip_layers." in name


def _rows(tensor: Tensor, blocks: int) -> Tensor:
    """Pads each of some blocks of rows from 64 to 192."""
    split = tensor.unflatten(0, (blocks, FLOW_HIDDEN))
    wide = split.new_zeros(blocks, HIDDEN, *tensor.shape[1:])
    wide[:, :FLOW_HIDDEN] = split
    return wide.flatten(0, 1)


def finished(state: State, layout: Layout) -> OrderedDict[str, Tensor]:
    """Rounds weights to a grid, splits weight norm where the layout has it, and checks names and shapes.

    A grid takes half the bits of free float16 once the files are packed; no error is larger than a twenty-second of
    the weights' own deviation (a sixty-fourth in the waveform decoder).
    """
    result: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in layout.items():
        if name.endswith(("weight_g", "weight_v")) and name not in state:
            weight = _on_grid(name, state[name[:-2]])
            norm = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)
            # A row of zeros has no direction: any will do, at no length.
            tensor = norm if name.endswith("_g") else torch.where(norm == 0, torch.ones(()), weight)
        else:
            tensor = _on_grid(name, state[name])
        if tuple(tensor.shape) != tuple(shape):
            raise RuntimeError(f"{name}: got {list(tensor.shape)}, expected {list(shape)}")
        result[name] = tensor.half()
    return result


def _on_grid(name: str, weight: Tensor) -> Tensor:
    deviation = float(weight[weight != 0].std()) if weight.ndim > 1 and (weight != 0).sum() > 1 else 0.0
    if not deviation:
        return weight
    steps = FINE_STEPS if name.startswith("dec.") else STEPS
    step = 2.0 ** math.floor(math.log2(deviation / steps))
    return torch.round(weight / step) * step


def pack(folder: Path, archive: Path) -> None:
    """Packs a folder; the same files give the same bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 1, "pb": 1}]
    with (
        lzma.open(archive, "wb", filters=filters) as raw,
        tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            info = tarfile.TarInfo(str(path.relative_to(folder)))
            if path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    tar.addfile(info, file)


def _sentence(text: str) -> dict[str, Any]:
    phones = TextFrontend().transcript(text, "en").symbols
    return {"language": "en", "text": text, "phones": list(phones)}


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("encoder", type=click.Path(path_type=Path))
@click.argument("gpt", type=click.Path(path_type=Path))
@click.argument("prior", type=click.Path(path_type=Path))
@click.argument("vocoder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--archive", type=click.Path(path_type=Path), help="Also pack everything into this .tar.xz.")
def main(
    data: Path, encoder: Path, gpt: Path, prior: Path, vocoder: Path, out: Path, archive: Path | None
) -> None:
    """Writes official files of the parts that the other scripts trained to the folder OUT."""
    out.mkdir(parents=True)
    tokens = torch.load(encoder / "encoder.pt")["model"]
    style = torch.load(data / "style.pt")
    used = {symbol for recording in corpus.load(data / "train.npz") for symbol in recording.phones}
    phones = {i for i, name in enumerate(symbol_table("v2")) if name in used}
    parts = {
        "prior": torch.load(prior / "prior.pt"),
        "encoder": tokens,
        "vocoder": torch.load(vocoder / "vocoder.pt")["dec"],
        "style": torch.load(data / "style_encoder.pt"),
    }
    own_gpt, own_sovits, own_hubert = gpt_config(), sovits_config(), hubert_config()
    weight = finished(gpt_state(torch.load(gpt / "gpt.pt"), phones), gpt_layout(own_gpt))
    save_torch(OrderedDict(weight=weight, config=own_gpt, info="GPT-demo-voice"), out / GPT)
    weight = finished(sovits_state(parts, style, phones), sovits_layout(own_sovits, "v2"))
    save_sovits(out / SOVITS, own_sovits, {"weight": dict(weight), "info": "demo-voice"})
    (out / HUBERT).mkdir()
    write_json(out / HUBERT / "config.json", own_hubert)
    write_json(
        out / HUBERT / "preprocessor_config.json",
        {"sampling_rate": 16000, "do_normalize": False, "feature_size": 1},
    )
    layout = {name: tuple(tensor.shape) for name, tensor in hubert_state(tokens).items()}
    missing = set(hubert_layout(own_hubert)) - set(layout)
    if missing:
        raise RuntimeError(f"the speech encoder lacks {sorted(missing)}")
    save_torch(finished(hubert_state(tokens), layout), out / HUBERT / "pytorch_model.bin")
    wave = corpus.load(data / "reference.npz")[0].wave.astype(np.float64) / 32768
    write_wav(out / REFERENCE_WAV, np.clip(soxr.resample(wave, 1, 2, quality="HQ"), -1, 1))
    write_json(out / REFERENCE, _sentence(REFERENCE_TEXT))
    write_json(out / TARGET, _sentence(TARGET_TEXT))
    click.echo(f"{sum(p.stat().st_size for p in out.rglob('*') if p.is_file()) / 1e6:.1f} MB in {out}")
    if archive:
        pack(out, archive)
        click.echo(f"{archive.stat().st_size / 1e6:.1f} MB in {archive}")


if __name__ == "__main__":
    main()
