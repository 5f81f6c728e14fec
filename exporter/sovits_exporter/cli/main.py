"""The `sovits-export` command. Each command only parses, calls one function and prints."""

from __future__ import annotations

import errno
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sovits_exporter.cli.bench import bench
from sovits_exporter.cli.convert import (
    conversion_json,
    conversion_options,
    convert,
    read_conversion,
    run_conversion,
    show_conversion,
)
from sovits_exporter.cli.doctor import doctor
from sovits_exporter.cli.engine import TARGET, engine, result_json, run_build, show_results
from sovits_exporter.cli.lint import lint
from sovits_exporter.cli.options import (
    AS_JSON,
    BACKEND,
    BUNDLE,
    DEVICE,
    NATIVE,
    PATH,
    SHARED,
    STRICT,
    THREADS,
)
from sovits_exporter.cli.output import print_json, progress_line, show_check, verdict
from sovits_exporter.cli.phones import phones as phones_command
from sovits_exporter.cli.prepack import prepack
from sovits_exporter.cli.words import (
    LANGUAGE_OPTION,
    Words,
    check_transcript,
    phone_sentences,
    reference_from_words,
    words_options,
)
from sovits_runtime.errors import SovitsError

FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
EXPORT_MODULES = {"torch", "onnx", "onnx_ir", "onnxscript", "safetensors"}


class _Group(click.Group):
    """Turns errors raised on purpose into one line and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SovitsError as error:
            if ctx.params.get("verbose"):
                raise
            click.secho(f"error: {error}", fg="red", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if ctx.params.get("verbose") or (error.filename is None and error.errno not in FULL):
                raise
            place = f"{error.filename}: " if error.filename else ""  # a write does not say to what
            line = f"{place}{error.strerror}; check the path, its rights and the free space"
            click.secho(f"error: {line}", fg="red", err=True)
            ctx.exit(1)
        except ModuleNotFoundError as error:
            if error.name not in EXPORT_MODULES or ctx.params.get("verbose"):
                raise
            line = f'this command needs {error.name}, which is not installed; pip install "sovits-export[export]"'
            click.secho(f"error: {line}", fg="red", err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sovits-export")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, and show tracebacks.")
def main(verbose: bool) -> None:
    """Export GPT-SoVITS voices to ONNX, check them against PyTorch, and speak without PyTorch.

    \b
    Start here:
      sovits-export demo-checkpoint demo          files to try everything with
      sovits-export build --gpt demo/demo-gpt.ckpt --sovits demo/demo-sovits.pth \\
          --hubert demo/chinese-hubert-base -o my-voice
      sovits-export speak my-voice --ref demo/reference.wav ...

    Exit codes: 0 good, 1 failure, 2 wrong use, 3 verification failed.
    """  # noqa: D301 (click reads the backspace, not its escape)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


main.add_command(bench)
main.add_command(convert)
main.add_command(doctor)
main.add_command(engine)
main.add_command(lint)
main.add_command(phones_command)
main.add_command(prepack)


@main.command("demo-checkpoint")
@click.argument("folder", type=PATH)
@click.option("--version", default="v2", show_default=True, help="Model version.")
@click.option("--tiny", is_flag=True, help="Very small models: everything runs in seconds.")
@click.option("--seed", default=0, show_default=True, help="Other weights for another seed.")
@click.option("--bert/--no-bert", default=False, help="Also write a BERT folder (large).")
@click.option("--lora", is_flag=True, help="A LoRA fine-tune with its base beside it; v3 and v4 only.")
@click.option("--voice", is_flag=True, help="A small trained voice that speaks (v2, English), as it is.")
@click.pass_context
def demo_checkpoint(
    context: click.Context,
    folder: Path,
    version: str,
    tiny: bool,
    seed: int,
    bert: bool,
    lora: bool,
    voice: bool,
) -> None:
    """Write official-format checkpoints to FOLDER: full size with made-up weights, or a small trained voice.

    Made-up weights hum rather than speak, but they are built, verified and timed like trained ones.
    """
    from sovits_exporter.demo.demo import write_demo_checkpoint, write_demo_voice

    for name in context.params if voice else ():
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("folder", "voice"):
            raise click.UsageError(f"--voice writes one voice as it is; leave --{name} out")
    with progress_line() as progress:
        if voice:
            files = write_demo_voice(folder, progress=progress)
        else:
            files = write_demo_checkpoint(
                folder, version=version, tiny=tiny, seed=seed, bert=bert, lora=lora, progress=progress
            )
    for path in vars(files).values():
        if path is not None:
            click.echo(str(path))


@main.command()
@click.option("--gpt", required=True, type=PATH, help="GPT checkpoint, .ckpt.")
@click.option("--sovits", required=True, type=PATH, help="SoVITS checkpoint, .pth.")
@click.option("-o", "--output", required=True, type=PATH, help="Bundle folder to write.")
@click.option(
    "--hubert", type=PATH, help="Folder of chinese-hubert-base; needed to read reference recordings."
)
@click.option("--bert", type=PATH, help="Folder of chinese-roberta-wwm-ext-large; needed for Chinese.")
@click.option(
    "--speaker",
    type=PATH,
    help="pretrained_eres2netv2w24s4ep4.ckpt; v2Pro and v2ProPlus need it to read reference recordings.",
)
@click.option(
    "--vocoder", type=PATH, help="vocoder.pth of v4, or v3's BigVGAN folder; those versions need it."
)
@click.option("--base", type=PATH, help="The complete SoVITS file that a LoRA fine-tune was trained on.")
@SHARED
@click.option("--version", help="Model version, where the file does not tell it.")
@click.option(
    "--ref",
    type=PATH,
    help="A recording of the voice, 3 to 10 s: what is recorded of PyTorch, to verify against, is then speech of its "
    "own and not a made-up request. Goes with --ref-phones and --phones.",
)
@click.option("--ref-phones", help="Phones of that recording, or a .json file that holds them.")
@click.option("--phones", help="Phones of a sentence to say, or a .json file that holds them.")
@conversion_options
@TARGET
@click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Check the whole before it counts."
)
@AS_JSON
def build(
    gpt: Path,
    sovits: Path,
    output: Path,
    hubert: Path | None,
    bert: Path | None,
    speaker: Path | None,
    vocoder: Path | None,
    base: Path | None,
    shared: Path | None,
    version: str | None,
    ref: Path | None,
    ref_phones: str | None,
    phones: str | None,
    targets: tuple[str, ...],
    verify: bool,
    as_json: bool,
    **precision: Any,
) -> None:
    """Build a bundle from official checkpoints: every graph as ONNX, compared with PyTorch.

    With --target also its TensorRT engines; 'engine build' makes them later.
    """
    from sovits_exporter.building.build import BuildRequest
    from sovits_exporter.building.build import build as run
    from sovits_exporter.building.converted import build_converted
    from sovits_exporter.building.request import RequestWords
    from sovits_runtime.bundle import Bundle

    if targets:
        from sovits_engines.targets import build_targets

        build_targets(targets)  # what cannot be built is said before the long part
    conversion = read_conversion(precision)
    if ref and ref_phones and phones:
        words = RequestWords(ref, phone_sentences(ref_phones)[0], phone_sentences(phones)[0])
    elif ref or ref_phones or phones:
        raise click.UsageError("a request to record needs all of --ref, --ref-phones and --phones")
    else:
        words = None
    request = BuildRequest(
        gpt, sovits, output, hubert, bert, shared, version, verify, speaker, vocoder, base, words=words
    )
    with progress_line() as progress:
        if conversion.precision == "fp32":
            report, converted = run(request, progress), None
        else:
            convert_it = partial(
                run_conversion, conversion, output=output, shared=shared, verify=verify, progress=progress
            )
            report, converted = build_converted(request, convert_it, progress=progress)
    engines = run_build(Bundle.open(output, shared=shared), targets) if targets else []
    verification = converted.verification if converted else report.verification
    checks = verification.checks if verification else ()
    if as_json:
        graphs = [{**vars(c), "passed": c.passed} for c in report.checks]
        print_json(
            {
                "bundle": str(output),
                "seconds": report.seconds + (converted.seconds if converted else 0.0),
                "graphs": graphs,
                **(conversion_json(converted) if converted else {}),
                "verification": verification.to_json() if verification else None,
                "engines": [result_json(r) for r in engines],
            }
        )
        return
    click.echo(
        f"{'graph':<18} {'error':>9} {'limit':>9}   (largest difference from PyTorch, of the output's scale)"
    )
    for check in report.checks:
        click.echo(f"{check.graph:<18} {check.error:>9.1e} {check.limit:>9.0e}   {verdict(check.passed)}")
    if converted:
        show_conversion(converted)
    if verification:
        click.echo("verification of the whole:")
        for whole in checks:
            show_check(whole)
    for option in report.left_out:
        click.echo(f"note: built without {option}, so this bundle speaks from saved references only")
    if engines:
        show_results(engines)
    click.echo(f"{output}: ready after {report.seconds + (converted.seconds if converted else 0):.0f} s")


@main.command()
@BUNDLE
@SHARED
@DEVICE
@BACKEND
@STRICT
@THREADS
@NATIVE
@click.option("--full", is_flag=True, help="Compare the sha256 of every byte first.")
@click.option("--report", type=PATH, help="Folder for report.html with pictures and sound, and report.json.")
@AS_JSON
def verify(
    bundle: Path,
    shared: Path | None,
    device: str,
    backend: str,
    strict: bool,
    threads: int | None,
    native: bool | None,
    full: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Compare BUNDLE on this machine with what PyTorch gave when it was built. Needs no PyTorch."""
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.verify import verify_bundle
    from sovits_runtime.verify.report import write_verify_report

    opened = Bundle.open(bundle, shared=shared, full=full)
    on_check = (lambda _: None) if as_json else show_check
    result = verify_bundle(
        opened,
        device=device,
        backend=backend,
        strict=strict,
        threads=threads,
        native=native,
        on_check=on_check,
    )
    if report is not None:
        page = write_verify_report(result, report)
        click.echo(f"report: {page}", err=as_json)
    if as_json:
        print_json(result.to_json())
    else:
        click.echo(verdict(result.passed) + ("" if result.passed else f": {result.failure()}"))
    if not result.passed:
        sys.exit(3)


@main.command()
@BUNDLE
@SHARED
@DEVICE
@BACKEND
@STRICT
@THREADS
@NATIVE
@click.option("--ref", "recording", type=PATH, help="Reference recording, 3 to 10 s (WAV, FLAC, OGG, MP3).")
@click.option(
    "--more-ref", "more", type=PATH, multiple=True, help="Further recordings whose style is averaged in."
)
@click.option("--reference", "saved", type=PATH, help="A reference saved by 'sovits-export reference'.")
@words_options
@click.option(
    "-o", "--output", required=True, type=PATH, help="Audio file to write (.wav, .flac, .ogg, .mp3)."
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same speech.")
@click.option("--speed", default=1.0, show_default=True, help="Above 1 is faster.")
@click.option("--top-k", default=15, show_default=True, help="Draw from the k likeliest tokens; 0: all.")
@click.option(
    "--top-p", default=1.0, show_default=True, help="Draw from the likeliest tokens up to this share."
)
@click.option("--temperature", default=1.0, show_default=True, help="Below 1 steadier, above 1 livelier.")
@click.option("--repetition-penalty", default=1.35, show_default=True, help="Above 1 discourages repeats.")
@click.option(
    "--flow-steps",
    type=click.IntRange(1, 1000),
    help="Euler steps of v3 and v4: more are slower and finer [the version's own].",
)
@click.option("--picture", type=PATH, help="Also draw a spectrogram (.png).")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Cut each sentence at this length."
)
@AS_JSON
def speak(
    bundle: Path,
    shared: Path | None,
    device: str,
    backend: str,
    strict: bool,
    threads: int | None,
    native: bool | None,
    recording: Path | None,
    more: tuple[Path, ...],
    saved: Path | None,
    words: Words,
    output: Path,
    seed: int,
    speed: float,
    top_k: int,
    top_p: float,
    temperature: float,
    repetition_penalty: float,
    flow_steps: int | None,
    picture: Path | None,
    max_seconds: float | None,
    as_json: bool,
) -> None:
    """Speak text, or phones, with the voice of a reference recording."""
    from sovits_runtime.audio import Audio
    from sovits_runtime.drawing.spectrogram_image import spectrogram_png
    from sovits_runtime.speech.reference import Reference
    from sovits_runtime.speech.types import SpeechOptions
    from sovits_runtime.synthesizer import Synthesizer
    from sovits_runtime.t2s.sampling import SamplingOptions

    if (recording is None) == (saved is None):
        raise click.UsageError("give either --ref (a recording) or --reference (a saved one)")
    sampling = SamplingOptions(top_k, top_p, temperature, repetition_penalty)
    with Synthesizer.load(
        bundle,
        device=device,
        backend=backend,
        threads=threads,
        native=native,
        strict=strict,
        shared=shared,
    ) as voice:
        max_tokens = max(1, round(max_seconds * voice.spec.token_rate_hz)) if max_seconds else None
        options = SpeechOptions(
            sampling, seed=seed, speed=speed, max_tokens=max_tokens, flow_steps=flow_steps
        )
        if saved is not None:
            reference = Reference.load(saved)
        else:
            assert recording is not None
            reference = words.reference(voice, recording, more)
        spoken = []
        for sentence in words.speak(voice, reference, options=options):
            spoken.append(sentence)
            if not as_json:
                click.echo(
                    f"sentence {len(spoken)}: {sentence.duration_s:.2f} s, {len(sentence.tokens)} tokens, ended by "
                    f"{sentence.stop_reason}; tokens took {sentence.generate_s:.2f} s, sound {sentence.decode_s:.2f} s",
                    err=True,
                )
    audio = Audio.concatenate(spoken)
    audio.save(output)
    if picture is not None:
        picture.write_bytes(spectrogram_png(audio))
    if as_json:
        keys = ("stop_reason", "attempts", "generate_s", "decode_s", "duration_s")
        sentences = [{k: getattr(s, k) for k in keys} | {"tokens": len(s.tokens)} for s in spoken]
        print_json({"output": str(output), "duration_s": audio.duration_s, "sentences": sentences})
    else:
        click.echo(f"{output}: {audio.duration_s:.2f} s at {audio.sample_rate} Hz")


@main.command()
@BUNDLE
@click.argument("recording", type=PATH)
@SHARED
@DEVICE
@THREADS
@click.option("--text", help="What is said in the recording.")
@LANGUAGE_OPTION
@click.option("--phones", help="Phones of the transcript, or a .json file that holds them, in place of text.")
@click.option("--more", type=PATH, multiple=True, help="Further recordings whose style is averaged in.")
@click.option("-o", "--output", required=True, type=PATH, help="File to write, .npz.")
def reference(
    bundle: Path,
    recording: Path,
    shared: Path | None,
    device: str,
    threads: int | None,
    text: str | None,
    lang: str | None,
    phones: str | None,
    more: tuple[Path, ...],
    output: Path,
) -> None:
    """Prepare RECORDING once and save it, so that speaking needs neither the recording nor HuBERT."""
    from sovits_runtime.synthesizer import Synthesizer

    check_transcript(text, phones, lang)
    with Synthesizer.load(bundle, device=device, threads=threads, shared=shared) as voice:
        made = reference_from_words(voice.text, recording, (text, phones, lang), more=more)
    made.save(output)
    click.echo(f"{output}: {len(made.prompt)} prompt tokens, {len(made.phones)} phones, key {made.key}")


@main.command()
@BUNDLE
@SHARED
@AS_JSON
def inspect(bundle: Path, shared: Path | None, as_json: bool) -> None:
    """Show what is inside BUNDLE: versions, sources, graphs, sizes, precision, last verification."""
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.doctor.inspect_bundle import describe, describe_text

    description = describe(Bundle.open(bundle, shared=shared))
    if as_json:
        print_json(description)
    else:
        click.echo(describe_text(description))
