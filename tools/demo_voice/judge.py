"""How well a voice speaks: words that a recogniser gets wrong, ends of speech, lengths, on sentences nobody trained on.

The synthesizer that the voice learned from, eager PyTorch on the checkpoints, and any number of bundles, whole and
streamed, say the same sentences with the same draws.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import torch
from corpus import RATE, Recording, record
from numpy.typing import NDArray
from recogniser import Judgement, Recogniser, error_rate
from sentences import sentences
from torch import Tensor

from sovits_exporter.demo.demo import GPT, HUBERT, REFERENCE, REFERENCE_WAV, SOVITS
from sovits_exporter.eager.baseline import EagerBaseline, stft_spectrogram
from sovits_exporter.modeling.eager import EagerOptions, generate
from sovits_exporter.modeling.t2s import BERT_WIDTH
from sovits_exporter.modeling.vits import PriorAndFlow, PromptTokens, SemanticEncoder, Vocoder
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.audio import REFERENCE_RATE, Audio, hubert_wave, reference_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.speech.noise import seeded_generators, seeded_normal
from sovits_runtime.speech.types import DEFAULT_NOISE_SCALE
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.symbols import symbol_ids

LONGEST_TOKENS = 350  # 14 s: a sentence that has not ended by then never will
NEAR = 0.2
VERSIONS = ("sovits-export", "torch", "onnxruntime", "pocketsphinx", "numpy")


@dataclass(frozen=True)
class Spoken:
    """One sentence as it came out; `ended`: by itself."""

    samples: NDArray[np.float32]
    sample_rate: int
    ended: bool = True


Speaker = Callable[[Recording], Spoken]


def synthesizer(recording: Recording) -> Spoken:
    """The voice that was learned from."""
    return Spoken(recording.wave.astype(np.float32) / 32768, RATE)


def pieces(recording: Recording) -> list[tuple[str, ...]]:
    """Phones of the pieces in which the runtime speaks a text."""
    return [piece.symbols for piece in TextFrontend().pieces(recording.text, "en")]


def bundle(path: Path, files: Path, options: SpeechOptions) -> dict[str, Speaker]:
    """A bundle on ONNX Runtime, whole and streamed."""
    voice = Synthesizer.load(path)
    reference = voice.reference(
        files / REFERENCE_WAV, json.loads((files / REFERENCE).read_text(encoding="utf-8"))["phones"]
    )

    def whole(recording: Recording) -> Spoken:
        said = [voice.synthesize(phones, reference, options=options) for phones in pieces(recording)]
        audio = Audio.concatenate(said)
        ended = all(s.stop_reason == "eos" and s.attempts == 1 for s in said)
        return Spoken(audio.samples, audio.sample_rate, ended)

    def stream(recording: Recording) -> Spoken:
        chunks = list(voice.stream(pieces(recording), reference, options=options))
        audio = Audio.concatenate(chunks)
        ended = all(chunk.stop_reason in (None, "eos") for chunk in chunks)
        return Spoken(audio.samples, audio.sample_rate, ended)

    return {"whole": whole, "streamed": stream}


def eager(files: Path, options: SpeechOptions) -> Speaker:
    """PyTorch on the checkpoints, as the original runs them, with the draws that the runtime has for the same seed."""
    baseline = EagerBaseline(files / GPT, files / SOVITS, hubert=files / HUBERT)
    encoder, flow, vocoder = (
        SemanticEncoder(baseline.vits),
        PriorAndFlow(baseline.vits),
        Vocoder(baseline.vits),
    )
    own = json.loads((files / REFERENCE).read_text(encoding="utf-8"))["phones"]
    recording = read_audio((files / REFERENCE_WAV).read_bytes(), REFERENCE_WAV)
    with torch.inference_mode():
        assert baseline.hubert is not None
        prompt = PromptTokens(baseline.vits)(baseline.hubert(torch.from_numpy(hubert_wave(*recording)[None])))
        style = baseline.style.style(
            stft_spectrogram(torch.from_numpy(reference_wave(*recording)[None])), None
        )
    how = EagerOptions(**vars(options.sampling))

    @torch.inference_mode()
    def say(symbols: tuple[str, ...]) -> tuple[Tensor, bool]:
        for_tokens, for_decoder = seeded_generators(options.seed, 1)
        draws, noise = seeded_noise(for_tokens, baseline.t2s.config.vocab), seeded_normal(for_decoder)
        phones = torch.from_numpy(symbol_ids(symbols, "v2")[None])
        text = torch.cat([torch.from_numpy(symbol_ids(own, "v2")[None]), phones], 1)
        steps = generate(
            baseline.t2s,
            text,
            torch.zeros(1, text.shape[1], BERT_WIDTH),
            prompt,
            options=how,
            noise=lambda i: torch.from_numpy(draws(i)),
        )
        tokens, ended = [], False
        for step in islice(steps, LONGEST_TOKENS):
            ended = step.stop
            if ended:
                break
            tokens.append(step.token)
        state = encoder(torch.tensor([tokens]), phones, style)
        normal = torch.from_numpy(noise((1, baseline.vits.channels, state.shape[2])))
        z, _, _ = flow(state, style, normal, torch.tensor([DEFAULT_NOISE_SCALE]))
        return vocoder(z, style)[0], ended

    def speak(recording: Recording) -> Spoken:
        waves, ended = zip(*map(say, pieces(recording)), strict=True)
        return Spoken(torch.cat(waves).numpy(), REFERENCE_RATE, all(ended))

    return speak


def judge(
    name: str, speaker: Speaker, tests: list[Recording], ears: Recogniser, keep: Path | None
) -> dict[str, Any]:
    """Lets a speaker say all sentences; returns the figures."""
    judgements: list[Judgement] = []
    ratios, ended = [], 0
    for i, recording in enumerate(tests):
        spoken = speaker(recording)
        judgements.append(ears.judge(recording.text, spoken.samples, spoken.sample_rate))
        ratios.append(len(spoken.samples) / spoken.sample_rate / (len(recording.wave) / RATE))
        ended += spoken.ended
        if keep is not None and i < 10:
            (keep / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(keep / name / f"{i}.wav", spoken.samples, spoken.sample_rate)
    wrong = [{"said": " ".join(j.said), "heard": " ".join(j.heard)} for j in judgements if j.errors]
    return {
        "speaker": name,
        "word_error_rate": error_rate(judgements),
        "ended_by_itself": ended / len(tests),
        "length_mean_ratio": float(np.mean(ratios)),
        "length_within_20_percent": float(np.mean(np.abs(np.array(ratios) - 1) <= NEAR)),
        "length_ratio_range": [float(min(ratios)), float(max(ratios))],
        "misheard": wrong,
    }


def _speakers(
    files: Path, bundles: tuple[Path, ...], options: SpeechOptions, with_eager: bool
) -> Iterator[tuple[str, Speaker]]:
    yield "synthesizer", synthesizer
    if with_eager:
        yield "PyTorch eager", eager(files, options)
    for path in bundles:
        for how, speaker in bundle(path, files, options).items():
            yield f"{path.name}, {how}", speaker


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True))
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--tests", "count", default=100, show_default=True, help="Sentences.")
@click.option("--seed", default=0, show_default=True)
@click.option("--eager/--no-eager", "with_eager", default=True, help="Also PyTorch on the checkpoints.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file for the figures.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the first ten WAVs of each.")
def main(
    files: Path,
    bundles: tuple[Path, ...],
    count: int,
    seed: int,
    with_eager: bool,
    output: Path | None,
    keep: Path | None,
) -> None:
    """Judges the voice in FILES (`sovits-export demo-checkpoint FILES --voice`) and the BUNDLES built from it."""
    options = SpeechOptions(seed=seed, pause_s=0.0, max_tokens=LONGEST_TOKENS)
    tests, ears = [record(text) for text in sentences(count, test=True)], Recogniser()
    results = []
    for name, speaker in _speakers(files, bundles, options, with_eager):
        result = judge(name, speaker, tests, ears, keep)
        results.append(result)
        click.echo(
            f"{name:32} wrong words {result['word_error_rate']:6.1%}   ended {result['ended_by_itself']:4.0%}   length "
            f"{result['length_mean_ratio']:.2f} ({result['length_within_20_percent']:.0%} within 20 %)"
        )
    if output:
        facts = {
            "machine": read_machine().to_json(),
            "versions": installed_versions(VERSIONS),
            "sentences": count,
            "words": sum(len(t.text.split()) for t in tests),
            "seed": seed,
            "results": results,
        }
        output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
