"""`sovits-export demo`: the whole way from checkpoints to sound and figures, on every system alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import NEW_PATH, takes

COMMAND = (sys.executable, "-c", "from sovits_exporter.cli.start import main; main()")
"""Each step is a process of its own, as when typed: one step's memory does not count as the next one's."""
PLAYERS = ("afplay", "pw-play", "paplay", "aplay")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Where the demo goes and how long it takes; the attributes are the options."""

    out: Path
    version: str
    tiny: bool
    threads: int
    play: bool


@click.command()
@click.option(
    "--out", type=NEW_PATH, default="demo-out", show_default=True, help="Folder of all that is made."
)
@click.option(
    "--version", default="v2", show_default=True, help="Model version of the second voice, which is timed."
)
@click.option("--tiny", is_flag=True, help="The second voice very small: quick, and its times say nothing.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="To speak and to time.")
@click.option("--play/--no-play", default=True, show_default=True, help="Play what the voice says.")
@takes(DemoOptions)
def demo(options: DemoOptions) -> None:
    """Build a small trained voice, verify it, let it speak, and time a voice of full size beside PyTorch.

    Each command is shown as it is run. What is there from an earlier run is used again.
    """
    out, threads = options.out, str(options.threads)
    files, voice, full_files = out / "voice-files", out / "voice", out / f"{_full(options)}-files"
    full, speech, target = out / _full(options), out / "speech.wav", files / "target.json"

    _say("1/7 a trained demo voice in official format")
    if not (files / "reference.json").exists():
        _run("demo-checkpoint", files, "--voice")
    _say("2/7 build: every graph as ONNX, compared with PyTorch")
    reference = (
        "--ref",
        files / "reference.wav",
        "--ref-phones",
        files / "reference.json",
        "--ref-lang",
        "en",
    )
    _run("build", *_checkpoints(files), *reference, "--phones", target, "-o", voice)
    _say("3/7 verify: the bundle against the recorded PyTorch values")
    _run("verify", voice, "--full", "--report", out / "verify")
    _say("4/7 speak")
    picture = out / "speech.png"
    _run("speak", voice, "--phones", target, "--threads", threads, "-o", speech, "--picture", picture)
    if options.play and (player := play(speech)):
        click.echo(f"played by {player}")
    about = "very small" if options.tiny else "of full size"
    size = " (about 440 MB)" if options.version == "v2" and not options.tiny else ""
    _say(f"5/7 a voice {about}, with made-up weights{size}, for the clock")
    if not (full_files / "reference.json").exists():
        tiny = ("--tiny",) if options.tiny else ()
        _run("demo-checkpoint", full_files, "--version", options.version, *tiny)
    parts = () if options.version == "v2" else ("--pretrained", full_files)
    _run("build", *_checkpoints(full_files), *parts, "-o", full)
    _say(f"6/7 bench against eager PyTorch, {threads} threads")
    bench = ("--against-eager", full_files, "--threads", threads, "--repeats", "3", "--report", out / "bench")
    _run("bench", full, *bench)
    _say(f"7/7 done. Listen to {speech}, look at {picture},")
    equality, speed = out / "verify" / "report.html", out / "bench" / "bench.html"
    click.echo(f"    open {equality} (equality, seen and heard) and {speed} (speed)")


def _full(options: DemoOptions) -> str:
    """Name of the second voice; each kind has a folder of its own."""
    version = "" if options.version == "v2" else f"-{options.version}"
    return ("tiny" if options.tiny else "full") + version


def _checkpoints(folder: Path) -> tuple[str | Path, ...]:
    """Options of `build` that name the files of a demo voice."""
    hubert = folder / "chinese-hubert-base"
    return "--gpt", folder / "demo-gpt.ckpt", "--sovits", folder / "demo-sovits.pth", "--hubert", hubert


def _say(line: str) -> None:
    click.echo(f"==> {line}")


def _run(*arguments: str | Path) -> None:
    """Shows a command of ours and runs it; where it fails, the demo ends with its exit code."""
    words = [str(argument) for argument in arguments]
    click.echo(f"sovits-export {_shown(words)}")
    sys.stdout.flush()
    done = subprocess.run([*COMMAND, *words])
    if done.returncode:
        sys.exit(max(done.returncode, 1))


def _shown(words: Sequence[str]) -> str:
    return " ".join(f'"{word}"' if " " in word or not word else word for word in words)


def play(path: Path) -> str:
    """Plays a WAV file by what the system has; returns its name, empty where nothing plays."""
    if sys.platform == "win32":
        import winsound

        try:
            winsound.PlaySound(str(path), winsound.SND_FILENAME | winsound.SND_NODEFAULT)
        except RuntimeError:  # no sound device
            return ""
        return "Windows"
    for player in filter(shutil.which, PLAYERS):
        if not subprocess.run([player, str(path)], stderr=subprocess.DEVNULL).returncode:
            return player
    return ""
