"""`sovits-export speak`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
    PLAN,
    STRICT,
    THREADS,
    VOCODER_ENGINE,
    takes,
)
from sovits_exporter.cli.output import print_json
from sovits_exporter.cli.player import Player
from sovits_exporter.cli.sections import SectionedCommand, section
from sovits_exporter.cli.text_options import (
    LANGUAGE_NAMES,
    TEXT_OPTIONS,
    TextOptions,
)
from sovits_exporter.cli.voice_options import VOICE_OPTIONS, VoiceOptions
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.pack_members import PACK_SUFFIX
from sovits_runtime.speech.types import MAX_GUIDANCE, RANDOM_SEED, SpeechOptions
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS
from sovits_runtime.t2s.limits import check_number
from sovits_runtime.t2s.sampling import SamplingOptions

if TYPE_CHECKING:
    from sovits_runtime.audio import Audio
    from sovits_runtime.bundle.stored_references import StoredReference
    from sovits_runtime.speech.types import AudioSentence

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
        "-o",
        "--output",
        type=NEW_PATH,
        help="Audio file to write (.wav, .flac, .ogg, .mp3) [named after the voice; a number is added where that is "
        "taken].",
    ),
    click.option("--play", is_flag=True, help="Play it through the speaker; without -o no file is written."),
    click.option("--picture", type=NEW_PATH, help="Also draw a spectrogram (.png)."),
    AS_JSON,
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
    words: str | None
    shared: Path | None
    voice: VoiceOptions
    text: TextOptions
    delivery: DeliveryOptions
    output: Path | None
    play: bool
    picture: Path | None
    as_json: bool
    load: LoadOptions

    def with_words(self) -> SpeakOptions:
        """Returns them with the words after the bundle as the text to speak.

        Raises:
            UsageError: There is another text too.
        """
        if self.words is None:
            return self
        if (self.text.text, self.text.text_file, self.text.phones) != (None, None, None):
            raise click.UsageError(
                "give the text after the bundle, or by --text, --text-file or --phones, not both"
            )
        return replace(self, words=None, text=replace(self.text, text=self.words))

    def in_language(self, stored: StoredReference | None) -> SpeakOptions:
        """Returns them with the language of the text, where none was named: that of its script, else the voice's.

        Raises:
            UsageError: Nothing tells it.
        """
        own = stored.language if stored is not None else self.voice.transcript.ref_lang or ""
        if self.text.phones is not None or self.text.lang is not None:
            return self
        if stored is None and not own:
            raise click.UsageError(f"text needs its language: give --lang, one of {LANGUAGE_NAMES}")
        return replace(self, text=self.text.in_language_of_voice(own))


@click.command(cls=SectionedCommand)
@BUNDLE
@click.argument("words", required=False, metavar="[TEXT]")
@section("Text", *TEXT_OPTIONS)
@section("Voice", *VOICE_OPTIONS)
@section("Sampling", *_SAMPLING_OPTIONS)
@section("Output", *_OUTPUT_OPTIONS)
@section("Device", DEVICE, BACKEND, STRICT, THREADS, GPT_STEPS, VOCODER_ENGINE, PLAN)
@takes(SpeakOptions)
def speak(options: SpeakOptions) -> None:
    """Speak TEXT with the voice that the bundle carries.

    \b
      sovits-export speak my-voice "Good morning."
      sovits-export speak my-voice "Good morning." --emotion happy --play
    """  # noqa: D301 (click reads the backspace, not its escape)
    from sovits_runtime.audio import Audio
    from sovits_runtime.bundle.files import write_file
    from sovits_runtime.drawing.spectrogram_image import spectrogram_png

    options = options.with_words()
    options.text.check(needs_language=options.voice.is_foreign and options.voice.transcript.ref_lang is None)
    options.voice.check(options.text.lang)
    spoken = _speak(options, options.delivery.speech_options(ModelSpec.token_rate_hz))
    audio = Audio.concatenate(spoken)
    output, taken = options.output, None
    if output is None and not options.play:
        output, taken = free_name(options.bundle)
    if output is not None:
        audio.save(output)
    if options.picture is not None:
        with write_file(options.picture) as out:
            out.write(spectrogram_png(audio))
    if options.as_json:
        print_json(_to_json(output, audio, spoken))
    else:
        drawn = f", seed {spoken[0].seed}" if options.delivery.seed == RANDOM_SEED else ""
        kept = f" ({taken} is there already, and stays)" if taken else ""
        click.echo(f"{output or 'played'}: {audio.duration_s:.2f} s at {audio.sample_rate} Hz{drawn}{kept}")


def free_name(bundle: Path) -> tuple[Path, Path | None]:
    """A name for speech of a voice that no file has, taken by an empty file, and the one that it would have had.

    Returns:
        The name, in the current folder; and the first choice where that was taken.
    """
    first = Path(f"{bundle.resolve().name.removesuffix(PACK_SUFFIX) or 'speech'}.wav")
    for number in itertools.count(2):
        name = first if number == 2 else first.with_name(f"{first.stem}-{number - 1}.wav")
        try:
            name.open("xb").close()
        except FileExistsError:
            continue
        return name, None if name == first else first
    raise AssertionError("numbers do not end")


def _speak(options: SpeakOptions, delivery: SpeechOptions) -> list[AudioSentence]:
    """Speaks sentence by sentence; says so on the terminal as each is done."""
    from sovits_runtime.backends.open import open_voice
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.synthesizer import Synthesizer

    spoken = []
    bundle = Bundle.open(options.bundle, shared=options.shared)
    delivery.check_version(bundle.spec)
    stored = options.voice.stored(bundle)
    options = options.in_language(stored)
    with ExitStack() as stack:
        player = stack.enter_context(Player(bundle.spec.sample_rate)) if options.play else None
        voice = stack.enter_context(Synthesizer(open_voice(bundle, options.load)))
        reader = options.text.open_reader(voice)
        reference = options.voice.reference(
            voice, reader, stored=stored, language=options.text.lang, official=options.text.official
        )
        for sentence in voice.synthesize_each(options.text.phrases(reader), reference, options=delivery):
            spoken.append(sentence)
            if player is not None:
                player.play(sentence)
            if not options.as_json:
                click.echo(
                    f"sentence {len(spoken)}: {sentence.duration_s:.2f} s, {len(sentence.tokens)} tokens, ended by "
                    f"{sentence.stop_reason}; tokens took {sentence.generate_s:.2f} s, sound {sentence.decode_s:.2f} s",
                    err=True,
                )
    return spoken


def _to_json(output: Path | None, audio: Audio, spoken: Sequence[AudioSentence]) -> dict[str, object]:
    keys = ("stop_reason", "attempts", "seed", "generate_s", "decode_s", "duration_s")
    sentences = [{k: getattr(s, k) for k in keys} | {"tokens": len(s.tokens)} for s in spoken]
    return {
        "output": None if output is None else str(output),
        "duration_s": audio.duration_s,
        "sentences": sentences,
    }
