"""Replays golden files of the official implementation, through PyTorch and through an exported bundle.

    python tests/conformance.py DIR [--version v2] [--size tiny]

DIR holds files named `KIND_VERSION_SIZE_SEED.npz`: `golden` of every stage, `lora` of fine-tunes, `e2e` of whole
requests (see `conformance_e2e`). Each names its configs, dims and seed in `meta`; weights come from the deterministic
rule of `sovits_exporter.demo.weights`, are written as official checkpoint files, read back, and built into a bundle.
For every stage the worst difference is printed beside its limit as soon as it is known. The exit code is 1 if one is
exceeded, if a file does not say its sizes or its version is unknown (it is refused by name, the others are replayed),
or if there is a file of another kind.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import torch
from conformance_e2e import replay_requests
from conformance_errors import absolute, differing, relative
from conformance_flow import TorchGraph, flow_stages, lora_stages
from conformance_sizes import (
    CannotReplayError,
    Golden,
    Sizes,
    building,
    load_golden,
    meta_of,
    sizes_of,
    write_checkpoints,
    write_lora,
    write_vocoder,
)
from conformance_speaker import (
    Speakers,
    small_speaker,
    speaker_session,
    speaker_sizes,
    speakers,
    text_style_session,
    write_speaker_file,
)
from numpy.typing import NDArray
from torch import nn

from sovits_exporter.building.build import build
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.checkpoint.models import Models, build_models
from sovits_exporter.checkpoint.official import load_gpt, load_sovits
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.checkpoint.vocoder import read_vocoder
from sovits_exporter.demo.configs import speaker_config
from sovits_exporter.graphs.cfm import vocoder_graph
from sovits_exporter.graphs.export import export_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.graphs.graph_def import GraphDef
from sovits_exporter.graphs.sovits import sovits_graphs
from sovits_exporter.modeling.eager import EagerOptions, generate
from sovits_exporter.modeling.eres2net import ERes2NetV2
from sovits_exporter.modeling.sampling import SamplingInputs, penalise, sorted_probabilities
from sovits_exporter.modeling.vits import (
    PriorAndFlow,
    PromptTokens,
    ReferenceStyle,
    SemanticEncoder,
    Sovits,
    SynthesizerTrn,
    Vocoder,
)
from sovits_runtime.audio.fbank import fbank
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec
from sovits_runtime.bundle.session import Session, SessionOptions
from sovits_runtime.errors import SovitsError
from sovits_runtime.machine.process_memory import resident_bytes
from sovits_runtime.speech.flow_decoder import FlowMatchingDecoder
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.host_loop import TextToSemantic
from sovits_runtime.t2s.sampling import SamplingOptions

LIMITS = {
    "tokens": 0.0,
    "logits": 1e-3,
    "probabilities": 1e-5,
    "signal": 1e-4,
    "euler step": 1e-3,
    "noise over signal": 1e-3,  # an SNR of 60 dB
}
PROBABILITY_OPTIONS = {
    "a": SamplingOptions(15, 1.0, 1.0, 1.35),
    "b": SamplingOptions(20, 0.6, 0.6, 1.35),
    "c": SamplingOptions(5, 0.9, 1.5, 1.0),
    "d": SamplingOptions(200, 0.3, 0.0, 2.0),
}
SAMPLER_OPTIONS = ("top_k", "top_p", "temperature", "repetition_penalty", "min_tokens")
EOS_EARLY_STOP = 90
KINDS = ("golden", "lora", "e2e")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """One compared stage."""

    path: str
    stage: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit


class ModelPath(Protocol):
    """One way to run the model."""

    name: str

    @property
    def decoder(self) -> FlowMatchingDecoder: ...
    def draws(
        self, phones: Array, bert: Array, prompt: Array, options: SamplingOptions, eos_row: Array | None
    ) -> Iterator[tuple[int, bool, Floats]]: ...
    def probabilities(self, logits: Floats, seen: Array, options: SamplingOptions) -> Floats: ...
    def codes(self, ssl: Floats) -> Array: ...
    def speaker(self, features: Floats) -> Floats: ...
    def style(self, wave: Floats, speaker: Floats | None) -> tuple[Floats, Floats]: ...
    def text_style(self, style: Floats) -> Floats: ...
    def encode(self, tokens: Array, phones: Array, style: Floats) -> Floats: ...
    def flow(
        self, state: Floats, style: Floats, noise: Floats, scale: float
    ) -> tuple[Floats, Floats, Floats]: ...
    def vocode(self, z: Floats, style: Floats) -> Floats: ...


class TorchPath:
    """Our PyTorch modules."""

    name = "torch"

    def __init__(self, models: Models) -> None:
        self.models = models

    @property
    def decoder(self) -> FlowMatchingDecoder:
        graphs = sovits_graphs(self.models.vits, self.models.spec)
        assert self.models.vocoder is not None
        graphs.append(vocoder_graph(self.models.vocoder, {}))
        sessions = {graph.spec.name: TorchGraph(graph) for graph in graphs}
        return FlowMatchingDecoder(sessions, self.models.spec)

    def draws(self, phones, bert, prompt, options, eos_row):  # type: ignore[no-untyped-def]
        t2s = self.models.t2s
        weight = t2s.ar_predict_layer.weight
        kept = weight[t2s.config.eos].clone()
        ones = torch.ones(1, t2s.config.vocab)
        if eos_row is not None:
            weight[t2s.config.eos] = torch.from_numpy(eos_row)
        try:
            for step in generate(
                t2s,
                torch.from_numpy(phones[None]),
                torch.from_numpy(bert[None]),
                torch.from_numpy(prompt[None]),
                options=EagerOptions(**vars(options)),
                noise=lambda _: ones,
            ):
                yield step.token, step.stop, step.logits.numpy()
        finally:
            weight[t2s.config.eos] = kept

    def probabilities(self, logits, seen, options):  # type: ignore[no-untyped-def]
        arrays = options.arrays(len(logits))
        feeds = (
            torch.from_numpy(a) for a in (logits[None], seen[None], *(arrays[k] for k in SAMPLER_OPTIONS))
        )
        return Sampler()(*feeds)[0].numpy()

    @torch.inference_mode()
    def codes(self, ssl):  # type: ignore[no-untyped-def]
        return PromptTokens(self.models.vits)(torch.from_numpy(ssl[None]))[0].numpy()

    @torch.inference_mode()
    def speaker(self, features):  # type: ignore[no-untyped-def]
        return self.models.speaker(torch.from_numpy(features[None]))[0].numpy()

    @torch.inference_mode()
    def style(self, wave, speaker):  # type: ignore[no-untyped-def]
        embedding = None if speaker is None else torch.from_numpy(speaker[None])
        style, spectrogram = ReferenceStyle(self.models.vits)(torch.from_numpy(wave[None]), embedding)
        return style.numpy(), spectrogram.numpy()

    @torch.inference_mode()
    def text_style(self, style):  # type: ignore[no-untyped-def]
        return SemanticEncoder(self.models.vits).text_style(torch.from_numpy(style)).numpy().ravel()

    @torch.inference_mode()
    def encode(self, tokens, phones, style):  # type: ignore[no-untyped-def]
        args = (torch.from_numpy(tokens[None]), torch.from_numpy(phones[None]), torch.from_numpy(style))
        return SemanticEncoder(self.models.vits)(*args).numpy()

    @torch.inference_mode()
    def flow(self, state, style, noise, scale):  # type: ignore[no-untyped-def]
        args = (torch.from_numpy(np.ascontiguousarray(a)) for a in (state, style, noise))
        out = PriorAndFlow(self.models.vits)(*args, torch.tensor([scale]))
        return tuple(t.numpy() for t in out)

    @torch.inference_mode()
    def vocode(self, z, style):  # type: ignore[no-untyped-def]
        return Vocoder(self.models.vits)(torch.from_numpy(z), torch.from_numpy(style))[0].numpy()


class OnnxPath:
    """The exported bundle on ONNX Runtime, through the runtime's own classes."""

    name = "onnx"

    def __init__(self, bundle: Bundle, speaker: Session | None) -> None:
        self.voice = Synthesizer.load(bundle)
        self.speaker_session = self.voice.reference_encoder.speaker or speaker

    @property
    def decoder(self) -> FlowMatchingDecoder:
        assert isinstance(self.voice.decoder, FlowMatchingDecoder)
        return self.voice.decoder

    def draws(self, phones, bert, prompt, options, eos_row):  # type: ignore[no-untyped-def]
        model = self.voice.text_to_semantic
        ones = np.ones((1, model.vocab), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            if eos_row is not None:
                model = with_eos_row(self.voice.bundle, Path(folder), eos_row)
            steps = model.steps(phones, bert, prompt, options=options, noise=lambda _: ones)
            for step in steps:
                yield step.token, step.stop, step.logits.copy()

    def probabilities(self, logits, seen, options):  # type: ignore[no-untyped-def]
        arrays = options.arrays(len(logits))
        feeds = {"logits": logits[None], "seen": seen[None], **{k: arrays[k] for k in SAMPLER_OPTIONS}}
        return sampler_session().run(feeds)["probabilities"][0]

    def codes(self, ssl):  # type: ignore[no-untyped-def]
        return self.voice.reference_encoder.tokens(np.ascontiguousarray(ssl[None]))

    def speaker(self, features):  # type: ignore[no-untyped-def]
        return self.speaker_session.run({"features": features[None]})["speaker"][0]

    def style(self, wave, speaker):  # type: ignore[no-untyped-def]
        feeds = {"wave": wave[None]} | ({} if speaker is None else {"speaker": speaker[None]})
        out = self.voice.reference_encoder.style.run(feeds)
        return out["style"], out["spectrogram"]

    def text_style(self, style):  # type: ignore[no-untyped-def]
        ids = np.zeros((1, 1), np.int64)
        out = text_style_session(self.voice.bundle).run({"tokens": ids, "phones": ids, "style": style})
        return next(iter(out.values())).ravel()

    def encode(self, tokens, phones, style):  # type: ignore[no-untyped-def]
        return self.voice.decoder.encode(tokens, phones, style)

    def flow(self, state, style, noise, scale):  # type: ignore[no-untyped-def]
        feeds = {"state": state, "style": style, "noise": noise, "noise_scale": np.array([scale], np.float32)}
        out = self.voice.decoder.flow.run({k: np.ascontiguousarray(v) for k, v in feeds.items()})
        return out["z"], out["mean"], out["log_scale"]

    def vocode(self, z, style):  # type: ignore[no-untyped-def]
        return self.voice.decoder.vocode(z, style)


class Sampler(nn.Module):
    """The distribution that the sampler inside the graphs draws from, as a graph of its own."""

    def forward(self, logits: torch.Tensor, seen: torch.Tensor, *options: torch.Tensor) -> torch.Tensor:
        step = torch.full_like(options[0], 99)
        rule = SamplingInputs(seen, step, logits, **dict(zip(SAMPLER_OPTIONS, options, strict=True)))
        p, order = sorted_probabilities(penalise(logits, rule, eos=-1), rule)
        return torch.zeros_like(p).scatter(1, order, p)


@functools.cache
def sampler_session() -> Session:
    vocab = 1024  # as in the goldens, which leave the end-of-speech column out
    dtypes = ("int64", "float32", "float32", "float32", "int64")
    inputs = (
        TensorSpec("logits", "float32", (1, vocab)),
        TensorSpec("seen", "bool", (1, vocab)),
        *(TensorSpec(n, d, (1,)) for n, d in zip(SAMPLER_OPTIONS, dtypes, strict=True)),
    )
    spec = GraphSpec("sampler", inputs, (TensorSpec("probabilities", "float32", (1, vocab)),))
    with tempfile.TemporaryDirectory() as folder:
        model = export_graph(GraphDef(spec, Sampler(), "sampler", {}, ()))
        path, *_ = write_models([model], Path(folder), "sampler")
        return open_session(path, spec, options=SessionOptions())


def with_eos_row(bundle: Bundle, folder: Path, row: Array) -> TextToSemantic:
    """The bundle's GPT with another output row for the end of speech, patched into a copy of its weight file."""
    graphs = bundle.path / "graphs"
    for name in ("gpt_prefill.onnx", "gpt_step.onnx", "gpt.weights"):
        shutil.copy(graphs / name, folder / name)
    tensor = ir.load(folder / "gpt_step.onnx").graph.initializers["t2s.ar_predict_layer.weight"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    assert tensor.offset is not None
    with (folder / "gpt.weights").open("r+b") as f:
        f.seek(tensor.offset + bundle.spec.eos * row.nbytes)
        f.write(row.astype(np.float32).tobytes())
    sessions = (
        open_session(folder / f"{name}.onnx", bundle.graph_spec(name), options=SessionOptions())
        for name in ("gpt_prefill", "gpt_step")
    )
    return TextToSemantic(*sessions)


def gpt_stages(path: ModelPath, g: Golden) -> Iterator[tuple[str, float, str]]:
    phones = np.concatenate([g["in_phones_prompt"], g["in_phones"]]).astype(np.int64)
    prompt = g["in_prompt"].astype(np.int64)
    bert = np.ascontiguousarray(g["in_bert"].T)
    steps = int(g["in_steps"])
    greedy = SamplingOptions(1, 1.0, 1.0, 1.35)

    def run(
        count: int,
        *,
        options: SamplingOptions = greedy,
        target: str = "",
        prompt: Array = prompt,
        eos_row: Array | None = None,
    ) -> tuple[Array, bool, list[Floats]]:
        ids, features = phones, bert
        if target:
            ids = np.concatenate([g["in_phones_prompt"], g[f"in_phones{target}"]]).astype(np.int64)
            features = np.ascontiguousarray(g[f"in_bert{target}"].T)
        tokens, logits = [], []
        for token, stop, raw in path.draws(ids, features, prompt, options, eos_row):
            logits.append(raw)
            if stop:
                return np.array(tokens), True, logits
            tokens.append(token)
            if len(tokens) == count:
                break
        return np.array(tokens), False, logits

    tokens, _, logits = run(steps)
    yield "greedy tokens", differing(tokens, g["gpt_tokens"]), "tokens"
    at = g["gpt_logit_steps"]
    yield "logits", absolute(np.array(logits)[at[at < len(logits)]], g["gpt_logits"]), "logits"
    no_penalty = SamplingOptions(1, 1.0, 1.0, 1.0)
    yield "tokens, no penalty", differing(run(steps, options=no_penalty)[0], g["gpt_tokens_nopen"]), "tokens"
    free = g["gpt_tokens_promptfree"]
    yield "tokens, prompt-free", differing(run(len(free), prompt=prompt[:0])[0], free), "tokens"
    for i, target in enumerate(("", "_b", "_c")):
        expected = g[f"gpt_batch_tokens_{i}"]
        yield f"batch tokens {i}", differing(run(len(expected), target=target)[0], expected), "tokens"
        yield f"batch EOS {i}", ending(run, g, f"gpt_eos_batch_tokens_{i}", target), "tokens"
    yield "EOS", ending(run, g, "gpt_eos_tokens", ""), "tokens"
    seen = np.zeros(1024, np.bool_)
    seen[prompt] = True
    for name, options in PROBABILITY_OPTIONS.items():
        got = path.probabilities(np.ascontiguousarray(g["gpt_logits"][0][:-1]), seen, options)
        yield f"probabilities {name}", absolute(got, g[f"gpt_probs_{name}"]), "probabilities"


def ending(run: Any, g: Golden, key: str, target: str) -> float:
    """Share of wrong tokens of a run that may end by itself; a wrong end counts as all wrong."""
    expected = g[key]
    tokens, ended, _ = run(EOS_EARLY_STOP, target=target, eos_row=g["gpt_eos_row"])
    if ended != (len(expected) < EOS_EARLY_STOP):
        return 1.0
    return differing(tokens, expected)


def sovits_stages(path: ModelPath, g: Golden, vits: SynthesizerTrn) -> Iterator[tuple[str, float, str]]:
    n = int(g["in_ncode"])
    tokens, phones = g["gpt_tokens"][:n].astype(np.int64), g["in_phones"].astype(np.int64)
    noise = g["in_noise"][None]
    yield "prompt tokens", differing(path.codes(np.ascontiguousarray(g["in_ssl"].T)), g["codes"]), "tokens"
    speaker: Speakers | None = None
    if vits.speaker_network:
        yield "filter bank features", relative(fbank(g["in_wav16"]), g["sv_fbank"]), "signal"
        yield "speaker embedding", relative(path.speaker(g["sv_fbank"]), g["sv_emb"]), "signal"
        speaker = speakers(
            vits, g, path.style(g["in_wav32"], np.zeros(vits.sv_emb.in_features, np.float32))[1]
        )
        if speaker.accumulated is not None:
            yield "reference encoder, accumulated", relative(speaker.accumulated, g["ref_enc"]), "signal"
    style, spectrogram = path.style(g["in_wav32"], speaker.first if speaker else None)
    if "spec" in g:
        yield "spectrogram", relative(spectrogram[0], g["spec"]), "signal"
    else:
        yield "spectrogram", relative(spectrogram[0, ::4], g["spec_every4"]), "signal"
    yield "style", relative(style[0, :, 0], g["ge"]), "signal"
    if vits.speaker_network:
        yield "text style", relative(path.text_style(style), g["text_ge"]), "signal"
    state = path.encode(tokens, phones, style)
    z, mean, log_scale = path.flow(state, style, noise, 0.5)
    yield "prior mean", relative(mean[0], g["m_p"]), "signal"
    yield "prior log scale", relative(log_scale[0], g["logs_p"]), "signal"
    drawn = mean + noise * np.exp(log_scale) * np.float32(0.5)
    yield "prior draw", relative(drawn[0], g["z_p"]), "signal"
    yield "flow", relative(z[0], g["z"]), "signal"
    yield "waveform", absolute(path.vocode(z, style), g["wav"]), "signal"
    yield from speed_and_references(path, g, tokens, phones, style, speaker)
    styles = (style, style)
    if speaker is not None:
        styles = tuple(path.style(g["in_wav32"], embedding)[0] for embedding in speaker.streamed)
    yield from streaming(path, g, tokens, phones, styles)


def speed_and_references(
    path: ModelPath, g: Golden, tokens: Array, phones: Array, style: Floats, speaker: Speakers | None
) -> Iterator[tuple[str, float, str]]:
    # Some goldens were recorded while the style of the first reference was handed out for both; the mean of two equal
    # styles is that style, so they are replayed with the references that they hold.
    first_twice = relative(g["ge"], g["ge_2refs"]) == 0
    if speaker is not None:
        first, second = (path.style(g["in_wav32"], embedding)[0] for embedding in speaker.two_references)
        kind = "first reference, summed speakers"
    else:
        first, second = style, style if first_twice else path.style(g["in_wav32_b"], None)[0]
        kind = "first reference twice" if first_twice else "two references"
    mean = ((first + second) / 2).astype(np.float32)
    yield f"style, {kind}", relative(mean[0, :, 0], g["ge_2refs"]), "signal"
    yield (
        f"waveform, speed, {kind}",
        absolute(spoken(path, g, tokens, phones, mean), g["wav_speed_2refs"]),
        "signal",
    )
    if "wav_speed_both_references" in g:
        mean = ((style + path.style(g["in_wav32_b"], None)[0]) / 2).astype(np.float32)
        got = spoken(path, g, tokens, phones, mean)
        yield "waveform, speed, both references", absolute(got, g["wav_speed_both_references"]), "signal"


def spoken(path: ModelPath, g: Golden, tokens: Array, phones: Array, style: Floats) -> Floats:
    z, _, _ = path.flow(path.encode(tokens, phones, style), style, g["in_noise_speed"][None], 0.35)
    return path.vocode(z, style)


def crossfade_state(state: Floats, previous: Floats) -> Floats:
    """Fades the tail of the previous chunk's state [1, C, o] into the start of this one [1, C, N], o <= N.

    The two weights are sines whose sum is not 1; that is the original's rule.

    Source: GPT-SoVITS, module/models.py, SynthesizerTrn.decode_streaming.
    """
    o = previous.shape[2]
    assert 0 < o <= state.shape[2]
    window = np.sin(np.arange(2 * o, dtype=np.float32) * np.float32(np.pi / (2 * o)))
    result = state.copy()
    result[:, :, :o] = state[:, :, :o] * window[:o] + previous * window[o:]
    return result


def streaming(
    path: ModelPath, g: Golden, tokens: Array, phones: Array, styles: tuple[Floats, ...]
) -> Iterator[tuple[str, float, str]]:
    half, overlap = len(tokens) // 2, 2
    first = path.encode(tokens[:half], phones, styles[0])
    keep = 2 * (len(tokens) - half + overlap)
    second = crossfade_state(
        path.encode(tokens, phones, styles[1])[:, :, -keep:], first[:, :, -2 * overlap :]
    )
    for i, (state, style) in enumerate(zip((first, second), styles, strict=True), 1):
        z, _, _ = path.flow(state, style, g["in_noise"][None, :, : state.shape[2]], 0.5)
        yield f"stream chunk {i}", absolute(path.vocode(z, style), g[f"stream_wav_{i}"]), "signal"


def replay(file: Path) -> Iterator[Result]:
    """Yields the results of one golden file on both paths, or of one file of whole requests by the public API.

    Raises:
        CannotReplayError: The file does not say enough, or is of something that is not known here.
    """
    if file.name.startswith("e2e_"):
        for case, error, limit in replay_requests(file):
            yield Result("api", case, error, limit)
        return
    lora = load_golden(file) if file.name.startswith("lora_") else None
    g = load_golden(recorded_inputs(file))
    meta = meta_of(g)
    sizes = sizes_of(meta)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpt, sovits = write_checkpoints(folder, sizes)
        base = None
        if lora is not None:
            base, sovits = sovits, folder / "lora.pth"
            write_lora(sovits, sizes, rank=lora_rank(lora, meta), seed=int(lora["lora_seed"]))
        models = build_models(load_gpt(gpt), load_sovits(sovits, version=sizes.version, base=base))
        models, speaker = with_speaker(models, meta, folder)
        models, vocoder = with_vocoder(models, sizes, folder)
        request = BuildRequest(
            gpt=gpt,
            sovits=sovits,
            output=folder / "bundle",
            version=sizes.version,
            verify=False,
            speaker=speaker,
            vocoder=vocoder,
            base=base,
        )
        build(request, progress=building)
        small = None
        if models.speaker is not None and speaker is None:
            assert isinstance(models.speaker, ERes2NetV2)
            small = speaker_session(models.speaker, folder / "speaker")
        yield from _stages_of(TorchPath(models), g, models.vits, lora)
        onnx = OnnxPath(Bundle.open(folder / "bundle"), small)
        with onnx.voice:
            yield from _stages_of(onnx, g, models.vits, lora)


def _stages_of(path: ModelPath, g: Golden, vits: Sovits, lora: Golden | None) -> Iterator[Result]:
    for stage, error, kind in stages(path, g, vits, lora):
        yield Result(path.name, stage, error, LIMITS[kind])


def lora_rank(lora: Golden, meta: dict[str, Any]) -> int:
    """The rank that a recording names; the tiny ones without a name have 8."""
    if "lora_rank" in lora:
        return int(lora["lora_rank"])
    if meta.get("dims") == "tiny":
        return 8
    raise CannotReplayError(f"dims {meta.get('dims')!r}, and it has no lora_rank")


def stages(path: ModelPath, g: Golden, vits: Sovits, lora: Golden | None) -> Iterator[tuple[str, float, str]]:
    if lora is not None:
        yield from lora_stages(path, g, lora)
        return
    yield from gpt_stages(path, g)
    if isinstance(vits, SynthesizerTrn):
        yield from sovits_stages(path, g, vits)
    else:
        yield from flow_stages(path, g)


def recorded_inputs(file: Path) -> Path:
    """The file that holds the inputs: of a LoRA's recording, that of its base."""
    return file.with_name(file.name.replace("lora_", "golden_", 1))


def with_speaker(models: Models, meta: dict[str, Any], folder: Path) -> tuple[Models, Path | None]:
    """Adds the golden's speaker network where the version has one, and its file where a bundle can hold it."""
    if not models.spec.speaker_network:
        return models, None
    if meta.get("eres") is None:
        raise CannotReplayError("its meta has no eres, the sizes of its speaker network")
    if speaker_sizes(meta) != speaker_config(tiny=False):  # its embedding is too narrow for a bundle
        return replace(models, speaker=small_speaker(meta)), None
    file = folder / "speaker.ckpt"
    write_speaker_file(file, meta)
    return replace(models, speaker=read_speaker(file).module()), file


def with_vocoder(models: Models, sizes: Sizes, folder: Path) -> tuple[Models, Path | None]:
    """Adds the golden's vocoder and its file where the version has one of its own."""
    flow = models.spec.flow
    if flow is None:
        return models, None
    folder.mkdir(exist_ok=True)
    write_vocoder(folder / "vocoder", sizes)
    return replace(models, vocoder=read_vocoder(folder / "vocoder", flow).module()), folder / "vocoder"


def parse_name(file: Path) -> dict[str, Any] | None:
    """What a file's name tells, `KIND_VERSION_SIZE_SEED.npz`; None for another name."""
    match = re.fullmatch(rf"({'|'.join(KINDS)})_([^_]+)_([^_]+)_(\d+)", file.stem)
    if match is None:
        return None
    kind, version, size, seed = match.groups()
    return {"kind": kind, "version": version, "size": size, "seed": int(seed)}


def replay_and_print(file: Path) -> list[Result]:
    """Replays one file and prints each stage as it is done; nothing of the file stays in memory.

    Raises:
        CannotReplayError: The file cannot be replayed.
    """
    start = time.monotonic()
    print(file.name, flush=True)
    results = []
    try:
        for r in replay(file):
            verdict = "ok" if r.passed else "EXCEEDED"
            print(f"  {r.path:<6} {r.stage:<42} {r.error:>9.2e}  limit {r.limit:.0e}  {verdict}", flush=True)
            results.append(r)
    except SovitsError as error:
        raise CannotReplayError(str(error)) from error
    finally:
        release_memory()
    print(f"  {time.monotonic() - start:.0f} s{memory()}", flush=True)
    return results


def release_memory() -> None:
    """Gives back what one file took: graphs and modules refer to each other, and the allocator keeps what was freed."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def memory() -> str:
    """What the process holds now, for a line; nothing where the system does not tell."""
    resident = resident_bytes()
    return f", {resident / 1e9:.1f} GB in memory" if resident else ""


def summary(file: Path, results: list[Result]) -> Iterator[str]:
    """One line a path: the stage nearest to its limit, and the whole-number stages, which allow nothing."""
    for path in dict.fromkeys(r.path for r in results):
        mine = [r for r in results if r.path == path]
        exact = [r for r in mine if r.limit == 0]
        worst = max(mine, key=lambda r: r.error / r.limit if r.limit else np.inf if r.error else 0.0)
        equal = f"{sum(r.passed for r in exact)} of {len(exact)} token stages equal"
        yield (
            f"{file.name:<30} {path:<6} {len(mine):>3} stages, {equal}, worst: {worst.stage} {worst.error:.2e} "
            f"of {worst.limit:.0e}"
        )


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", help="only this model version")
    parser.add_argument("--kind", choices=KINDS, help="only this kind of file")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--size", help="only this size, e.g. tiny")
    args = parser.parse_args()
    told = {file: parse_name(file) for file in sorted(args.folder.glob("*.npz"))}
    unknown = [file.name for file, names in told.items() if names is None]
    if unknown:
        print(f"{args.folder}: no golden files of a known kind: {', '.join(unknown)}", file=sys.stderr)
        return 1
    chosen = [
        file
        for file, names in told.items()
        if names and all(getattr(args, name) in (None, value) for name, value in names.items())
    ]
    if not chosen:
        print(f"{args.folder}: no golden file to replay", file=sys.stderr)
        return 1
    replayed: dict[Path, list[Result]] = {}
    refused: dict[Path, str] = {}
    for file in chosen:
        try:
            replayed[file] = replay_and_print(file)
        except CannotReplayError as error:
            refused[file] = str(error)
            print(f"  REFUSED: {error}", flush=True)
    for file, results in replayed.items():
        print(*summary(file, results), sep="\n")
    for file, reason in refused.items():
        print(f"{file.name:<30} REFUSED: {reason}")
    failed = sum(not r.passed for results in replayed.values() for r in results)
    left_out = f", {len(told) - len(chosen)} left out as asked" if len(told) > len(chosen) else ""
    refusals = f", {len(refused)} refused" if refused else ""
    print(f"{len(replayed)} files replayed{left_out}{refusals}, {failed} stages exceeded their limit")
    return int(failed > 0 or bool(refused))


if __name__ == "__main__":
    sys.exit(main())
