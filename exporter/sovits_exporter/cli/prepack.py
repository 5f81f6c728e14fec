"""`sovits-export prepack`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import BUNDLE, GPT_STEPS, SHARED, VOCODER_ENGINE, takes
from sovits_exporter.cli.output import progress_line, show_check, show_result
from sovits_runtime.backends.voice import GptSteps, VocoderEngine


@dataclass(frozen=True, kw_only=True)
class PrepackOptions:
    """What to prepack, and for what; the attributes are the options."""

    bundle: Path
    shared: Path | None
    gpt_steps: GptSteps
    vocoder_engine: VocoderEngine
    remove: bool


@click.command()
@BUNDLE
@SHARED
@GPT_STEPS
@VOCODER_ENGINE
@click.option("--remove", is_flag=True, help="Delete what was prepacked, for whatever machine, instead.")
@takes(PrepackOptions)
def prepack(options: PrepackOptions) -> None:
    """Keep BUNDLE's weights as the kernels of this processor read them.

    From then on the voice loads at once, and processes that speak with it share their memory. Costs disk space, up
    to twice the bundle's size, in the bundle's folder. The same samples come out. For the CPU only.
    """
    from sovits_runtime.backends.prepacked import prepack as write
    from sovits_runtime.backends.prepacked import remove_prepacked
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.verify import verify_bundle

    bundle = Bundle.open(options.bundle, shared=options.shared)
    if options.remove:
        click.echo(f"{remove_prepacked(bundle) / 1e6:.0f} MB freed")
        return
    with progress_line() as progress:
        prepacked = write(
            bundle, gpt_steps=options.gpt_steps, vocoder_engine=options.vocoder_engine, progress=progress
        )
    result = verify_bundle(
        bundle, gpt_steps=options.gpt_steps, vocoder_engine=options.vocoder_engine, on_check=show_check
    )
    show_result(result)
    if not result.passed:
        remove_prepacked(bundle)
        click.echo("the prepacked graphs were removed; the bundle itself is as it was", err=True)
        sys.exit(3)
    click.echo(f"{prepacked.folder}: {len(prepacked.graphs)} graphs, {prepacked.bytes / 1e6:.0f} MB")
