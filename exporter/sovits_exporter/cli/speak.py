"""`sovits-export speak`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import (
    AS_JSON,
    BACKEND,
    BUNDLE,
    DEVICE,
    GPT_STEPS,
    NEW_PATH,
    PATH,
    PLAN,
    SHARED,
    STRICT,
    THREADS,
    takes,
)
from sovits_exporter.cli.output import print_json
from sovits_exporter.cli.sections import SectionedCommand, section
from sovits_exporter.cli.text_options import TEXT_OPTIONS, TRANSCRIPT_OPTIONS, TextOptions, Transcript
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.speech.types import MAX_GUIDANCE, RANDOM_SEED, SpeechOptions
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS
from sovits_runtime.t2s.limits import check_number
from sovits_runtime.t2s.sampling import SamplingOptions

if TYPE_CHECKING:
    from sovits_runtime.audio import Audio
    from sovits_runtime.speech.reference import Reference
    from sovits_runtime.speech.text_reader import TextReader
    from sovits_runtime.speech.types import AudioSentence
    from sovits_runtime.synthesizer import Synthesizer

_VOICE_OPTIONS = (
    click.option(
        "--ref", "recording", type=PATH, help="Reference recording, 3 to 10 s (WAV, FLAC, OGG, MP3)."
    ),
    *TRANSCRIPT_OPTIONS,
    click.option(
        "--more-ref", "more", type=PATH, multiple=True, help="Further recordings whose style is averaged in."
    ),
    click.option("--reference", "saved", type=PATH, help="A reference saved by 'sovits-export reference'."),
    SHARED,
)
_SAMPLING_OPTIONS = (
    click.option(
        "--seed",
        default=SpeechOptions.seed,
        show_default=True,
        help="Same seed, same speech; -1: another one each time, which is printed.",
    ),
    click.option("--speed", default=SpeechOptions.speed, show_default=True, help="Above 1 is faster."),
    click.option(
        "--top-k",
        default=SamplingOptions.top_k,
        show_default=True,
        help="Draw from the k likeliest tokens; 0: all.",
    ),
    click.option(
        "--top-p",
        default=SamplingOptions.top_p,
        show_default=True,
        help="Draw from the likeliest tokens up to this share.",
    ),
    click.option(
        "--temperature",
        default=SamplingOptions.temperature,
        show_default=True,
        help="Below 1 steadier, above 1 livelier.",
    ),
    click.option(
        "--repetition-penalty",
        default=SamplingOptions.repetition_penalty,
        show_default=True,
        help="Above 1 discourages repeats.",
    ),
    click.option(
        "--flow-steps",
        type=click.IntRange(1, 1000),
        help="Euler steps of v3 to v5: more are slower and finer [the version's own].",
    ),
    click.option(
        "--guidance",
        type=click.FloatRange(0, MAX_GUIDANCE),
        help="Of v5: lead each step towards the reference; above 0 twice as slow [the version's own].",
    ),
    click.option(
        "--max-seconds",
        type=float,
        help="Cut each sentence at this length, 60 at most.",
    ),
)
_OUTPUT_OPTIONS = (
    click.option(
        "-o", "--output", required=True, type=NEW_PATH, help="Audio file to write (.wav, .flac, .ogg, .mp3)."
    ),
    click.option("--picture", type=NEW_PATH, help="Also draw a spectrogram (.png)."),
    AS_JSON,
)


@dataclass(frozen=True, kw_only=True)
class VoiceOptions:
    """Whose voice speaks: a recording and its transcript, or a saved reference; the attributes are the options."""

    recording: Path | None
    more: tuple[Path, ...]
    saved: Path | None
    transcript: Transcript

    def check(self, language: str | None) -> None:
        """Refuses options that contradict each other.

        Args:
            language: Language of the transcript where it has none of its own.

        Raises:
            UsageError: Names what to give.
        """
        self.transcript.check(language)
        if (self.recording is None) == (self.saved is None):
            raise click.UsageError("give either --ref (a recording) or --reference (a saved one)")

    def reference(
        self, voice: Synthesizer, reader: TextReader, language: str | None, *, official: bool
    ) -> Reference:
        """Loads the saved reference, or prepares the recording.

        Args:
            voice: Prepares it.
            reader: Reads the transcript.
            language: As in `check`.
            official: As in `Synthesizer.reference`.
        """
        from sovits_runtime.speech.reference import Reference

        if self.saved is not None:
            return Reference.load(self.saved)
        assert self.recording is not None
        transcript = self.transcript.read(reader, language)
        return voice.reference(
            self.recording,
            transcript.phones,
            bert=transcript.bert,
            more_recordings=self.more,
            official=official,
        )


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions:
    """How it is spoken; the attributes are the options."""

    seed: int
    speed: float
    top_k: int
    top_p: float
    temperature: float
    repetition_penalty: float
    flow_steps: int | None
    guidance: float | None
    max_seconds: float | None

    def speech_options(self, token_rate_hz: float) -> SpeechOptions:
        """Returns them as the runtime takes them.

        Raises:
            ShapeError: A value is out of range.
        """
        sampling = SamplingOptions(self.top_k, self.top_p, self.temperature, self.repetition_penalty)
        most_tokens = None
        if self.max_seconds is not None:
            check_number("max_seconds", self.max_seconds, 0, high=MAX_NEW_TOKENS / token_rate_hz, above=True)
            most_tokens = max(1, round(self.max_seconds * token_rate_hz))
        return SpeechOptions(
            sampling,
            seed=self.seed,
            speed=self.speed,
            max_tokens=most_tokens,
            flow_steps=self.flow_steps,
            guidance=self.guidance,
        )


@dataclass(frozen=True, kw_only=True)
class SpeakOptions:
    """What to say, how, and where; the attributes are the options."""

    bundle: Path
    shared: Path | None
    voice: VoiceOptions
    text: TextOptions
    delivery: DeliveryOptions
    output: Path
    picture: Path | None
    as_json: bool
    load: LoadOptions


@click.command(cls=SectionedCommand)
@BUNDLE
@section("Voice", *_VOICE_OPTIONS)
@section("Text", *TEXT_OPTIONS)
@section("Sampling", *_SAMPLING_OPTIONS)
@section("Output", *_OUTPUT_OPTIONS)
@section("Device", DEVICE, BACKEND, STRICT, THREADS, GPT_STEPS, PLAN)
@takes(SpeakOptions)
def speak(options: SpeakOptions) -> None:
    """Speak text, or phones, with the voice of a reference recording."""
    from sovits_runtime.audio import Audio
    from sovits_runtime.bundle.files import write_file
    from sovits_runtime.drawing.spectrogram_image import spectrogram_png

    options.text.check()
    options.voice.check(options.text.lang)
    spoken = _speak(options, options.delivery.speech_options(ModelSpec.token_rate_hz))
    audio = Audio.concatenate(spoken)
    audio.save(options.output)
    if options.picture is not None:
        with write_file(options.picture) as out:
            out.write(spectrogram_png(audio))
    if options.as_json:
        print_json(_to_json(options.output, audio, spoken))
    else:
        drawn = f", seed {spoken[0].seed}" if options.delivery.seed == RANDOM_SEED else ""
        click.echo(f"{options.output}: {audio.duration_s:.2f} s at {audio.sample_rate} Hz{drawn}")


def _speak(options: SpeakOptions, delivery: SpeechOptions) -> list[AudioSentence]:
    """Speaks sentence by sentence; says so on the terminal as each is done."""
    from sovits_runtime.backends.open import open_voice
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.synthesizer import Synthesizer

    spoken = []
    bundle = Bundle.open(options.bundle, shared=options.shared)
    with Synthesizer(open_voice(bundle, options.load)) as voice:
        reader = options.text.open_reader(voice)
        reference = options.voice.reference(voice, reader, options.text.lang, official=options.text.official)
        for sentence in voice.synthesize_each(options.text.phrases(reader), reference, options=delivery):
            spoken.append(sentence)
            if not options.as_json:
                click.echo(
                    f"sentence {len(spoken)}: {sentence.duration_s:.2f} s, {len(sentence.tokens)} tokens, ended by "
                    f"{sentence.stop_reason}; tokens took {sentence.generate_s:.2f} s, sound {sentence.decode_s:.2f} s",
                    err=True,
                )
    return spoken


def _to_json(output: Path, audio: Audio, spoken: Sequence[AudioSentence]) -> dict[str, object]:
    keys = ("stop_reason", "attempts", "seed", "generate_s", "decode_s", "duration_s")
    sentences = [{k: getattr(s, k) for k in keys} | {"tokens": len(s.tokens)} for s in spoken]
    return {"output": str(output), "duration_s": audio.duration_s, "sentences": sentences}
