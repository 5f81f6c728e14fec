"""The decoder of v3 to v5 in eager PyTorch, the baseline of `bench`: the runtime's order of work on torch modules."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from sovits_exporter.building.pretrained_tree import vocoder_part
from sovits_exporter.checkpoint.vocoder import official_vocoder, read_vocoder
from sovits_exporter.eager.conv import run_in_one_dimension
from sovits_exporter.graphs.cfm import vocoder_graph
from sovits_exporter.graphs.sovits import sovits_graphs
from sovits_exporter.modeling.vits import Sovits
from sovits_runtime.bundle.model_spec import FlowSpec, ModelSpec
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import CheckpointError
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder


def find_vocoder(sovits: Path, flow: FlowSpec) -> Path:
    """Finds the vocoder beside a SoVITS file.

    Raises:
        CheckpointError: There is none.
    """
    part = vocoder_part(flow)
    if (path := part.find(sovits.parent)) is None:
        raise CheckpointError(
            f"{sovits.parent / part.places[-1]}: missing; put {official_vocoder(flow)} there, beside {sovits.name}"
        )
    return path


def eager_flow_decoder(vits: Sovits, spec: ModelSpec, *, vocoder: Path) -> FlowMatchingDecoder:
    """Returns the decoder on PyTorch modules, their convolutions in one dimension as the original has them.

    Args:
        vits: The model; its convolutions are changed.
        spec: The version's row.
        vocoder: From `find_vocoder`.
    """
    assert spec.flow is not None
    source = read_vocoder(vocoder, spec.flow)
    graphs = [*sovits_graphs(vits, spec), vocoder_graph(source.module(), source.config)]
    for graph in graphs:
        run_in_one_dimension(graph.module)
    # A GraphDef runs its module on NumPy arrays, which is all that the decoder asks of a session.
    sessions = {graph.spec.name: cast(Session, graph) for graph in graphs}
    return FlowMatchingDecoder(sessions, spec)
