"""The speaker network: the original's numbers, and a file that is read inertly and checked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sovits_exporter.checkpoint.speaker import read_speaker, speaker_file_layout, speaker_layout
from sovits_exporter.demo.weights import fill
from sovits_exporter.modeling.eres2net import ERes2NetV2
from sovits_runtime.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "data" / "speaker_golden.npz"
TINY = {"channels": 16, "blocks": [1, 1, 1, 1]}
WIDE = {"channels": 64, "blocks": [1, 1, 1, 1]}


@torch.inference_mode()
def test_embedding_is_the_originals():
    network = ERes2NetV2(**TINY).eval()
    network.load_state_dict({n: torch.from_numpy(fill(n, s, 0)) for n, s in speaker_layout(TINY).items()})
    with np.load(GOLDEN) as golden:
        got, expected = network(torch.from_numpy(golden["features"][None]))[0].numpy(), golden["embedding"]
    assert got.shape == expected.shape == (network.width,)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def state():
    """The official file's tensors, cheap to make."""
    return {
        name: torch.tensor(7) if name.endswith("tracked") else torch.full(shape, 0.5)
        for name, shape in speaker_file_layout(WIDE).items()
    }


def test_file_is_read_without_head_and_counters(tmp_path, state):
    torch.save(state, tmp_path / "sv.ckpt")
    read = read_speaker(tmp_path / "sv.ckpt")
    assert read.config == WIDE
    assert set(read.tensors) == {n for n in state if "seg_" not in n and "tracked" not in n}
    assert {t.dtype for t in read.tensors.values()} == {torch.float32}
    assert read.module().width == 20480


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fuse34.local_att.0.weight"), r"lacks fuse34\.local_att\.0\.weight"),
        (lambda s: s.update({"bn1.bias": torch.zeros(3)}), r"bn1\.bias has shape \[3\], expected \[64\]"),
        (lambda s: s.update({"bn1.bias": torch.full((64,), torch.nan)}), r"bn1\.bias .* 64 infinite or NaN"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(16, 1, 3, 3)}),
            r"has 16 channels .*take pretrained_eres",
        ),
        (lambda s: s.pop("conv1.weight"), r"expected the state dict of ERes2NetV2"),
    ],
)
def test_other_files_are_refused(tmp_path, state, change, message):
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "sv.ckpt")
    with pytest.raises(CheckpointError, match=rf"sv\.ckpt: .*{message}"):
        read_speaker(tmp_path / "sv.ckpt")


def test_another_checkpoint_is_refused(demo_files):
    with pytest.raises(CheckpointError, match=r"demo-gpt\.ckpt: .*expected the state dict of ERes2NetV2"):
        read_speaker(demo_files.gpt)
