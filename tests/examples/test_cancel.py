"""New words cut off the old ones."""

import asyncio
import threading
import time

import numpy as np
import pytest

from sovits_runtime import SpeechOptions
from sovits_runtime.audio.files import read_audio
from sovits_runtime.errors import TextError

PHONES = "HH AH0 L OW1 ."


def test_speech_is_cut_off_and_its_state_freed(cancel, voice, reference, monkeypatch):
    steps = []
    original = voice.text_to_semantic.steps

    def counted(*args, **kwargs):
        for step in original(*args, **kwargs):
            steps.append(step.token)
            time.sleep(0.002)  # a bigger voice
            yield step

    monkeypatch.setattr(voice.text_to_semantic, "steps", counted)
    free = len(voice.text_to_semantic._pool)
    lengths = {"long": 1000, "short": 10}
    ear = cancel.Ear(voice.spec.sample_rate)

    def start(text):
        return voice.stream(
            [PHONES.split()], reference, options=SpeechOptions(max_tokens=lengths[text], pause_s=0)
        )

    async def interrupt():
        assistant = cancel.Assistant(start, ear)
        await assistant.say("long")
        speaking = asyncio.create_task(assistant.finish())
        while not ear.heard:
            assert not speaking.done(), await speaking
            await asyncio.sleep(0.01)
        await assistant.hush()
        made = len(steps)
        assert made < 1000
        assert not [t for t in threading.enumerate() if t.name == "chunks"]
        assert len(voice.text_to_semantic._pool) == max(free, 1)
        cut = sum(map(len, ear.heard))
        await assistant.say("short")
        await assistant.finish()
        return made, cut

    made, cut = asyncio.run(interrupt())
    assert len(steps) == made + 10
    assert sum(map(len, ear.heard)) == cut + 10 * 1280
    assert cut < 1000 * 1280


def test_an_error_reaches_who_waits_for_the_end(cancel, voice, reference):
    async def speak():
        assistant = cancel.Assistant(lambda text: voice.stream([text.split()], reference), cancel.Ear(32000))
        await assistant.say("")
        await assistant.finish()

    with pytest.raises(TextError, match="no phones given"):
        asyncio.run(speak())


def test_the_program_writes_what_was_heard(cancel, tiny_bundle, saved_reference, tmp_path, capsys):
    out = tmp_path / "heard.wav"
    texts = [PHONES, "B AY1 ."]
    more = ["--lang", "phones", "--after", "0.5", "--max-seconds", "1", "--out", str(out)]
    cancel.main([str(tiny_bundle), str(saved_reference), *texts, *more])
    samples, rate = read_audio(out)
    assert 1.3 <= len(samples) / rate < 1.3 + 1.3
    assert np.abs(samples).max() > 0
    assert "interrupted; free after" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["nan", "inf", "0", "-1", "x"])
def test_a_time_that_makes_no_sense_is_wrong_use(cancel, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        cancel.main(["voice", "me.npz", "Hello", "--out", "a.wav", "--after", wrong])
    assert exit_.value.code == 2
    assert f"got {wrong!r}, expected 0.1 to 3600 seconds" in capsys.readouterr().err
