"""`sovits-export build`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.build_from import FromOptions, Job, run_from
from sovits_exporter.cli.engine import TARGET, run_build
from sovits_exporter.cli.options import AS_JSON, NEW_PATH, PATH, SHARED, VERIFY, takes
from sovits_exporter.cli.output import (
    conversion_json,
    engine_json,
    print_json,
    progress_line,
    show_conversion,
    show_engines,
    show_whole,
    verdict,
)
from sovits_exporter.cli.phone_file import one_phone_sentence
from sovits_exporter.cli.precision_options import PRECISION_OPTIONS, PrecisionOptions
from sovits_exporter.cli.sections import SectionedCommand, section
from sovits_exporter.cli.text_options import LANGUAGES, Transcript

if TYPE_CHECKING:
    from sovits_engines.build import EngineResult
    from sovits_exporter.building.report import BuildReport
    from sovits_exporter.building.request import BuildRequest, ReferenceRequest, RequestWords

_FROM = (
    click.option(
        "--from",
        "source",
        type=PATH,
        help="A folder of GPT-SoVITS, a voice pack (folder, .zip, .tar, .7z), or a folder of packs: GPT, SoVITS, "
        "version, pretrained parts and a reference are found there, shown with the reasons, and built.",
    ),
    click.option("--list", "list_only", is_flag=True, help="Only show what --from finds."),
    click.option("--name", "voice_name", help="Which of several voices to build."),
    click.option(
        "--all",
        "all_voices",
        is_flag=True,
        help="Build every voice; those that are built already are left alone.",
    ),
)
_FILES = (
    click.option("--gpt", type=PATH, help="GPT checkpoint, .ckpt; goes with --sovits, in place of --from."),
    click.option("--sovits", type=PATH, help="SoVITS checkpoint, .pth."),
    click.option(
        "-o",
        "--output",
        type=NEW_PATH,
        help="Bundle folder to write; with --all the folder of bundles. --from has a default: the voice's name.",
    ),
    click.option(
        "--pretrained",
        type=PATH,
        help="GPT-SoVITS's folder pretrained_models: what the version needs of the next five is found there "
        "[what 'sovits-export fetch' fetched].",
    ),
    click.option(
        "--hubert", type=PATH, help="Folder of chinese-hubert-base; needed to read reference recordings."
    ),
    click.option("--bert", type=PATH, help="Folder of chinese-roberta-wwm-ext-large; needed for Chinese."),
    click.option(
        "--speaker",
        type=PATH,
        help="pretrained_eres2netv2w24s4ep4.ckpt; v2Pro and v2ProPlus need it to read reference recordings.",
    ),
    click.option(
        "--vocoder",
        type=PATH,
        help="vocoder.pth of v4, or v3's BigVGAN folder; those versions need it.",
    ),
    click.option("--base", type=PATH, help="The complete SoVITS file that a LoRA fine-tune was trained on."),
    SHARED,
)
_VOICE = (
    click.option("--version", help="Model version, where the file does not tell it."),
    click.option(
        "--ref",
        type=PATH,
        help="A recording of the voice, 3 to 10 s. The bundle carries it as features, so that the voice speaks without "
        "it. In place of what --from finds.",
    ),
    click.option("--ref-text", help="What is said in that recording."),
    click.option(
        "--ref-lang", type=LANGUAGES, metavar="LANG", help="Language of --ref-text [that of its script]."
    ),
    click.option(
        "--ref-phones", help="Phones of that recording, or a .json file that holds them, in place of text."
    ),
    click.option(
        "--add-ref",
        type=(str, PATH, str),
        multiple=True,
        metavar="NAME FILE TEXT",
        help="A further recording, such as of an emotion, with what it says; 'speak --emotion NAME' takes it.",
    ),
    click.option(
        "--keep-clip", is_flag=True, help="Store the recordings in the bundle too, not only their features."
    ),
    click.option(
        "--store/--no-store", default=True, show_default=True, help="Whether the bundle carries a reference."
    ),
    click.option(
        "--phones",
        help="Phones of a sentence, or a .json file that holds them. With --ref and --ref-phones, what is recorded of "
        "PyTorch to verify against is the voice's own speech, and not a made-up request.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build of what; the attributes are the options."""

    search: FromOptions
    gpt: Path | None
    sovits: Path | None
    output: Path | None
    pretrained: Path | None
    hubert: Path | None
    bert: Path | None
    speaker: Path | None
    vocoder: Path | None
    base: Path | None
    shared: Path | None
    version: str | None
    ref: Path | None
    transcript: Transcript
    add_ref: tuple[tuple[str, Path, str], ...]
    keep_clip: bool
    phones: str | None
    precision: PrecisionOptions
    targets: tuple[str, ...]
    verify: bool
    as_json: bool

    def request(self) -> BuildRequest:
        """Returns them as a build of two given files takes them; what pretrained parts are found is printed.

        Raises:
            CheckpointError: The folder of pretrained models lacks something that the version needs.
            TextError: The phones of the request to record cannot be read.
            UsageError: Only a part of that request is given.
        """
        from sovits_exporter.building.request import BuildRequest

        if self.gpt is None or self.sovits is None or self.output is None:
            raise click.UsageError(
                "give --from FOLDER_OR_PACK, or each file by its option: --gpt, --sovits and -o"
            )
        request = BuildRequest(
            gpt=self.gpt,
            sovits=self.sovits,
            output=self.output,
            hubert=self.hubert,
            bert=self.bert,
            shared=self.shared,
            version=self.version,
            verify=self.verify,
            speaker=self.speaker,
            vocoder=self.vocoder,
            base=self.base,
            words=self._words(),
        )
        request = self._complete(request)
        return dataclasses.replace(request, references=self.references())

    def job(self) -> Job:
        """Returns them as `--from` takes them.

        Raises:
            UsageError: They contradict each other.
        """
        if self.phones is not None:
            raise click.UsageError("--phones goes with --gpt and --sovits, not with --from")
        if self.search.all_voices and (self.search.voice_name or self.ref or self.gpt or self.sovits):
            raise click.UsageError(
                "--all takes all voices as they are; leave --name, --ref, --gpt and --sovits out"
            )
        parts = ("gpt", "sovits", "hubert", "bert", "speaker", "vocoder", "base")
        return Job(
            options=self.search,
            output=self.output,
            shared=self.shared,
            pretrained=self.pretrained,
            version=self.version,
            verify=self.verify,
            given={part: path for part in parts if (path := getattr(self, part)) is not None},
            references=self.references(),
            keep_clip=self.keep_clip,
            fp32=self.precision.target == "fp32",
            as_json=self.as_json,
        )

    def references(self) -> tuple[ReferenceRequest, ...]:
        """The recordings that the user gave, the one of `--ref` first.

        Raises:
            UsageError: A transcript comes without its recording, or twice.
            TextError: Its phones cannot be read.
        """
        from sovits_exporter.building.request import ReferenceRequest

        said = self.transcript
        if not self.search.store:
            return ()
        if said.ref_text is not None and said.ref_phones is not None:
            raise click.UsageError("give the transcript of the reference as text or as phones, not both")
        if self.ref is None and (said.ref_text or said.ref_phones or said.ref_lang):
            raise click.UsageError("a transcript needs its recording: give --ref")
        first = (
            [
                ReferenceRequest(
                    recording=self.ref,
                    text=said.ref_text,
                    language=said.ref_lang,
                    phones=one_phone_sentence(said.ref_phones, "the recording") if said.ref_phones else (),
                    keep_clip=self.keep_clip,
                )
            ]
            if self.ref
            else []
        )
        more = [
            ReferenceRequest(recording=path, name=name, text=text, keep_clip=self.keep_clip)
            for name, path, text in self.add_ref
        ]
        return (*first, *more)

    def _words(self) -> RequestWords | None:
        from sovits_exporter.building.request import RequestWords

        if self.phones is None:
            return None
        if self.ref is None or self.transcript.ref_phones is None:
            raise click.UsageError("a request to record needs all of --ref, --ref-phones and --phones")
        return RequestWords(
            recording=self.ref,
            prompt_phones=one_phone_sentence(self.transcript.ref_phones, "the recording"),
            phones=one_phone_sentence(self.phones, "the request to record"),
        )

    def _complete(self, request: BuildRequest) -> BuildRequest:
        from sovits_exporter.building.pretrained_tree import find_fetched, find_pretrained

        tree = self.pretrained
        pretrained = find_fetched(request) if tree is None else find_pretrained(tree, request)
        for part, path in pretrained.paths.items():
            click.echo(f"--{part} {path}", err=self.as_json)
        for line in pretrained.missing:
            click.secho(f"note: {line}", fg="yellow", err=True)
        return pretrained.complete(request)


@click.command(cls=SectionedCommand)
@section("What people have", *_FROM)
@section("Files, one by one", *_FILES)
@section("Voice", *_VOICE)
@section("Precision", *PRECISION_OPTIONS)
@section("Engines", TARGET)
@VERIFY
@AS_JSON
@takes(BuildOptions)
def build(options: BuildOptions) -> None:
    """Build a voice of GPT-SoVITS: every graph as ONNX, compared with PyTorch.

    \b
      sovits-export build --from GPT-SoVITS
      sovits-export build --from Paimon.zip --pretrained GPT-SoVITS/GPT_SoVITS/pretrained_models

    With --target also its TensorRT engines; 'engine build' makes them later.
    """  # noqa: D301 (click reads the backspace, not its escape)
    if options.targets:
        from sovits_engines.targets import build_targets

        build_targets(options.targets)  # what cannot be built is said before the long part
    options.precision.check()
    if options.search.source is None:
        if options.search.list_only or options.search.all_voices or options.search.voice_name:
            raise click.UsageError("--list, --name and --all go with --from")
        _finish(options, _build(options, options.request()))
        return
    if options.search.list_only or not options.as_json:
        run_from(options.job(), partial(_build, options), partial(_finish, options))
        return
    built: list[tuple[BuildReport, Sequence[EngineResult]]] = []
    run_from(
        options.job(),
        partial(_build, options),
        lambda report: built.append((report, _engines(options, report))),
    )
    print_json({"voices": [_to_json(report, engines) for report, engines in built]})


def _finish(options: BuildOptions, report: BuildReport) -> None:
    """Builds the engines of a bundle, and prints all of it."""
    engines = _engines(options, report)
    if options.as_json:
        print_json(_to_json(report, engines))
    else:
        _show(report, engines)


def _engines(options: BuildOptions, report: BuildReport) -> Sequence[EngineResult]:
    from sovits_runtime.bundle import Bundle

    if not options.targets:
        return []
    return run_build(Bundle.open(report.path, shared=options.shared), options.targets)


def _build(options: BuildOptions, request: BuildRequest) -> BuildReport:
    from sovits_exporter.building.build import build as build_fp32
    from sovits_exporter.building.converted import build_converted

    with progress_line() as progress:
        if options.precision.target == "fp32":
            return build_fp32(request, progress)
        convert = partial(
            options.precision.convert,
            output=request.output,
            shared=options.shared,
            verify=options.verify,
            progress=progress,
        )
        return build_converted(request, convert, progress=progress)


def _to_json(report: BuildReport, engines: Sequence[EngineResult]) -> dict[str, object]:
    return {
        "bundle": str(report.path),
        "seconds": report.seconds,
        "graphs": [{**vars(check), "passed": check.passed} for check in report.checks],
        **conversion_json(report.manifest),
        "verification": report.verification.to_json() if report.verification else None,
        "engines": [engine_json(result) for result in engines],
    }


def _show(report: BuildReport, engines: Sequence[EngineResult]) -> None:
    click.echo(
        f"{'graph':<18} {'error':>9} {'limit':>9}   (largest difference from PyTorch, of the output's scale)"
    )
    for check in report.checks:
        click.echo(f"{check.graph:<18} {check.error:>9.1e} {check.limit:>9.0e}   {verdict(check.passed)}")
    show_conversion(report.manifest)
    show_whole(report.verification)
    for option in report.left_out:
        version = report.manifest["model"]["version"]
        click.echo(
            f"note: built without {option}, so this bundle speaks from saved references only; 'sovits-export fetch "
            f"{version}' fetches it"
        )
    if engines:
        show_engines(engines)
    click.echo(f"{report.path}: ready after {report.seconds:.0f} s")
