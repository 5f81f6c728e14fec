"""A bundle that is verified on the voice's own words."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from sovits_exporter.building.golden import record
from sovits_exporter.building.request import RequestWords
from sovits_exporter.checkpoint.models import build_models
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.cli.main import main
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.errors import AudioError, TextError
from sovits_runtime.text.symbols import symbol_ids

PROMPT, TARGET = ["HH", "AH0", "L", "OW1", "."], ["B", "AY1", "B", "AY1", "."]


def test_what_is_recorded_is_the_request(demo_files):
    models = build_models(load_gpt(demo_files.gpt), load_sovits(demo_files.sovits))
    words = RequestWords(demo_files.reference_wav, PROMPT, TARGET).read(models.spec)
    arrays = record(models, words).arrays
    assert np.array_equal(arrays["prompt_phones"], symbol_ids(PROMPT, "v2"))
    assert np.array_equal(arrays["phones"], symbol_ids(TARGET, "v2"))
    samples, rate = soundfile.read(demo_files.reference_wav, dtype="float32")
    assert rate == 32000
    assert np.array_equal(arrays["wave"], samples)
    assert arrays["bert"].shape == (len(PROMPT) + len(TARGET), 1024)
    assert not arrays["bert"].any()
    other = record(models).arrays
    assert other["bert"].any()
    assert not np.array_equal(arrays["logits"][0], other["logits"][0])


def test_a_recording_that_is_no_reference_is_refused(demo_files, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(32000, np.float32), 32000)
    with pytest.raises(AudioError, match="3 to 10"):
        RequestWords(tmp_path / "short.wav", PROMPT, TARGET).read(model_spec("v2"))
    with pytest.raises(TextError, match="lacks phones"):
        RequestWords(demo_files.reference_wav, PROMPT, []).read(model_spec("v2"))


@pytest.mark.parametrize(
    "given",
    [["--phones", "HH"], ["--ref", "a.wav", "--phones", "HH"], ["--ref-phones", "HH", "--phones", "HH"]],
)
def test_half_a_request_is_wrong_use(given, tmp_path):
    result = CliRunner().invoke(
        main, ["build", "--gpt", "a", "--sovits", "b", "-o", str(tmp_path / "v"), *given]
    )
    assert result.exit_code == 2
    assert "needs all of --ref, --ref-phones and --phones" in result.output


def test_a_recording_alone_is_stored_and_takes_what_reads_it(demo_files, tmp_path):
    pair = ["--gpt", str(demo_files.gpt), "--sovits", str(demo_files.sovits), "-o", str(tmp_path / "v")]
    result = CliRunner().invoke(main, ["build", *pair, "--ref", str(demo_files.reference_wav)])
    assert result.exit_code == 1
    assert (
        "cannot be stored in the bundle without what reads recordings; give --hubert, or --no-store"
        in result.output
    )
    result = CliRunner().invoke(main, ["build", *pair, "--ref-phones", "HH"])
    assert (result.exit_code, "a transcript needs its recording: give --ref" in result.output) == (2, True)
