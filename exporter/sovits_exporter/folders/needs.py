"""Which versions lie in a folder or archive, for who wants to fetch what they need before anything is built."""

from __future__ import annotations

from pathlib import Path

from sovits_exporter.folders.refusals import problems_of
from sovits_exporter.folders.sources import open_source
from sovits_exporter.folders.voices import SearchOptions, find_voices
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.progress import Progress, no_progress


def versions_in(path: Path, progress: Progress = no_progress) -> tuple[str, ...]:
    """The model versions of the voices in a folder or archive, each once.

    Args:
        path: What `build --from` takes.
        progress: Called with each archive that is unpacked.

    Raises:
        CheckpointError: There is no voice, or the version of none can be told.
    """
    options = SearchOptions(wants_references=False, given={})
    versions: dict[str, None] = {}
    problems: list[str] = []
    with open_source(path, progress) as trees:
        for tree in trees:
            voices, unpaired = find_voices(tree, options)
            versions |= {voice.version: None for voice in voices if voice.version}
            problems += [line for voice in voices if not voice.version for line in voice.missing]
            problems += problems_of(tree, unpaired)
    if not versions:
        expected = f"{path}: holds no voice, a GPT checkpoint (.ckpt) and a SoVITS checkpoint (.pth) of one experiment"
        raise CheckpointError(next(iter(problems), expected))
    return tuple(versions)
