"""What `build` and `convert` have in common: the precision of a bundle, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import PATH
from sovits_exporter.precision.limits import Limits
from sovits_runtime.machine.progress import Progress

if TYPE_CHECKING:
    from sovits_exporter.building.report import BuildReport
    from sovits_runtime.bundle import Bundle

PRECISION_OPTIONS = (
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
        default=Limits.kl,
        show_default=True,
        help="What int8 and int4 may cost the GPT: mean KL divergence of a token from FP32, in nats.",
    ),
    click.option(
        "--min-snr",
        type=float,
        default=Limits.snr_db,
        show_default=True,
        help="What int8 may cost SoVITS: least ratio of the waveform to its error, in dB.",
    ),
    click.option(
        "--max-log-mel",
        type=click.FloatRange(min=0, min_open=True),
        default=Limits.log_mel_db,
        show_default=True,
        help="And the largest mean difference of log-mel spectrograms, in dB.",
    ),
    click.option(
        "--wav",
        "recordings",
        type=PATH,
        multiple=True,
        help="A recording of 3 to 10 s for calibration to read, beside the built-in one.",
    ),
    click.option(
        "--like",
        type=PATH,
        help="With fp16: another voice's FP16 bundle; the same parts stay FP32, so that 'engine refit' can make "
        "the engines of one from those of the other.",
    ),
    click.option(
        "--keep",
        type=PATH,
        help="With fp16: a file that 'engine debug --keep' wrote; what it names stays FP32, beside what calibration "
        "chooses.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions:
    """What a bundle is converted to; the attributes are the options."""

    fp16: bool
    precision: str | None
    max_kl: float
    min_snr: float
    max_log_mel: float
    recordings: tuple[Path, ...]
    like: Path | None
    keep: Path | None = None

    @property
    def target(self) -> str:
        """The precision asked for: "fp32", "fp16", "auto", "int8", "int4", or precisions by part."""
        return "fp16" if self.fp16 else self.precision or "fp32"

    def check(self) -> None:
        """Refuses options that contradict each other, and unknown precisions.

        Raises:
            UsageError: Names what to give.
        """
        if self.fp16 and self.precision not in (None, "fp16"):
            raise click.UsageError(
                f"--fp16 and --precision {self.precision} contradict each other; give one of them"
            )
        if self.target not in ("fp32", "fp16"):
            from sovits_exporter.precision.int8 import parse_precisions

            try:
                parse_precisions(self.target)
            except ValueError as error:
                raise click.UsageError(f"--precision: {error}") from error
        if self.recordings and self.target == "fp32":
            raise click.UsageError("--wav names recordings for calibration, which fp32 does not need")
        if self.like is not None and self.target != "fp16":
            raise click.UsageError("--like names an FP16 bundle to be like, which goes with --fp16")
        if self.keep is not None and self.target != "fp16":
            raise click.UsageError("--keep names parts to keep in FP32, which goes with --fp16")
        if self.keep is not None and self.like is not None:
            raise click.UsageError("--keep and --like each say what stays FP32; give one of them")

    def convert(
        self, source: Bundle, output: Path, *, shared: Path | None, verify: bool, progress: Progress
    ) -> BuildReport:
        """Converts a bundle as asked.

        Args:
            source: An FP32 bundle.
            output: Folder of the new one.
            shared: Folder of the parts that voices share; None: beside the new bundle.
            verify: Whether to verify the new one before it counts.
            progress: Told what is done.
        """
        from sovits_exporter.building.request import ConversionRequest

        request = ConversionRequest(
            source=source, output=output, shared=shared, recordings=self.recordings, verify=verify
        )
        if self.target == "fp16":
            from sovits_exporter.precision.fp16 import convert_to_fp16
            from sovits_exporter.precision.keep import read_keep
            from sovits_runtime.bundle import Bundle

            like = None if self.like is None else Bundle.open(self.like, shared=shared)
            keep = None if self.keep is None else read_keep(self.keep, source)
            return convert_to_fp16(request, like=like, keep=keep, progress=progress)
        from sovits_exporter.precision.int8 import convert_to_int8, parse_precisions

        limits = Limits(self.max_kl, self.min_snr, self.max_log_mel)
        return convert_to_int8(request, parse_precisions(self.target), limits=limits, progress=progress)
