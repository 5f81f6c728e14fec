"""`sovits-export demo-checkpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from sovits_exporter.cli.options import PATH, takes
from sovits_exporter.cli.output import progress_line


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to write; the attributes are the options."""

    folder: Path
    version: str
    tiny: bool
    seed: int
    bert: bool
    lora: bool
    voice: bool


@click.command("demo-checkpoint")
@click.argument("folder", type=PATH)
@click.option("--version", default="v2", show_default=True, help="Model version.")
@click.option("--tiny", is_flag=True, help="Very small models: everything runs in seconds.")
@click.option("--seed", default=0, show_default=True, help="Other weights for another seed.")
@click.option("--bert/--no-bert", default=False, help="Also write a BERT folder (large).")
@click.option("--lora", is_flag=True, help="A LoRA fine-tune with its base beside it; v3 to v5 only.")
@click.option("--voice", is_flag=True, help="A small trained voice that speaks (v2, English), as it is.")
@takes(DemoOptions)
def demo_checkpoint(options: DemoOptions) -> None:
    """Write official-format checkpoints to FOLDER: full size with made-up weights, or a small trained voice.

    Made-up weights hum rather than speak, but they are built, verified and timed like trained ones.
    """
    from sovits_exporter.demo.demo import write_demo_checkpoint, write_demo_voice

    if options.voice:
        _refuse_other_options()
    with progress_line() as progress:
        if options.voice:
            files = write_demo_voice(options.folder, progress=progress)
        else:
            files = write_demo_checkpoint(
                options.folder,
                version=options.version,
                tiny=options.tiny,
                seed=options.seed,
                bert=options.bert,
                lora=options.lora,
                progress=progress,
            )
    for path in vars(files).values():
        if path is not None:
            click.echo(str(path))


def _refuse_other_options() -> None:
    context = click.get_current_context()
    for name in context.params:
        explicit = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if explicit and name not in ("folder", "voice"):
            raise click.UsageError(f"--voice writes one voice as it is; leave --{name} out")
