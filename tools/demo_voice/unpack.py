"""Takes the demo voice apart again, so that its parts can be trained further: what `pack.py` does, backwards."""

from __future__ import annotations

from pathlib import Path

import click
import corpus
import torch
from layout import CODE_WIDTH, FLOW_HIDDEN, STYLE_WIDTH
from measure import reference_style
from pack import HIDDEN, SHARPER, State, reads_channels, row_blocks
from speech_encoder import Tokens, frame_sound_names, save_all_codes
from torch import Tensor

from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.pretrained import load_hubert
from sovits_exporter.demo.demo import GPT, HUBERT, SOVITS
from sovits_exporter.modeling.reference_encoder import ReferenceEncoder
from sovits_runtime.bundle.model_spec import model_spec


def prior_state(sovits: State) -> State:
    """Returns encoder and flow as `prior.Prior` holds them."""
    state = {name: tensor for name, tensor in sovits.items() if name.startswith("enc_p.")}
    state |= {name: _narrowed(name, tensor) for name, tensor in sovits.items() if name.startswith("flow.")}
    state["rows"] = sovits["quantizer.vq.layers.0._codebook.embed"]
    return state


def _narrowed(name: str, tensor: Tensor) -> Tensor:
    """Takes the 64 channels of a coupling that are used out of the official 192."""
    if name.endswith("post.bias"):
        return tensor
    if name.endswith("post.weight"):
        return tensor[:, :FLOW_HIDDEN]
    rows = tensor.unflatten(0, (row_blocks(name), HIDDEN))[:, :FLOW_HIDDEN].flatten(0, 1)
    return (
        rows[:, :FLOW_HIDDEN].contiguous() if rows.ndim == 3 and reads_channels(name) else rows.contiguous()
    )


def tokens_model(sovits: State, hubert: torch.nn.Module, sounds: int) -> Tokens:
    """Returns the speech encoder and its codebook; the reader that judged them is lost."""
    model = Tokens(sounds)
    model.hubert.load_state_dict(hubert.state_dict())
    with torch.no_grad():
        model.project.weight.copy_(sovits["ssl_proj.weight"][:CODE_WIDTH])
        model.project.bias.copy_(sovits["ssl_proj.bias"][:CODE_WIDTH])
        model.codebook.copy_(sovits["quantizer.vq.layers.0._codebook.embed"][:, :CODE_WIDTH])
    return model.eval()


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True))
@click.argument("work", type=click.Path(path_type=Path))
def main(files: Path, work: Path) -> None:
    """Writes the parts of the voice in FILES to the folders in WORK that `train.sh` makes, beside its WORK/corpus."""
    data = work / "corpus"
    recordings = corpus.load(data / "train.npz")
    sovits = load_sovits(files / SOVITS).tensors
    for name in ("encoder", "gpt", "prior", "vocoder"):
        (work / name).mkdir(parents=True, exist_ok=True)
    gpt = load_gpt(files / GPT).tensors
    gpt["ar_predict_layer.weight"] = gpt["ar_predict_layer.weight"] / SHARPER
    torch.save(gpt, work / "gpt" / "gpt.pt")
    torch.save(prior_state(sovits), work / "prior" / "prior.pt")
    decoder = {name.removeprefix("dec."): t for name, t in sovits.items() if name.startswith("dec.")}
    torch.save({"dec": decoder}, work / "vocoder" / "vocoder.pt")
    style = {name.removeprefix("ref_enc."): t for name, t in sovits.items() if name.startswith("ref_enc.")}
    torch.save(style, data / "style_encoder.pt")
    encoder = ReferenceEncoder(model_spec("v2").reference_bins, STYLE_WIDTH)
    encoder.load_state_dict(style)
    torch.save(reference_style(data, encoder), data / "style.pt")
    names = frame_sound_names(recordings)
    model = tokens_model(sovits, load_hubert(files / HUBERT), len(names))
    torch.save({"model": model.state_dict(), "sounds": len(names)}, work / "encoder" / "encoder.pt")
    save_all_codes(model, data, work / "encoder")


if __name__ == "__main__":
    main()
