"""Precision options of `build` and `convert`."""

import click
import pytest

from sovits_exporter.cli.main import main
from sovits_exporter.cli.precision_options import PrecisionOptions
from sovits_exporter.precision.limits import Limits

NOTHING = {"fp16": False, "precision": None, "recordings": (), "like": None}


def options(**given):
    costs = {"max_kl": 0.1, "min_snr": 20.0, "max_log_mel": 1.0}
    return PrecisionOptions(**{**NOTHING, **costs, **given})


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({}, "fp32"),
        ({"fp16": True}, "fp16"),
        ({"fp16": True, "precision": "fp16"}, "fp16"),
        ({"precision": "gpt=int8,sovits=auto"}, "gpt=int8,sovits=auto"),
    ],
)
def test_the_precision_asked_for(given, target):
    asked = options(**given)
    asked.check()
    assert asked.target == target


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fp16": True, "precision": "int8"}, "contradict"),
        ({"precision": "int3"}, "--precision: precision 'int3' is unknown"),
        ({"recordings": ("a.wav",)}, "fp32 does not need"),
        ({"precision": "int8", "like": "b"}, "goes with --fp16"),
    ],
)
def test_what_contradicts_itself_is_wrong_use(given, message):
    with pytest.raises(click.UsageError, match=message):
        options(**given).check()


@pytest.mark.parametrize("command", ["build", "convert"])
def test_the_limits_are_those_of_the_conversion(command):
    defaults = {p.name: p.default for p in main.get_command(click.Context(main), command).params}
    limits = Limits()
    assert defaults["max_kl"] == limits.kl
    assert defaults["min_snr"] == limits.snr_db
    assert defaults["max_log_mel"] == limits.log_mel_db
