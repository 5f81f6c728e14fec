"""The parts of a golden file that only versions with a speaker network have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sovits_exporter.checkpoint.speaker import speaker_file_layout, speaker_layout
from sovits_exporter.demo.weights import fill
from sovits_exporter.graphs.export import export_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.graphs.shared import shared_graph
from sovits_exporter.modeling.eres2net import ERes2NetV2
from sovits_exporter.modeling.vits import SynthesizerTrn
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec
from sovits_runtime.bundle.session import Session, SessionOptions

Golden = dict[str, Array]
Floats = NDArray[np.float32]


def speaker_sizes(meta: dict[str, Any]) -> dict[str, Any]:
    """Sizes of the golden's speaker network."""
    eres = meta["eres"]
    return {"channels": eres.get("m_channels", 64), "blocks": eres.get("num_blocks", [3, 4, 6, 3])}


def write_speaker_file(path: Path, meta: dict[str, Any]) -> None:
    """Writes the golden's weights as the official file."""
    layout = speaker_file_layout(speaker_sizes(meta))
    torch.save(
        {name: torch.from_numpy(fill(name, shape, meta["seed"])) for name, shape in layout.items()}, path
    )


def small_speaker(meta: dict[str, Any]) -> ERes2NetV2:
    """The tiny goldens' network; its embedding is too narrow for a bundle, so it is replayed beside it."""
    sizes = speaker_sizes(meta)
    module = ERes2NetV2(**sizes)
    module.load_state_dict(
        {n: torch.from_numpy(fill(n, s, meta["seed"])) for n, s in speaker_layout(sizes).items()}
    )
    return module.eval().requires_grad_(False)


def speaker_session(module: ERes2NetV2, folder: Path) -> Session:
    """Exports the network as a build does."""
    folder.mkdir()
    graph = shared_graph("speaker", module, {})
    path, *_ = write_models([export_graph(graph)], folder, graph.weights)
    return open_session(path, graph.spec, options=SessionOptions())


def text_style_session(bundle: Bundle) -> Session:
    """The bundle's encoder graph, cut off behind the text style, as another file beside it."""
    path = bundle.graph_path("sovits_encoder")
    model = onnx.load(path, load_external_data=False)
    name = next(n.output[0] for n in model.graph.node if "ge_to512.bias" in n.input)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 1, 512)))
    onnx.save(model, path.with_name("text_style.onnx"))
    whole = bundle.graph_spec("sovits_encoder")
    spec = GraphSpec("text_style", whole.inputs, (TensorSpec(name, "float32", (1, 1, 512)),), whole.dims)
    return open_session(path.with_name("text_style.onnx"), spec, options=SessionOptions())


@dataclass(frozen=True)
class Speakers:
    """Embeddings to replay a golden with.

    Attributes:
        first: Of the reference.
        two_references: Those that give the styles of the recorded two-reference case, see `speakers`.
        streamed: Those that give the styles of the two recorded stream chunks.
        accumulated: What the recorded `ref_enc` comes to, or None where the file holds too little to tell.
    """

    first: Floats
    two_references: tuple[Floats, Floats]
    streamed: tuple[Floats, Floats]
    accumulated: Floats | None


@torch.inference_mode()
def speakers(vits: SynthesizerTrn, g: Golden, spectrogram: Floats) -> Speakers:
    """Works out the embeddings behind the recorded styles.

    While the goldens were made, one tensor X = ref_enc(in_wav32) was handed out for every reference and each use added
    its speaker term in place: a = sv_emb(first embedding), b = sv_emb(second). In order of use: X + a (`ge`), X + 2a
    and X + 2a + b (the two references), X + 3a + b and X + 4a + b (the stream chunks); the stored `ref_enc` is the
    last. These sums are reached here by embeddings whose speaker term is the sum. Full-size files lack the second
    embedding; its b is taken from `ref_enc`.
    """
    first = g["in_sv_emb"] if "in_sv_emb" in g else g["sv_emb"]
    x = vits.ref_enc(torch.from_numpy(spectrogram))[0, :, 0].double().numpy()
    weight, bias = vits.sv_emb.weight.double().numpy(), vits.sv_emb.bias.double().numpy()
    a = weight @ first + bias
    b = weight @ g["in_sv_emb_b"] + bias if "in_sv_emb_b" in g else g["ref_enc"] - x - 4 * a

    def embedding(term: NDArray[np.float64]) -> Floats:
        shortest = weight.T @ np.linalg.solve(weight @ weight.T, term - bias)
        return shortest.astype(np.float32)

    accumulated = (x + 4 * a + b).astype(np.float32) if "in_sv_emb_b" in g else None
    return Speakers(
        first,
        (embedding(2 * a), embedding(2 * a + b)),
        (embedding(3 * a + b), embedding(4 * a + b)),
        accumulated,
    )
