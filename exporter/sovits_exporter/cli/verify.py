"""`sovits-export verify`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import (
    AS_JSON,
    BACKEND,
    BUNDLE,
    DEVICE,
    GPT_STEPS,
    PATH,
    PLAN,
    SHARED,
    STRICT,
    THREADS,
    VOCODER_ENGINE,
    takes,
)
from sovits_exporter.cli.output import print_json, show_check, show_result
from sovits_runtime.backends.voice import LoadOptions


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What to verify, and where; the attributes are the options."""

    bundle: Path
    shared: Path | None
    load: LoadOptions
    full: bool
    report: Path | None
    as_json: bool


@click.command()
@BUNDLE
@SHARED
@DEVICE
@BACKEND
@STRICT
@THREADS
@GPT_STEPS
@VOCODER_ENGINE
@PLAN
@click.option("--full", is_flag=True, help="Compare the sha256 of every byte first.")
@click.option("--report", type=PATH, help="Folder for report.html with pictures and sound, and report.json.")
@AS_JSON
@takes(VerifyOptions)
def verify(options: VerifyOptions) -> None:
    """Compare BUNDLE on this machine with what PyTorch gave when it was built. Needs no PyTorch."""
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.verify import verify_bundle
    from sovits_runtime.verify.report import write_verify_report

    bundle = Bundle.open(options.bundle, shared=options.shared, full=options.full)
    load = options.load
    result = verify_bundle(
        bundle,
        device=load.device,
        backend=load.backend,
        strict=load.strict,
        threads=load.threads,
        gpt_steps=load.gpt_steps,
        vocoder_engine=load.vocoder_engine,
        plan=load.plan,
        on_check=(lambda _: None) if options.as_json else show_check,
    )
    if options.report is not None:
        click.echo(f"report: {write_verify_report(result, options.report)}", err=options.as_json)
    if options.as_json:
        print_json(result.to_json())
    else:
        show_result(result)
    if not result.passed:
        sys.exit(3)
