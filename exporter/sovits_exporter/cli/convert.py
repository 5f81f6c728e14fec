"""`sovits-export convert`: an FP32 bundle to another precision, without torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_exporter.cli.output import print_json, progress_line, show_check

if TYPE_CHECKING:
    from sovits_calibration.fp32_nodes import Island
    from sovits_exporter.precision.fp16 import ConvertReport
    from sovits_exporter.precision.int8 import QuantizeReport
    from sovits_runtime.bundle import Bundle


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What the precision options of a command say.

    Attributes:
        precision: "fp32", "fp16", "auto", "int8", "int4", or precisions by part.
        max_kl: Largest mean KL divergence of a token in nats.
        min_snr: Least ratio of the waveform to its error, in dB.
        max_log_mel: Largest mean difference of the log-mel spectrograms, in dB.
        recordings: Recordings that calibration reads beside the built-in one.
        like: An FP16 bundle that keeps the same parts in FP32.
    """

    precision: str
    max_kl: float
    min_snr: float
    max_log_mel: float
    recordings: tuple[Path, ...]
    like: Path | None


def conversion_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that `Conversion` is read from."""
    options = (
        click.option("--fp16", is_flag=True, help="The same as --precision fp16."),
        click.option(
            "--precision",
            metavar="NAME",
            help="fp32; fp16 (for GPUs); int8, int4 or auto, the fastest within the limits (for CPUs); or by part: "
            "gpt=int8,sovits=auto.",
        ),
        click.option(
            "--max-kl",
            type=click.FloatRange(min=0, min_open=True),
            default=0.02,
            show_default=True,
            help="What int8 and int4 may cost the GPT: mean KL divergence of a token from FP32, in nats.",
        ),
        click.option(
            "--min-snr",
            type=float,
            default=25.0,
            show_default=True,
            help="What int8 may cost SoVITS: least ratio of the waveform to its error, in dB.",
        ),
        click.option(
            "--max-log-mel",
            type=click.FloatRange(min=0, min_open=True),
            default=0.5,
            show_default=True,
            help="And the largest mean difference of log-mel spectrograms, in dB.",
        ),
        click.option(
            "--wav",
            "recordings",
            type=click.Path(path_type=Path),
            multiple=True,
            help="A recording of 3 to 10 s for calibration to read, beside the built-in one.",
        ),
        click.option(
            "--like",
            type=click.Path(path_type=Path),
            help="With fp16: another voice's FP16 bundle; the same parts stay FP32, so that 'engine refit' can make "
            "the engines of one from those of the other.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def read_conversion(options: dict[str, Any]) -> Conversion:
    """Takes the values of `conversion_options` out of a command's parameters.

    Raises:
        click.UsageError: They contradict each other, or a precision is unknown.
    """
    from sovits_exporter.precision.int8 import parse_precisions

    fp16, precision = options.pop("fp16"), options.pop("precision")
    if fp16 and precision not in (None, "fp16"):
        raise click.UsageError(f"--fp16 and --precision {precision} contradict each other; give one of them")
    name = "fp16" if fp16 else precision or "fp32"
    if name not in ("fp32", "fp16"):
        try:
            parse_precisions(name)
        except ValueError as error:
            raise click.UsageError(f"--precision: {error}") from error
    rest = {key: options.pop(key) for key in ("max_kl", "min_snr", "max_log_mel", "recordings", "like")}
    if rest["recordings"] and name == "fp32":
        raise click.UsageError("--wav names recordings for calibration, which fp32 does not need")
    if rest["like"] is not None and name != "fp16":
        raise click.UsageError("--like names an FP16 bundle to be like, which goes with --fp16")
    return Conversion(name, **rest)


def run_conversion(
    conversion: Conversion,
    source: Bundle,
    output: Path,
    *,
    shared: Path | None,
    verify: bool,
    progress: Callable[[str, int, int], None],
) -> ConvertReport | QuantizeReport:
    """Converts a bundle as asked."""
    if conversion.precision == "fp16":
        from sovits_exporter.precision.fp16 import ConvertRequest, convert
        from sovits_runtime.bundle import Bundle

        like = None if conversion.like is None else Bundle.open(conversion.like, shared=shared)
        request = ConvertRequest(source, output, shared, conversion.recordings, verify, like)
        return convert(request, progress)
    from sovits_exporter.precision.int8 import Limits, QuantizeRequest, parse_precisions, quantize

    quantizing = QuantizeRequest(
        source,
        output,
        parse_precisions(conversion.precision),
        Limits(conversion.max_kl, conversion.min_snr, conversion.max_log_mel),
        shared,
        conversion.recordings,
        verify,
    )
    return quantize(quantizing, progress)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Bundle folder to write."
)
@conversion_options
@click.option(
    "--shared",
    type=click.Path(path_type=Path),
    help="Folder of the parts that voices share, of both bundles.",
)
@click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Check the whole before it counts."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def convert(
    bundle: Path,
    output: Path,
    shared: Path | None,
    verify: bool,
    as_json: bool,
    **precision: Any,
) -> None:
    """Convert the FP32 BUNDLE to another precision: FP16 for GPUs, int8 or int4 parts for CPUs. Needs no PyTorch."""
    from sovits_runtime.bundle import Bundle

    conversion = read_conversion(precision)
    if conversion.precision == "fp32":
        raise click.UsageError("give --fp16, or --precision and what to convert to")
    source = Bundle.open(bundle, shared=shared)
    with progress_line() as progress:
        report = run_conversion(conversion, source, output, shared=shared, verify=verify, progress=progress)
    if as_json:
        verification = report.verification.to_json() if report.verification else None
        print_json({"bundle": str(report.path), **conversion_json(report), "verification": verification})
        return
    show_conversion(report)
    if report.verification:
        click.echo("verification of the whole:")
        for check in report.verification.checks:
            show_check(check)
    click.echo(f"{report.path}: ready after {report.seconds:.0f} s")


def conversion_json(report: ConvertReport | QuantizeReport) -> dict[str, Any]:
    """Returns what a conversion decided as JSON values."""
    from sovits_exporter.precision.int8 import QuantizeReport

    if isinstance(report, QuantizeReport):
        return {"choices": list(report.choices)}
    return {
        "islands": {name: [dataclasses.asdict(i) for i in found] for name, found in report.islands.items()}
    }


def show_conversion(report: ConvertReport | QuantizeReport) -> None:
    """Prints what a conversion decided, and why."""
    from sovits_exporter.precision.int8 import QuantizeReport
    from sovits_runtime.doctor.inspect_bundle import choice_lines

    if isinstance(report, QuantizeReport):
        for line in choice_lines(report.choices):
            click.echo(line)
    else:
        _show_islands(report.cosines, report.islands)


def _show_islands(cosines: Mapping[str, float | None], islands: Mapping[str, Sequence[Island]]) -> None:
    click.echo(f"{'graph':<18} {'cosine':>9} {'in FP32':>8}   reasons")
    for name, found in islands.items():
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(i.reason for i in found).most_common())
        cosine = cosines[name]
        told = "unknown" if cosine is None else f"{cosine:.7f}"
        click.echo(f"{name:<18} {told:>9} {len(found):>8}   {reasons}")
