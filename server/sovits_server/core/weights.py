"""Voices by the weights that they were made of, as clients of GPT-SoVITS ask for them; built where they are missing."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from sovits_runtime.bundle.files import sha256_file
from sovits_server.config import Config
from sovits_server.core.building import Pair, VoiceBuilder
from sovits_server.core.choices import Choice
from sovits_server.problems import BadRequestError, NotThereError
from sovits_server.security.places import Places
from sovits_server.voices import Voice, VoiceStore
from sovits_server.voices.names import LONGEST_NAME, check_name, folded

Kind = Literal["gpt", "sovits"]
SUFFIXES: Mapping[Kind, str] = {"gpt": ".ckpt", "sovits": ".pth"}
LATER = "the other half of these weights is not known here; name it too, and the voice is built"
_MOST_BYTES = 16 << 30
_UNFIT = re.compile(r'[\\/:*?"<>|]|[^\w\s().,+-]')
_EPOCH = re.compile(r"([-_]e\d+)?(_s\d+)?(_l\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What a client's weights lead to.

    Attributes:
        choice: What the client has chosen now.
        build: What has to be built first.
        note: What the client should know.
    """

    choice: Choice
    build: Pair | None = None
    note: str = ""


class Weights:
    """Finds voices by their weights. Safe to use from several threads.

    Args:
        store: The voices.
        config: Of the operator.
    """

    def __init__(self, store: VoiceStore, config: Config) -> None:
        self._store = store
        self._places: Places | None = None
        self._builder: VoiceBuilder | None = None
        if config.weights and config.voices is not None:
            self._places = Places(
                config.weights, _MOST_BYTES, what="weights", param="weights_path", option="--weights"
            )
            self._builder = VoiceBuilder(config.voices, config.pretrained)
        self._lock = threading.Lock()
        self._digests: dict[tuple[Path, int, int], str] = {}

    def wanted(self, now: Choice, speaking: Voice, *, gpt: str = "", sovits: str = "") -> Wanted:
        """What weights that a client names lead to, one file or both. In a thread.

        A voice made of both the GPT and the SoVITS that were named last is taken, else one made of what is named now.
        Where there is none, and the operator allows it, one is to be built: of both files named now; of one and that
        of the same name before its epoch; of one and what was named before; of one and what made the voice that speaks.

        Args:
            now: What the client has chosen so far.
            speaking: The voice that it hears so far.
            gpt: File of a GPT.
            sovits: File of a SoVITS.

        Raises:
            Problem: No voice was made of them, and none can be built.
        """
        choice = replace(now, gpt=gpt or now.gpt, sovits=sovits or now.sovits)
        known = self._known(choice, gpt, sovits)
        if known is not None:
            return Wanted(replace(choice, voice=known.name))
        if self._places is None:
            raise NotThereError(
                f"no voice of this server was made of {_name(sovits or gpt)!r}; export it, and serve it "
                "(the operator can have it built on demand: --weights FOLDER)",
                param="weights_path",
            )
        files = {kind: self._file(kind, path) for kind, path in _kinds(gpt, sovits) if path}
        other: Kind = "gpt" if "sovits" in files else "sovits"
        if other not in files:
            partner = self._partner(next(iter(files.values())), other, getattr(now, other), speaking)
            if partner is None:
                return Wanted(choice, note=LATER)
            files[other] = partner
            choice = replace(choice, **{other: partner.name})
            known = self._known(choice, files["gpt"].name, files["sovits"].name, both=True)
            if known is not None:
                return Wanted(replace(choice, voice=known.name))
        name = self._free_name(files["gpt"], files["sovits"])
        return Wanted(replace(choice, voice=name), build=Pair(files["gpt"], files["sovits"], name))

    async def make(self, wanted: Wanted) -> None:
        """Builds what has to be built.

        Raises:
            Problem: It cannot be built.
        """
        if wanted.build is not None and self._builder is not None:
            await self._builder.build(wanted.build)

    def close(self) -> None:
        """Ends what is being built."""
        if self._builder is not None:
            self._builder.close()

    def _known(self, choice: Choice, gpt: str, sovits: str, *, both: bool = False) -> Voice | None:
        by_new = None
        for voice in self._store.voices():
            has = {kind: self._made_of(voice, kind, path) for kind, path in _kinds(choice.gpt, choice.sovits)}
            if all(has.values()):
                return voice
            if by_new is None and not both and ((gpt and has["gpt"]) or (sovits and has["sovits"])):
                by_new = voice
        return by_new

    def _made_of(self, voice: Voice, kind: Kind, path: str) -> bool:
        """Whether a voice was built from a checkpoint of that name, or has its name."""
        if not path:
            return False
        name, source = _name(path), _source(voice, kind)
        if name.casefold() != str(source.get("file", "")).casefold():
            return _stem(name) == folded(voice.name)
        found = self._file_or_none(kind, path) if self._places else None
        return found is None or self._digest(found) == source.get("sha256")

    def _digest(self, file: Path) -> str:
        """Of a file that may have been trained on; read again when it changes."""
        state = file.stat()
        key = (file, state.st_mtime_ns, state.st_size)
        with self._lock:
            if key not in self._digests:
                self._digests[key] = sha256_file(file)
            return self._digests[key]

    def _file(self, kind: Kind, path: str) -> Path:
        assert self._places is not None
        try:
            found = self._places.find(path)
        except NotThereError:  # a name alone, as GSVI's lists have them
            named = [other for other in self._all(kind) if other.name.casefold() == _name(path).casefold()]
            if len(named) != 1:
                raise
            found = named[0]
        if found.suffix.lower() != SUFFIXES[kind]:
            raise BadRequestError(
                f"weights {found.name[:80]!r}: expected a file of {kind.upper()}, which ends in {SUFFIXES[kind]}",
                param="weights_path",
            )
        return found

    def _partner(self, file: Path, kind: Kind, before: str, speaking: Voice) -> Path | None:
        """The other half of a file; None where it is unknown, or several fit."""
        named = self._file_or_none(kind, before)
        if named is not None and _stem(named.name) == _stem(file.name):
            return named
        same = [other for other in self._all(kind) if _stem(other.name) == _stem(file.name)]
        if same:
            return same[0] if len(same) == 1 else None
        return self._file_or_none(kind, before or str(_source(speaking, kind).get("file", "")))

    def _file_or_none(self, kind: Kind, path: str) -> Path | None:
        try:
            return self._file(kind, path) if path else None
        except (NotThereError, BadRequestError):
            return None

    def _all(self, kind: Kind) -> Iterator[Path]:
        for folder in self._places.folders if self._places else ():
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() == SUFFIXES[kind] and path.resolve().is_relative_to(folder):
                    yield path

    def _free_name(self, gpt: Path, sovits: Path) -> str:
        """The name of SoVITS's file, with that of the GPT's where it is another's."""
        base = sovits.stem if _stem(gpt.name) == _stem(sovits.name) else f"{sovits.stem} with {gpt.stem}"
        base = check_name(_UNFIT.sub("_", base)[: LONGEST_NAME - 4].strip(" ."))
        taken = {folded(name) for name in (*self._store.names(), *self._store.problems())}
        folder = self._store.folder or Path()
        for number in count(1):
            name = base if number == 1 else f"{base} {number}"
            if folded(name) not in taken and not (folder / name).exists():
                break
        return name


def _kinds(gpt: str, sovits: str) -> tuple[tuple[Kind, str], tuple[Kind, str]]:
    return ("gpt", gpt), ("sovits", sovits)


def name_of_source(voice: Voice, kind: Kind) -> str:
    """Name, without suffix, of the checkpoint that a voice was built from; empty where its bundle does not say it."""
    return str(_source(voice, kind).get("file", "")).removesuffix(SUFFIXES[kind])


def _name(path: str) -> str:
    """Of a file, as a client of whatever system writes it."""
    return re.split(r"[\\/]", path.strip())[-1][:120]


def _stem(name: str) -> str:
    """What a file is named after: without suffix, epoch, step and rank."""
    return folded(_EPOCH.sub("", name.rpartition(".")[0] or name))


def _source(voice: Voice, kind: Kind) -> Mapping[str, Any]:
    """Of the checkpoint that a voice was built from: its file and its sha256."""
    try:
        source = json.loads((voice.bundle / "manifest.json").read_bytes())["sources"][kind]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return source if isinstance(source, dict) else {}
