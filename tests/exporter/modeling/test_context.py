"""The stated context of a vocoder and of the flow is exactly what gradients reach."""

import pytest
import torch

from sovits_exporter.modeling.bigvgan import ACTIVATION_CONTEXT, Activation
from sovits_exporter.modeling.flow import CONTEXT, Flow
from sovits_exporter.modeling.hifigan import Generator, HifiganConfig


@pytest.mark.parametrize(
    ("rates", "kernels"),
    [
        ((10, 8, 2, 2, 2), (16, 16, 8, 2, 2)),
        ((10, 8, 2, 2, 2), (20, 16, 8, 2, 2)),
        ((10, 6, 2, 2, 2), (20, 12, 4, 4, 4)),
    ],
)
def test_vocoder(rates, kernels):
    config = HifiganConfig(3, 32, 2, rates, kernels, (3, 7, 11), ((1, 3, 5),) * 3)
    generator = Generator(config).double()
    z = torch.randn(1, 3, 51, dtype=torch.double, requires_grad=True)
    samples = generator(z, torch.randn(1, 2, 1, dtype=torch.double))[0]
    hop = len(samples) // 51
    reached = []
    for sample in (25 * hop, 26 * hop - 1):
        gradient = torch.autograd.grad(samples[sample], z, retain_graph=True)[0]
        frames = gradient.abs().sum((0, 1)).nonzero().flatten()
        reached += [25 - int(frames[0]), int(frames[-1]) - 25]
    assert config.context() == max(reached)


def test_alias_free_activation():
    activation = Activation(1).double()
    taps = torch.rand(1, 1, 12, dtype=torch.double)
    logs = torch.zeros(1, dtype=torch.double)
    filters = {"upsample.filter": taps, "downsample.lowpass.filter": taps}
    activation.load_state_dict({**filters, "act.alpha": logs, "act.beta": logs})
    x = torch.randn(1, 1, 1, 41, dtype=torch.double, requires_grad=True)
    reached = torch.autograd.grad(activation(x)[0, 0, 0, 20], x)[0].flatten().nonzero().flatten()
    assert (20 - int(reached[0]), int(reached[-1]) - 20) == (ACTIVATION_CONTEXT, ACTIVATION_CONTEXT)


def test_flow():
    flow = Flow(4, 4, 2).double()
    z = torch.randn(1, 4, 101, dtype=torch.double, requires_grad=True)
    frame = flow.reverse(z, torch.randn(1, 2, 1, dtype=torch.double))[0, :, 50].sum()
    frames = torch.autograd.grad(frame, z)[0].abs().sum((0, 1)).nonzero().flatten()
    assert (50 - int(frames[0]), int(frames[-1]) - 50) == (CONTEXT, CONTEXT)
