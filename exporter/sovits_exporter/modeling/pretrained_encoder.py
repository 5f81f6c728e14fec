"""What HuBERT and BERT share: reading their config and taking official tensors under official names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sovits_runtime.errors import CheckpointError, shown

MAX_SIZE, MAX_LIST, MAX_EPS = 8192, 16, 0.1
"""Beyond what any of these models has; a config that states more would only fill the memory."""


class PretrainedEncoder(nn.Module, ABC):
    """A module that `load_state_dict` fills straight from an official state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_adopt)  # type: ignore[no-untyped-call]

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of the features."""

    @abstractmethod
    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames official `tensors` to this module's names and leaves out those it has no use for.

        This module's own names stay as they are; unknown ones stay too, so that strict loading sees them.
        """


def _adopt(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(module, PretrainedEncoder)
    official = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
    state.update({prefix + name: value for name, value in module.own_tensors(official).items()})


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors below `prefix`, less the prefix; all of them if none has it."""
    below = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return below or dict(tensors)


def read_fields(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any],
    what: str,
    limits: Mapping[str, int],
) -> dict[str, Any]:
    """Reads the fields named in `defaults` from a config.json.

    Args:
        config: Content of config.json.
        defaults: Value of each field where the file does not name it; its type is the type required.
        fixed: Fields that change the architecture, with the one value supported; absent means supported.
        what: Model name for messages.
        limits: The largest value of some fields, or of the entries of a list; of all others it is `MAX_SIZE`.

    Raises:
        CheckpointError: A field has another type, is not positive or beyond its limit, or asks for an unsupported
            architecture.
    """
    for key, supported in fixed.items():
        if (value := config.get(key, supported)) != supported:
            raise CheckpointError(
                f"{what} config: {key} is {shown(value)}, expected {supported!r}; take the model GPT-SoVITS uses"
            )
    fields = {key: config.get(key, default) for key, default in defaults.items()}
    for key, value in fields.items():
        limit = limits.get(key, MAX_SIZE)
        if not _is_like(value, defaults[key], limit):
            top = "" if isinstance(defaults[key], bool | str) else f", at most {_limit(defaults[key], limit)}"
            raise CheckpointError(
                f"{what} config: {key} is {shown(value)}, expected a value like {defaults[key]!r}{top}; "
                "the file is damaged, take the model GPT-SoVITS uses"
            )
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _is_like(value: object, default: object, limit: int) -> bool:
    if isinstance(default, tuple):
        return (
            isinstance(value, list | tuple)
            and 0 < len(value) <= MAX_LIST
            and all(_is_like(v, default[0], limit) for v in value)
        )
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value <= MAX_EPS
    return type(value) is int and 0 < value <= limit


def _limit(default: object, limit: int) -> float:
    return MAX_EPS if isinstance(default, float) else limit
