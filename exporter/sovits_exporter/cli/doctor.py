"""`sovits-export doctor`."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import click

from sovits_exporter.cli.options import SHARED
from sovits_runtime.doctor import Diagnosis, Finding

_COLOURS = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "red"}
_INDENT = 29


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@SHARED
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def doctor(bundle: Path | None, shared: Path | None, as_json: bool) -> None:
    """Say what works on this machine, what is missing and how to get it; with BUNDLE, also whether it opens.

    Exit code 0 when something can speak, 1 when nothing can.
    """
    diagnosis = examine(bundle, shared)
    if as_json:
        click.echo(json.dumps(diagnosis.to_json(), indent=1, ensure_ascii=False))
    else:
        _print(diagnosis)
    if not diagnosis.can_speak:
        sys.exit(1)


def examine(bundle: Path | None = None, shared: Path | None = None) -> Diagnosis:
    """Examines machine, libraries, GPU and, where one is given, a bundle."""
    from sovits_engines.cuda.driver import device_files, find_cuda_libraries, probe_driver_apart
    from sovits_engines.cuda.summary import gpu_summary
    from sovits_runtime.doctor import diagnose, library_versions

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
    lines = textwrap.wrap(finding.text, 88, break_long_words=False, break_on_hyphens=False) or [""]
    click.echo(f"{mark} {finding.topic:<19} {lines[0]}")
    for line in lines[1:]:
        click.echo(" " * _INDENT + line)
    if finding.remedy:
        click.echo(" " * _INDENT + "-> " + finding.remedy)
