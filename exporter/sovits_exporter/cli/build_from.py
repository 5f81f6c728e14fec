"""`sovits-export build --from`: what was found is shown, with the reasons, and built."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_exporter.cli.found_voices import g2pw_folder, show_voice, voice_json
from sovits_exporter.cli.output import print_json, progress_line, show_problem
from sovits_runtime.bundle.stored_references import DEFAULT
from sovits_runtime.errors import CheckpointError, SovitsError, printable

if TYPE_CHECKING:
    from sovits_exporter.building.report import BuildReport
    from sovits_exporter.building.request import BuildRequest, ReferenceRequest
    from sovits_exporter.folders.pairs import Group
    from sovits_exporter.folders.scan import Tree
    from sovits_exporter.folders.voices import FoundVoice

TRY_TEXTS = {
    "zh": "早上好，今天天气不错。",
    "yue": "早晨，今日天氣幾好。",
    "ja": "おはようございます。",
    "ko": "안녕하세요. 좋은 아침입니다.",
}
"""What the last line has the voice say; English for all others."""
_TRY_ENGLISH = "Good morning."


@dataclass(frozen=True, kw_only=True)
class FromOptions:
    """Where to look, and for what; the attributes are the options."""

    source: Path | None
    list_only: bool
    voice_name: str | None
    all_voices: bool
    store: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a search leads to.

    Attributes:
        options: Where to look, and for what.
        output: The bundle, or with several voices the folder of bundles; None: here.
        shared: Folder of shared parts.
        pretrained: Folder of pretrained models.
        version: Of the voices, where the user says it.
        verify: Whether each bundle is verified.
        given: Fields of `BuildRequest` that the user gave.
        references: Recordings that the user gave; one for the default takes the place of found ones, others are added.
        keep_clip: Whether recordings are stored.
        fp32: Whether the bundles are to be in FP32.
        as_json: Whether to print JSON.
    """

    options: FromOptions
    output: Path | None
    shared: Path | None
    pretrained: Path | None
    version: str | None
    verify: bool
    given: Mapping[str, Path]
    references: tuple[ReferenceRequest, ...]
    keep_clip: bool
    fp32: bool
    as_json: bool


def run_from(
    job: Job, build_one: Callable[[BuildRequest], BuildReport], show: Callable[[BuildReport], None]
) -> list[BuildReport]:
    """Searches, shows what was found and chosen, and builds it.

    Args:
        job: What to do.
        build_one: Builds a voice.
        show: Prints the report of one.

    Raises:
        CheckpointError: No voice was found, or one that was asked for cannot be built.
        UsageError: There are several, and none was chosen.
    """
    from sovits_exporter.folders.sources import open_source

    assert job.options.source is not None
    with ExitStack() as stack:
        with progress_line() as progress:
            trees = stack.enter_context(open_source(job.options.source, progress))
        voices, unpaired = _search(job, trees)
        if not voices:
            raise _nothing(job, unpaired)
        if job.options.list_only:
            _list(job, voices, unpaired)
            return []
        chosen = _chosen(job, trees, voices)
        if not job.as_json:
            _show_voices(job, chosen)
            _show_others(chosen, voices)
        _take_g2pw(job, chosen)
        return _build_all(job, chosen, build_one, show)


def _take_g2pw(job: Job, voices: Sequence[FoundVoice]) -> None:
    """Has the Chinese front end find the polyphone model of an installation, unless it has one."""
    from sovits_exporter.fetching.g2pw import take_g2pw
    from sovits_runtime.machine.data_folder import user_data_folder
    from sovits_runtime.text.g2pw_place import chosen_folder

    folder = next((found for voice in voices if not voice.missing and (found := g2pw_folder(voice))), None)
    if folder is None or chosen_folder() is not None:
        return
    try:
        place = take_g2pw(folder, user_data_folder())
    except (SovitsError, OSError) as error:
        line = printable(f"note: G2PW is not taken over, so polyphones are read by pypinyin: {error}")
        click.secho(line, fg="yellow", err=True)
        return
    click.echo(f"G2PW: in {printable(str(place))} from now on", err=job.as_json)


def _search(job: Job, trees: Sequence[Tree]) -> tuple[list[FoundVoice], list[tuple[Tree, list[Group]]]]:
    from sovits_exporter.folders.voices import SearchOptions, find_voices

    options = SearchOptions(
        pretrained=job.pretrained,
        version=job.version,
        wants_references=job.options.store and not _has_default(job.references),
        given={name: path for name, path in job.given.items() if name not in ("gpt", "sovits")},
        gpt=job.given.get("gpt"),
        sovits=job.given.get("sovits"),
    )
    voices: list[FoundVoice] = []
    unpaired = []
    for tree in trees:
        found, left = find_voices(tree, options)
        voices += found
        unpaired.append((tree, left))
    return voices, unpaired


def _chosen(job: Job, trees: Sequence[Tree], voices: Sequence[FoundVoice]) -> list[FoundVoice]:
    """The voices to build: those asked for, the only one, or the one that an installation used last."""
    from sovits_exporter.folders.named_pairs import served_last

    names = [voice.name for voice in voices]
    if job.options.all_voices:
        return list(voices)
    if job.options.voice_name is not None:
        found = [voice for voice in voices if voice.name.casefold() == job.options.voice_name.casefold()]
        if not found:
            known = printable(", ".join(names))
            raise click.UsageError(f"there is no voice {job.options.voice_name!r}; found {known}")
        return found[:1]
    if len(voices) == 1:
        return list(voices)
    for tree in trees:
        for installation in tree.installations:
            served = served_last(tree, installation)
            last = [v for v in voices if any(w.path.name in served for w in v.pair.sovits.weights)]
            if len(last) == 1:
                click.echo(
                    f"{printable(last[0].name)}: taken because GPT-SoVITS used it last", err=job.as_json
                )
                return last
    raise click.UsageError(
        f"{job.options.source} holds {len(voices)} voices: {printable(', '.join(names))}; choose one with --name, or "
        "build them with --all"
    )


def _nothing(job: Job, unpaired: Sequence[tuple[Tree, list[Group]]]) -> CheckpointError:
    from sovits_exporter.folders.refusals import problems_of

    lines = [line for tree, groups in unpaired for line in problems_of(tree, groups)]
    for line in lines[1:]:
        show_problem(line)
    if lines:
        return CheckpointError(lines[0])
    return CheckpointError(
        f"{job.options.source}: holds no voice; expected a GPT checkpoint (.ckpt) and a SoVITS checkpoint (.pth) of "
        "one experiment, as they lie in GPT_weights_* and SoVITS_weights_*"
    )


def _list(job: Job, voices: Sequence[FoundVoice], unpaired: Sequence[tuple[Tree, list[Group]]]) -> None:
    from sovits_exporter.folders.refusals import problems_of

    if job.as_json:
        print_json({"voices": [voice_json(voice) for voice in voices]})
        return
    _show_voices(job, voices)
    for tree, groups in unpaired:
        for line in problems_of(tree, groups) if groups or tree.odd else ():
            show_problem(line)


def _show_voices(job: Job, voices: Sequence[FoundVoice]) -> None:
    for voice in voices:
        show_voice(voice, job.references, missing=job.options.list_only)


def _show_others(chosen: Sequence[FoundVoice], voices: Sequence[FoundVoice]) -> None:
    others = [voice.name for voice in voices if voice not in chosen]
    if others:
        click.echo(f"left out: {printable(', '.join(others))} (--name takes another one, --all takes all)")


def _build_all(
    job: Job,
    voices: Sequence[FoundVoice],
    build_one: Callable[[BuildRequest], BuildReport],
    show: Callable[[BuildReport], None],
) -> list[BuildReport]:
    """Builds voice after voice; one that fails does not keep the others from being built.

    Raises:
        SovitsError: The one voice, or some of several, could not be built.
    """
    reports: list[BuildReport] = []
    failed: list[str] = []
    for voice in voices:
        output = _output(job, voice)
        try:
            if voice.missing:
                raise CheckpointError(voice.missing[0])
            request = _request(job, voice, output)
            if job.options.all_voices and is_built(request, fp32=job.fp32):
                click.echo(
                    f"{printable(str(output))}: is built already of these files; remove it to build it again",
                    err=job.as_json,
                )
                continue
            reports.append(build_one(request))
            show(reports[-1])
        except SovitsError as error:
            if not job.options.all_voices:
                raise
            failed.append(voice.name)
            show_problem(f"{voice.name}: {error}")
        else:
            if not job.as_json:
                click.echo(f"try it:  {printable(speak_line(output, voice, job))}")
    if failed:
        raise CheckpointError(
            f"{len(failed)} of {len(voices)} voices could not be built: {', '.join(failed)}"
        )
    return reports


def _output(job: Job, voice: FoundVoice) -> Path:
    from sovits_exporter.folders.names import folder_name

    if job.options.all_voices:
        return (job.output or Path()) / folder_name(voice.name)
    return job.output or Path(folder_name(voice.name))


def _request(job: Job, voice: FoundVoice, output: Path) -> BuildRequest:
    from sovits_exporter.building.request import BuildRequest, ReferenceRequest

    found = tuple(
        ReferenceRequest(
            recording=choice.clip.path,
            name=name,
            text=choice.clip.text,
            language=choice.language,
            keep_clip=job.keep_clip,
        )
        for name, choice in voice.references.items()
    )
    parts: dict[str, Any] = dict(voice.parts)
    return BuildRequest(
        gpt=voice.pair.gpt.newest.path,
        sovits=voice.pair.sovits.newest.path,
        output=output,
        shared=job.shared,
        version=voice.version,
        verify=job.verify,
        references=_together(found, job.references),
        **parts,
    )


def _has_default(references: Sequence[ReferenceRequest]) -> bool:
    return any(reference.name == DEFAULT for reference in references)


def _together(
    found: Sequence[ReferenceRequest], given: Sequence[ReferenceRequest]
) -> tuple[ReferenceRequest, ...]:
    """The references that the user gave, and found ones of other names, the default first."""
    names = {reference.name for reference in given}
    both = [*given, *(reference for reference in found if reference.name not in names)]
    return tuple(sorted(both, key=lambda reference: reference.name != DEFAULT))


def is_built(request: BuildRequest, *, fp32: bool) -> bool:
    """Whether a bundle of the same files, by the same release, lies at the output already."""
    from sovits_runtime.bundle import MANIFEST, Bundle
    from sovits_runtime.bundle.files import sha256_file
    from sovits_runtime.machine import own_version

    if not (request.output / MANIFEST).is_file():
        return False
    try:
        bundle = Bundle.open(request.output, shared=request.shared)
    except SovitsError:
        return False
    files = {"gpt": request.gpt, "sovits": request.sovits, "base": request.base}
    wanted = {kind: sha256_file(path) for kind, path in files.items() if path is not None}
    sources = {kind: source["sha256"] for kind, source in bundle.manifest["sources"].items()}
    said = [(r.name, r.text) for r in bundle.references]
    return (
        sources == wanted
        and bundle.manifest["made_by"].get("sovits-export") == own_version()
        and (bundle.precision == "fp32") == fp32
        and said == [(r.name, r.text or "") for r in request.references]
    )


def speak_line(output: Path, voice: FoundVoice, job: Job) -> str:
    """The line that has the voice say something."""
    words = ["sovits-export", "speak", str(output)]
    language = _language(voice, job)
    if language is not None:
        return shlex.join([*words, TRY_TEXTS.get(language, _TRY_ENGLISH)])
    return shlex.join(
        [*words, _TRY_ENGLISH, "--lang", "en", "--ref", "RECORDING", "--ref-text", "WHAT IT SAYS"]
    )


def _language(voice: FoundVoice, job: Job) -> str | None:
    """The language of the reference that speaks when none is named; None where the bundle carries none."""
    from sovits_runtime.text.host import likely_language

    if voice.references and not _has_default(job.references):
        return next(iter(voice.references.values())).language
    return next((r.language or likely_language(r.text or "") for r in job.references), None)
