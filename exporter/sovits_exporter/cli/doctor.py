"""`sovits-export doctor`."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, PATH, SHARED, takes
from sovits_exporter.cli.output import print_json
from sovits_runtime.doctor import Diagnosis
from sovits_runtime.doctor.finding import Finding
from sovits_runtime.errors import printable

_COLOURS = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "red"}
_INDENT = 29


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What to examine besides the machine; the attributes are the options."""

    bundle: Path | None
    shared: Path | None
    as_json: bool


@click.command()
@click.argument("bundle", type=PATH, required=False)
@SHARED
@AS_JSON
@takes(DoctorOptions)
def doctor(options: DoctorOptions) -> None:
    """Say what works on this machine, what is missing and how to get it; with BUNDLE, also whether it opens.

    Exit code 0 when something can speak, 1 when nothing can.
    """
    diagnosis = examine(options.bundle, options.shared)
    if options.as_json:
        print_json(diagnosis.to_json())
    else:
        _print(diagnosis)
    if not diagnosis.can_speak:
        sys.exit(1)


def examine(bundle: Path | None = None, shared: Path | None = None) -> Diagnosis:
    """Examines machine, libraries, GPU and, where one is given, a bundle."""
    from sovits_engines.cuda.driver import device_files, find_cuda_libraries, probe_driver_apart
    from sovits_engines.cuda.summary import gpu_summary
    from sovits_runtime.doctor import diagnose
    from sovits_runtime.doctor.environment import library_versions

    versions = library_versions()
    gpu = gpu_summary(probe_driver_apart(), find_cuda_libraries(), versions, files=device_files())
    return diagnose(gpu=gpu, bundle=bundle, shared=shared)


def _print(diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        _print_finding(finding)
    click.echo("")
    yes, no = click.style("yes", fg="green"), click.style("no", fg="red")
    click.echo(f"can speak here:   {yes if diagnosis.can_speak else no}")
    click.echo(f"can export here:  {yes if diagnosis.can_export else no}")
    if diagnosis.can_speak:
        click.echo(f"would choose:     --device {diagnosis.device} --threads {diagnosis.threads}")
        click.echo(f"because:          {diagnosis.reason}")


def _print_finding(finding: Finding) -> None:
    mark = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
    lines = textwrap.wrap(printable(finding.text), 88, break_long_words=False, break_on_hyphens=False) or [""]
    click.echo(f"{mark} {finding.topic:<19} {lines[0]}")
    for line in lines[1:]:
        click.echo(" " * _INDENT + line)
    if finding.remedy:
        click.echo(" " * _INDENT + "-> " + printable(finding.remedy))
