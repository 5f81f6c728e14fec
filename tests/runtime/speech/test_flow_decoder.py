"""The bookkeeping of flow matching, on graphs that are simple enough to follow by hand."""

from dataclasses import replace
from itertools import chain, count

import numpy as np
import pytest
import torch

from sovits_runtime import ChunkOptions, Reference, SpeechOptions, TokenSequence
from sovits_runtime.audio.mel import denormed, normed
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.bundle.model_spec import MODEL_SPECS
from sovits_runtime.errors import BundleError, ShapeError, TextError
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.speech.flow_windows import OVERLAP_FRAMES, FlowPrompt, cut_along, split_windows, stretch

HOP = 256
BANDS = 100
GIVEN = {"condition": ("condition",), "guided_condition": ("unprompted", "condition")}


class Graph:
    """A session that runs a function and remembers what it was fed."""

    def __init__(self, function, max_batch=16):
        self.function = function
        self.calls = []
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        inputs = tuple(TensorSpec(name, "float32", ("batch",)) for name in names)
        outputs = tuple(TensorSpec(name, "float32", ("batch",)) for name in GIVEN.get(function.__name__, ()))
        self.spec = GraphSpec("fake", inputs, outputs, (DimRange("batch", 1, 1, max_batch),))

    def run(self, feeds):
        self.calls.append({name: value.copy() for name, value in feeds.items()})
        return self.function(**feeds)


def encoder(tokens, phones, style):
    return {"state": np.repeat(tokens, 2, axis=1).astype(np.float32)[:, None].repeat(192, axis=1)}


def features(state, style, valid_frames):
    frames = state.shape[2] * 15 // 8
    made = state[:, :1, np.arange(frames) * 8 // 15].repeat(512, axis=1)
    made[:, :, valid_frames[0] :] = 0
    return {"features": made}


def condition(features):
    return {"condition": features.transpose(0, 2, 1)}


def step(x, prompt_mel, condition, time, step_size, prompt_len):
    """Moves straight to a mel that equals the features in every band."""
    velocity = (condition[:, :, :BANDS].transpose(0, 2, 1) / 1000 - x) / (1 - time)
    moved = x + step_size * velocity
    moved[:, :, : prompt_len[0]] = 0
    return {"velocity": velocity, "next_x": moved.astype(np.float32)}


def guided_condition(features, prompt_mel):
    """As `condition`, in the first bands raised by what the prompt holds on average."""
    told = features.transpose(0, 2, 1)[:, :, :BANDS]
    return {"unprompted": told, "condition": told + prompt_mel.sum() / 100}


def guided_step(x, condition, time, step_size, prompt_len):
    """Moves at the speed that the condition names."""
    velocity = condition.transpose(0, 2, 1).astype(np.float32)
    moved = x + step_size * velocity
    moved[:, :, : prompt_len[0]] = 0
    return {"velocity": velocity, "next_x": moved.astype(np.float32)}


def vocoder(mel):
    return {"waveform": np.repeat(mel.mean(axis=1), HOP, axis=1)}


def decoder(*, prompt_frames=10, window_frames=40, max_batch=16):
    sessions = {
        "sovits_encoder": Graph(encoder),
        "cfm_features": Graph(features),
        "cfm_condition": Graph(condition),
        "cfm_step": Graph(step, max_batch),
        "mel_vocoder": Graph(vocoder),
    }
    made = FlowMatchingDecoder(sessions, MODEL_SPECS["v3"])
    made.flow = replace(made.flow, prompt_frames=prompt_frames, window_frames=window_frames)
    return made


def guided_decoder(**sizes):
    made = decoder()
    made.condition, made.step = Graph(guided_condition), Graph(guided_step)
    made.flow = replace(MODEL_SPECS["v5dev"].flow, **sizes)
    return made


def prompt_of(frames, *, value=1.0):
    return FlowPrompt(
        np.full((1, 512, frames), value, np.float32), np.full((1, BANDS, frames), value, np.float32)
    )


def reference(tokens=8, mel_frames=50):
    mel = np.linspace(-12, 2, mel_frames, dtype=np.float32)[None].repeat(BANDS, axis=0)
    arrays = (
        np.zeros(3, np.int64),
        np.zeros((3, 1024), np.float32),
        np.arange(tokens),
        np.zeros((1, 512, 1), np.float32),
    )
    return Reference("x", *arrays, mel)


def utterance(*tokens):
    return TokenSequence(np.array(tokens), np.zeros(4, np.int64))


class Noise:
    """Zeros, and the shapes that were asked for."""

    def __init__(self):
        self.shapes = []

    def __call__(self, shape):
        self.shapes.append(shape)
        return np.zeros(shape, np.float32)


def heard(tokens):
    """The waveform that the fakes make of tokens."""
    frames = 2 * len(tokens) * 15 // 8
    at = np.repeat(np.array(tokens), 2)[np.arange(frames) * 8 // 15]
    return np.repeat(denormed(at.astype(np.float32) / 1000), HOP)


@pytest.mark.parametrize(
    ("tokens", "mel_frames", "first", "last"), [(8, 50, 20, 30), (8, 25, 15, 25), (2, 50, 0, 7), (8, 4, 0, 4)]
)
def test_prompt_is_the_end_of_what_mel_and_features_have_in_common(tokens, mel_frames, first, last):
    voice, ref = decoder(), reference(tokens, mel_frames)
    prompt = voice.prompt_of(ref)
    np.testing.assert_array_equal(prompt.mel, normed(ref.mel)[None, :, first:last])
    expected = np.repeat(np.arange(tokens), 2)[np.arange(tokens * 30 // 8) * 8 // 15][first:last]
    np.testing.assert_array_equal(prompt.features[0, 0], expected)


def test_one_sentence_goes_window_after_window_prompted_by_the_one_before():
    voice, noise, tokens = decoder(), Noise(), list(range(100, 120))
    got = voice.speak(utterance(*tokens), reference(), options=SpeechOptions(flow_steps=2), noise=noise)
    np.testing.assert_allclose(got, heard(tokens), atol=1e-4)
    assert noise.shapes == [(1, BANDS, 40), (1, BANDS, 40), (1, BANDS, 10 + 15)]
    calls = voice.step.calls
    assert [float(c["time"][0]) for c in calls] == [0, 0.5] * 3
    assert all(c["step_size"] == 0.5 and c["prompt_len"] == 10 for c in calls)
    first, second = calls[0], calls[2]
    made = first["condition"][:, -10:].transpose(0, 2, 1)[:, :BANDS] / 1000
    np.testing.assert_allclose(second["prompt_mel"][:, :, :10], made, atol=1e-6)
    np.testing.assert_array_equal(second["prompt_mel"][:, :, 10:], 0)
    np.testing.assert_array_equal(second["condition"][:, :10], first["condition"][:, -10:])


def test_a_window_shorter_than_the_prompt_prompts_with_all_it_has():
    voice, noise = decoder(prompt_frames=30), Noise()
    prompt = FlowPrompt(np.zeros((1, 512, 30), np.float32), np.zeros((1, BANDS, 30), np.float32))
    pieces = list(voice.mel_pieces(np.zeros((1, 512, 24), np.float32), prompt, noise=noise))
    assert [p.shape[2] for p in pieces] == [10, 10, 4]
    assert [s[2] for s in noise.shapes] == [40, 20, 14]


@pytest.mark.parametrize(
    ("version", "prompt", "speech"),
    [
        ("v3", 468, 466),
        ("v4", 500, 500),
        ("v5dev", 500, 500),
        ("v5turbo", 361, 639),
        ("v5dev", 360, 640),
        ("v5dev", 1, 640),
    ],
)
def test_the_speech_of_a_window_is_bounded_by_the_prompt_and_by_the_version(version, prompt, speech):
    assert MODEL_SPECS[version].flow.window_speech(prompt) == speech


@pytest.mark.parametrize(
    ("tail", "frames", "kept", "new"),
    [(32, 100, 18, 32), (32, 20, 30, 20), (60, 100, 0, 50), (None, 100, 0, 50), (None, 20, 0, 20)],
)
def test_the_next_prompt_is_the_reference_with_the_end_of_the_window_before(tail, frames, kept, new):
    made = np.arange(frames, dtype=np.float32)[None, None]
    after = prompt_of(50, value=-1).then(made.repeat(512, 1), 2 * made.repeat(BANDS, 1), tail=tail)
    expected = [-1] * kept + list(range(frames - new, frames))
    np.testing.assert_array_equal(after.features[0, 0], expected)
    np.testing.assert_array_equal(after.mel[0, 0][kept:], 2 * np.array(expected[kept:]))
    assert len(after) == kept + new


def test_windows_of_v5_begin_with_the_reference_and_what_was_just_said():
    voice, noise = guided_decoder(window_frames=40, speech_frames=25, prompt_tail=4), Noise()
    features = np.arange(60, dtype=np.float32)[None, None].repeat(512, 1)
    pieces = list(voice.mel_pieces(features, prompt_of(10), noise=noise, steps=1, guidance=0))
    assert [p.shape[2] for p in pieces] == [25, 25, 10]
    assert [s[2] for s in noise.shapes] == [35, 35, 20]
    for before, (piece, call) in enumerate(zip(pieces, voice.condition.calls[1:], strict=False)):
        np.testing.assert_array_equal(call["prompt_mel"][:, :, :6], 1)
        np.testing.assert_array_equal(call["prompt_mel"][:, :, 6:10], piece[:, :, -4:])
        np.testing.assert_array_equal(call["features"][0, 0, 6:10], 25 * before + np.arange(21, 25))


@pytest.mark.parametrize(("asked", "rate"), [(None, 1.3), (0, 0), (1e-6, 0), (0.5, 0.5), (2, 2)])
def test_guidance_leads_away_from_what_is_made_without_the_prompt(asked, rate):
    voice = guided_decoder()
    made = voice.solve(
        np.zeros((1, 512, 5), np.float32), prompt_of(3), noise=Noise(), steps=4, guidance=asked
    )
    # Behind the prompt the velocity is 3 with it and 0 without it.
    np.testing.assert_allclose(made, 3 + rate * 3, rtol=1e-6)
    assert all(len(call["x"]) == (2 if rate else 1) for call in voice.step.calls)
    assert all((call["x"][:, :, :3] == 0).all() for call in voice.step.calls)
    assert len(voice.condition.calls) == 1


def test_guided_windows_take_two_rows_each_of_what_a_batch_can_hold():
    voice = guided_decoder()
    voice.solve(np.zeros((9, 512, 5), np.float32), prompt_of(3), noise=Noise(), steps=1)
    assert [len(call["x"]) for call in voice.step.calls] == [16, 2]


def test_the_noise_of_v5_is_quieter():
    voice = guided_decoder()
    voice.solve(
        np.zeros((1, 512, 5), np.float32),
        prompt_of(3),
        noise=lambda shape: np.ones(shape, np.float32),
        steps=4,
    )
    first = voice.step.calls[0]["x"]
    np.testing.assert_array_equal(first[:, :, :3], 0)
    np.testing.assert_array_equal(first[:, :, 3:], np.float32(0.875))


def test_sentences_of_v5_are_made_one_by_one():
    voice, noise = guided_decoder(), Noise()
    said = [utterance(*[7] * 20), utterance(*[7] * 30)]
    together = voice.speak_joined(said, reference(), options=SpeechOptions(flow_steps=2), noise=noise)
    apart = [voice.speak(u, reference(), options=SpeechOptions(flow_steps=2), noise=noise) for u in said]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one, other)


def test_guidance_of_a_version_that_takes_none_is_refused():
    with pytest.raises(ShapeError, match=r"guidance: got 1\.5, but this decoder takes none"):
        decoder().speak(utterance(1), reference(), options=SpeechOptions(guidance=1.5), noise=Noise())


def test_a_stream_is_the_sentence_window_by_window():
    voice, tokens = decoder(), list(range(100, 120))
    voice.vocoder.spec = replace(voice.vocoder.spec, context=3)
    stream = voice.stream(
        iter(tokens),
        utterance(*tokens).phones,
        reference=reference(),
        options=SpeechOptions(flow_steps=2),
        chunks=ChunkOptions(first_tokens=20),
        noise=Noise(),
    )
    pieces = list(stream)
    assert [len(piece) // HOP for piece in pieces] == [30 - 3, 30, 15, 3]
    np.testing.assert_allclose(np.concatenate(pieces), heard(tokens), atol=1e-4)


def test_the_first_chunk_of_a_stream_is_vocoded_before_the_rest_of_its_window():
    """Windows are as long as the rule has them; what goes through the vocoder at once is as long as asked."""
    voice, tokens = decoder(), list(range(100, 120))
    voice.vocoder.spec = replace(voice.vocoder.spec, context=3)
    stream = voice.stream(
        iter(tokens),
        utterance(*tokens).phones,
        reference=reference(),
        options=SpeechOptions(flow_steps=2),
        chunks=ChunkOptions(first_tokens=4, growth=1, most_tokens=4),
        noise=Noise(),
    )
    first = next(stream)
    assert len(first) // HOP == 15 - 3
    assert (len(voice.step.calls), len(voice.vocoder.calls)) == (2, 1)
    pieces = [first, *stream]
    assert [len(piece) // HOP for piece in pieces] == [12, 15, 15, 15, 15, 3]
    np.testing.assert_allclose(np.concatenate(pieces), heard(tokens), atol=1e-4)


def test_pieces_are_cut_where_chunks_end():
    def lengths(*pieces: int, ends: list[int]) -> list[int]:
        arrays = [np.zeros((1, 2, n), np.float32) for n in pieces]
        return [part.shape[2] for part in cut_along(arrays, chain(ends, count(1000)))]

    assert lengths(10, 10, ends=[4]) == [4, 6, 10]
    assert lengths(10, 10, ends=[10, 11, 19]) == [10, 1, 8, 1]
    assert lengths(3, 1, 3, ends=[5, 7]) == [3, 1, 1, 2]
    assert lengths(ends=[5]) == []


def test_stages_run_again_on_what_a_sentence_was_recorded_as():
    """Every Euler step is a call of its own; the vocoder reads the frames after the prompt."""
    voice, rng = decoder(), np.random.default_rng(0)
    shapes = {
        "prompt_mel": (1, BANDS, 4),
        "noise": (1, BANDS, 20),
        "x": (3, 1, BANDS, 20),
        "velocities": (2, 1, BANDS, 20),
        "condition": (1, 20, 512),
        "state": (1, 192, 16),
        "style": (1, 512, 1),
        "window_features": (1, 512, 20),
    }
    recording = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    recording |= {"tokens": np.arange(8), "phones": np.arange(5), "waveform": np.zeros(16 * HOP, np.float32)}
    calls = [(*call, stage) for stage in voice.stages for call in stage.recorded_calls(recording)]
    assert [name for name, _, _ in calls] == [
        "sovits_encoder",
        "cfm_features",
        "cfm_condition",
        "cfm_step 0",
        "cfm_step 1",
        "mel_vocoder",
    ]
    for _, arrays, stage in calls:
        assert tuple(stage.run(arrays)) == stage.outputs
    first, second = voice.step.calls
    np.testing.assert_array_equal(first["x"], recording["x"][0])
    np.testing.assert_array_equal(second["prompt_mel"][:, :, :4], recording["prompt_mel"])
    np.testing.assert_array_equal(second["prompt_mel"][:, :, 4:], 0)
    assert (first["time"], second["time"], second["step_size"], second["prompt_len"]) == (0, 0.5, 0.5, 4)
    np.testing.assert_array_equal(calls[4][1]["next_x"], recording["x"][2])
    np.testing.assert_array_equal(voice.vocoder.calls[0]["mel"], denormed(recording["x"][2][:, :, 4:]))
    assert calls[5][2].output(calls[5][1]).shape == recording["waveform"].shape


def test_the_version_sets_the_steps_unless_the_caller_does():
    voice = decoder()
    voice.speak(utterance(1, 2), reference(), options=SpeechOptions(), noise=Noise())
    assert len(voice.step.calls) == MODEL_SPECS["v3"].flow.steps


@pytest.mark.parametrize("max_batch", [16, 3])
def test_several_sentences_fill_windows_and_are_cut_apart(max_batch):
    voice, noise = decoder(max_batch=max_batch), Noise()
    # Constant speech joins without a seam wherever it is moved to.
    spoken = voice.speak_joined(
        [utterance(*[7] * 20), utterance(*[7] * 30)],
        reference(),
        options=SpeechOptions(flow_steps=2),
        noise=noise,
    )
    windows = -(-(75 + 112 + OVERLAP_FRAMES) // (30 - OVERLAP_FRAMES))
    assert noise.shapes == [(windows, BANDS, 40)]
    assert max(len(c["x"]) for c in voice.step.calls) == min(max_batch, windows)
    assert len(spoken[0]) == 75 * HOP
    np.testing.assert_allclose(spoken[0], heard([7] * 20), atol=1e-4)
    assert 0 <= 112 * HOP - len(spoken[1]) <= windows * 320


@pytest.mark.parametrize("frames", [1, 17, 18, 19, 28, 29, 30, 36, 100])
def test_windows_overlap_by_twelve_frames_and_hold_everything(frames):
    features = np.arange(1, frames + 1, dtype=np.float32)[None, None]
    windows, padding = split_windows(features, 30)
    first, *others = windows[:, 0]
    whole = np.concatenate([first, *(w[OVERLAP_FRAMES:] for w in others)])
    expected = np.concatenate([np.zeros(OVERLAP_FRAMES), features[0, 0], np.zeros(padding)])
    np.testing.assert_array_equal(whole, expected)
    for sooner, later in zip(windows[:, 0], others, strict=False):
        np.testing.assert_array_equal(later[:OVERLAP_FRAMES], sooner[-OVERLAP_FRAMES:])


@pytest.mark.parametrize(("frames", "target"), [(18, 15), (18, 18), (7, 29), (1, 4), (200, 161)])
def test_stretch_equals_pytorch(frames, target):
    state = np.random.default_rng(0).standard_normal((1, 5, frames)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(state), size=target, mode="linear")
    np.testing.assert_allclose(stretch(state, target), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("speed", "frames", "valid"), [(1.0, 18, 34), (1.25, 15, 28), (0.5, 37, 70), (10.0, 2, 4)]
)
def test_speed_stretches_the_state_and_bounds_the_features(speed, frames, valid):
    voice = decoder()
    voice.features_of(np.zeros((1, 192, 18), np.float32), np.zeros((1, 512, 1), np.float32), speed=speed)
    (call,) = voice.features.calls
    assert call["state"].shape == (1, 192, frames)
    assert call["valid_frames"].tolist() == [valid]


def test_a_reference_without_mel_or_words_is_refused():
    speak = {"options": SpeechOptions(), "noise": Noise()}
    with pytest.raises(BundleError, match="no mel spectrogram"):
        decoder().speak(utterance(1), replace(reference(), mel=None), **speak)
    with pytest.raises(TextError, match="no transcript"):
        decoder().speak(utterance(1), replace(reference(), prompt=np.zeros(0, np.int64)), **speak)


def test_a_speed_out_of_range_is_refused():
    with pytest.raises(ShapeError, match="speed"):
        decoder().speak(utterance(1), reference(), options=SpeechOptions(speed=20), noise=Noise())


def test_a_version_without_flow_matching_is_refused():
    with pytest.raises(BundleError, match="v2 has no flow matching"):
        FlowMatchingDecoder({}, MODEL_SPECS["v2"])


def test_a_saved_reference_keeps_its_mel(tmp_path):
    ref = reference()
    ref.save(tmp_path / "r.npz")
    np.testing.assert_array_equal(Reference.load(tmp_path / "r.npz").mel, ref.mel)
    replace(ref, mel=None).save(tmp_path / "r.npz")
    assert Reference.load(tmp_path / "r.npz").mel is None
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]
