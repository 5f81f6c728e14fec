"""`sovits-export build`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.engine import TARGET, run_build
from sovits_exporter.cli.options import AS_JSON, BUNDLE_OUTPUT, PATH, SHARED, VERIFY, takes
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

if TYPE_CHECKING:
    from sovits_engines.build import EngineResult
    from sovits_exporter.building.report import BuildReport
    from sovits_exporter.building.request import BuildRequest, RequestWords

_FILES = (
    click.option("--gpt", required=True, type=PATH, help="GPT checkpoint, .ckpt."),
    click.option("--sovits", required=True, type=PATH, help="SoVITS checkpoint, .pth."),
    BUNDLE_OUTPUT,
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
        help="A recording of the voice, 3 to 10 s: what is recorded of PyTorch, to verify against, is then speech of "
        "its own and not a made-up request. Goes with --ref-phones and --phones.",
    ),
    click.option("--ref-phones", help="Phones of that recording, or a .json file that holds them."),
    click.option("--phones", help="Phones of a sentence to say, or a .json file that holds them."),
)


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build of what; the attributes are the options."""

    gpt: Path
    sovits: Path
    output: Path
    pretrained: Path | None
    hubert: Path | None
    bert: Path | None
    speaker: Path | None
    vocoder: Path | None
    base: Path | None
    shared: Path | None
    version: str | None
    ref: Path | None
    ref_phones: str | None
    phones: str | None
    precision: PrecisionOptions
    targets: tuple[str, ...]
    verify: bool
    as_json: bool

    def request(self) -> BuildRequest:
        """Returns them as a build takes them; what is found in the folder of pretrained models is printed.

        Raises:
            CheckpointError: The folder of pretrained models lacks something that the version needs.
            TextError: The phones of the request to record cannot be read.
            UsageError: Only a part of that request is given.
        """
        from sovits_exporter.building.request import BuildRequest

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
        return self._complete(request)

    def _words(self) -> RequestWords | None:
        from sovits_exporter.building.request import RequestWords

        if self.ref and self.ref_phones and self.phones:
            return RequestWords(
                recording=self.ref,
                prompt_phones=one_phone_sentence(self.ref_phones, "the recording"),
                phones=one_phone_sentence(self.phones, "the request to record"),
            )
        if self.ref or self.ref_phones or self.phones:
            raise click.UsageError("a request to record needs all of --ref, --ref-phones and --phones")
        return None

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
@section("Files", *_FILES)
@section("Voice", *_VOICE)
@section("Precision", *PRECISION_OPTIONS)
@section("Engines", TARGET)
@VERIFY
@AS_JSON
@takes(BuildOptions)
def build(options: BuildOptions) -> None:
    """Build a bundle from official checkpoints: every graph as ONNX, compared with PyTorch.

    With --target also its TensorRT engines; 'engine build' makes them later.
    """
    from sovits_runtime.bundle import Bundle

    if options.targets:
        from sovits_engines.targets import build_targets

        build_targets(options.targets)  # what cannot be built is said before the long part
    options.precision.check()
    report = _build(options)
    engines = (
        run_build(Bundle.open(options.output, shared=options.shared), options.targets)
        if options.targets
        else []
    )
    if options.as_json:
        print_json(_to_json(report, engines))
    else:
        _show(report, engines)


def _build(options: BuildOptions) -> BuildReport:
    from sovits_exporter.building.build import build as build_fp32
    from sovits_exporter.building.converted import build_converted

    request = options.request()
    with progress_line() as progress:
        if options.precision.target == "fp32":
            return build_fp32(request, progress)
        convert = partial(
            options.precision.convert,
            output=options.output,
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
