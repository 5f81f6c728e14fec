import numpy as np
import pytest

from sovits_calibration.weights import weight_loss


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        (np.random.default_rng(0).normal(0, 0.02, 10_000), ""),
        ([1.0, -7e4], "reaches 7e+04"),
        ([1.0, np.inf], "reaches inf"),
        ([1.0, np.nan], "reaches nan"),
        ([1e-8], "100.0 % of it would become zero"),
        (np.r_[np.ones(90), np.full(10, 1e-9)], "10.0 % of it would become zero"),
        (np.random.default_rng(0).normal(0, 2e-6, 10_000), "of its norm"),
        (np.zeros(4), ""),
    ],
)
def test_complaints(numbers, complaint):
    assert complaint in weight_loss(np.asarray(numbers, np.float32)).complaint()
    assert bool(weight_loss(np.asarray(numbers, np.float32)).complaint()) == bool(complaint)
