"""What an operator may set: one schema for the file, the environment and the flags of `sovits-export serve`.

Flags win over the environment (`SOVITS_SERVE_PORT`), the environment over the file (`port = 9880` in TOML).
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sovits_runtime import EngineLimits
from sovits_runtime.engine.types import MAX_ROWS
from sovits_runtime.errors import shown
from sovits_server.problems import ConfigError

PREFIX = "SOVITS_SERVE_"
_SHORTEST_KEY = 8
PATHS = ("bundles", "voices", "ref", "references", "weights", "pretrained")
"""In a file they are relative to it."""
GPU_ROWS = 2

Count = Annotated[int, Field(ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Config(BaseModel):
    """Settings of a server. The field descriptions are the help of the command line too."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bundles: tuple[Path, ...] = Field((), description="Folders of voices.")
    voices: Path | None = Field(None, description="A folder with a voice in each of its folders.")
    default_voice: str = Field("", description="Who speaks where a client names nobody [the first].")
    alias: tuple[str, ...] = Field((), description="Other names of voices, such as alloy=my-voice.")
    ref: Path | None = Field(None, description="Reference recording for voices that bring none.")
    ref_text: str = Field("", description="What is said in it.")
    ref_lang: str = Field("auto", description="Language of that, such as en or zh.")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(9880, description="Port; 0: any free one.")
    api_key: tuple[SecretStr, ...] = Field((), description="Keys that clients have to show, any of them.")
    insecure: bool = Field(False, description="Listen beyond this machine without a key.")
    open_lists: bool = Field(
        False, description="Lists of voices and models need no key: Open WebUI asks without."
    )
    allow_host: tuple[str, ...] = Field((), description="More names that this server is called by.")
    cors_origin: tuple[str, ...] = Field(
        (), description="Web pages of these origins may ask, * is all [those of this machine]."
    )
    references: tuple[Path, ...] = Field(
        (), description="Folders in which clients may name recordings [the voices' own]."
    )
    allow_urls: bool = Field(False, description="Clients may name recordings by http(s) address.")
    allow_upload: bool = Field(False, description="Clients may add voices by POST /v1/audio/voices.")
    weights: tuple[Path, ...] = Field(
        (), description="Folders of weights that clients may have voices built of; needs PyTorch [none]."
    )
    pretrained: Path | None = Field(
        None, description="GPT-SoVITS's pretrained_models, for such builds [what was fetched]."
    )
    allow_control: bool = Field(False, description="Clients may end the server by /control?command=exit.")

    device: str = Field("cpu", description="cpu or cuda.")
    backend: Literal["onnxruntime", "tensorrt"] = Field("onnxruntime", description="What runs the graphs.")
    threads: Count | None = Field(None, description="Threads within one operator [all usable cores].")
    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] | None = Field(
        None, description="Requests that are spoken at once [16, on a GPU 2]."
    )
    queue: Annotated[int, Field(ge=0, le=100_000)] = Field(
        64, description="Requests that may wait; then 503."
    )
    client_requests: Count = Field(32, description="Requests under way of one client; then 429.")
    memory_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Open voices beyond it are closed, the least used first."
    )
    deadline_s: Seconds = Field(60, description="Within it sound must begin; then 504.")
    stall_s: Seconds = Field(20, description="How long a client may take no sound before it is cut off.")
    drain_s: Seconds = Field(30, description="What is under way at the end may take so long.")
    max_text: Count = Field(20_000, description="Characters of one request; then 413.")
    max_body_kb: Count = Field(1024, description="Size of a request without files; then 413.")
    max_upload_mb: Count = Field(20, description="Size of an uploaded or fetched recording; then 413.")
    max_connections: Count = Field(1000, description="Connections at once; then 503.")
    max_seconds: Annotated[float, Field(gt=0, le=60)] | None = Field(
        None, description="Cut each sentence at this length."
    )
    cache_mb: Annotated[float, Field(ge=0)] = Field(64, description="For lines that were spoken; 0: none.")

    log_format: Literal["text", "json"] = Field("text", description="How requests are logged.")
    log_text: bool = Field(False, description="Log what was to be said too.")
    page: bool = Field(True, description="Show the web page at /.")
    wyoming_port: Annotated[int, Field(ge=0, le=65_535)] | None = Field(
        None, description="Also speak Home Assistant's protocol, on this port."
    )
    zeroconf: bool = Field(False, description="Announce that on the local network.")

    @property
    def at_once(self) -> int:
        """Requests that are spoken at once: `rows`, or as many as suit the device. On a GPU each takes memory."""
        return self.rows or (EngineLimits().rows if self.device == "cpu" else GPU_ROWS)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def as_flag(name: str) -> str:
    """A field as the command line writes it."""
    return f"--{name.replace('_', '-')}"


def load_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    written: Callable[[str], str] = as_flag,
) -> Config:
    """Puts settings together and checks them.

    Args:
        flags: Field -> value, those given on the command line.
        file: TOML.
        environment: Of the process.
        written: How a flag is written, for messages.

    Raises:
        ConfigError: Says where, at which line of a file, and why.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    if file is not None:
        values, places = _read_file(file)
    for name, text in environment.items():
        if name.startswith(PREFIX) and name != f"{PREFIX}CONFIG":
            field = name.removeprefix(PREFIX).lower()
            values[field] = split_words(field, text)
            places[field] = name
    values.update(flags)
    places.update({name: written(name) for name in flags})
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(_sentence(first, values, places)) from None
    _check(config)
    return config


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read as TOML: {reason}") from None
    lines = text.splitlines()
    places = {}
    for name in values:
        key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]|\s*\[+\s*{re.escape(name)}")
        number = next((n for n, line in enumerate(lines, 1) if key.match(line)), None)
        places[name] = f"{path}, line {number}: {name}" if number else f"{path}: {name}"
    base = path.absolute().parent
    for name in PATHS:
        value = values.get(name)
        if isinstance(value, str):
            values[name] = base / value
        elif isinstance(value, list):
            values[name] = [base / item if isinstance(item, str) else item for item in value]
    return values, places


def split_words(field: str, text: str) -> object:
    """What a text says of a field; several paths have the system's separator between them, other things commas."""
    known = Config.model_fields.get(field)
    if known is None or get_origin(known.annotation) is not tuple:
        return text
    paths = field in PATHS
    return [part.strip() for part in text.split(os.pathsep if paths else ",") if part.strip()]


def _sentence(error: Mapping[str, Any], values: Mapping[str, Any], places: Mapping[str, str]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    place = places.get(name, name)
    if error["type"] == "extra_forbidden":
        known = ", ".join(sorted(Config.model_fields))
        return f"{place}: there is no such setting; expected one of {known}"
    reason = error["msg"][0].lower() + error["msg"][1:]
    got = "" if name == "api_key" else f" (got {shown(_plain(values.get(name)))})"
    return f"{place}: {reason}{got}"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _check(config: Config) -> None:
    """What one field alone does not show.

    Raises:
        ConfigError: Says what to give.
    """
    if not config.loopback and not config.api_key and not config.insecure:
        raise ConfigError(
            f"host: {config.host} can be reached from other machines; give --api-key KEY, or --insecure to let "
            "everybody speak"
        )
    for key in config.api_key:
        if len(key.get_secret_value()) < _SHORTEST_KEY:
            raise ConfigError(
                f"api_key: got a key of {len(key.get_secret_value())} characters, expected {_SHORTEST_KEY} or more"
            )
    if not config.bundles and config.voices is None:
        raise ConfigError("bundles: got no voice; give folders of voices, or --voices FOLDER with many in it")
    for field in ("bundles", "voices", "references", "weights", "pretrained"):
        given = getattr(config, field)
        for folder in given if isinstance(given, tuple) else (given,):
            if folder is not None and not folder.is_dir():
                raise ConfigError(f"{field}: {folder} is no folder; check the path")
    if config.ref is not None and not config.ref.is_file():
        raise ConfigError(f"ref: {config.ref} is no file; check the path")
    if config.weights and config.voices is None:
        raise ConfigError("weights: what is built of them is put among the voices; give --voices FOLDER too")
    if config.weights and find_spec("torch") is None:
        raise ConfigError(
            "weights: voices are built with PyTorch, which is not installed: pip install 'sovits-export[export]'"
        )
    for alias in config.alias:
        if not all(alias.partition("=")):
            raise ConfigError(f"alias: got {alias!r}, expected NAME=VOICE")
    if config.zeroconf and config.wyoming_port is None:
        raise ConfigError("zeroconf: announces Home Assistant's protocol; give --wyoming-port too")


SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Voices": ("voices", "default_voice", "alias", "ref", "ref_text", "ref_lang"),
        "Address": ("host", "port", "page", "wyoming_port", "zeroconf"),
        "Who may ask, and for what": (
            *("api_key", "insecure", "open_lists", "allow_host", "cors_origin"),
            *("references", "allow_urls", "allow_upload", "weights", "pretrained", "allow_control"),
        ),
        "Work": ("device", "backend", "threads", "rows", "memory_mb", "max_seconds", "cache_mb"),
        "Limits": (
            *("queue", "client_requests", "deadline_s", "stall_s", "drain_s"),
            *("max_text", "max_body_kb", "max_upload_mb", "max_connections"),
        ),
        "Logs": ("log_format", "log_text"),
    }
)
"""Heading -> the settings under it, for help."""
