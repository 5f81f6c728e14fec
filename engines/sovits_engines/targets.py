"""Build targets: the GPUs of this machine, or named ones, and which TensorRT builds for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sovits_engines.cuda.compatibility import LEAST_CAPABILITY
from sovits_engines.cuda.driver import Driver, probe_driver_apart
from sovits_runtime.backends.trt_api import ENTERPRISE, RTX, TITLES, TrtApi, install, load_api
from sovits_runtime.bundle.engine_store import EngineTarget
from sovits_runtime.errors import BackendError

_NAME = re.compile(r"sm_?(\d{1,2})(\d)")


@dataclass(frozen=True)
class BuildTarget:
    """A target and the TensorRT that builds for it."""

    api: TrtApi
    target: EngineTarget


def build_targets(
    names: Sequence[str] = (),
    *,
    flavour: str | None = None,
    driver: Driver | None = None,
    load: Callable[[str], TrtApi] = load_api,
) -> list[BuildTarget]:
    """Decides for what and with what to build.

    Args:
        names: Such as `sm89`; none: every kind of GPU in this machine.
        flavour: `rtx` or `trt`; None: RTX for the cards of its list where it is installed, else TensorRT.
        driver: What the driver reports; None: it is queried.
        load: Loads a flavour.

    Raises:
        BackendError: A name is no target, no TensorRT is installed that serves one, or there is no GPU to detect.
    """
    driver = driver or probe_driver_apart()
    local_gpus = {gpu.capability: gpu.name for gpu in driver.gpus}
    capabilities = [parse_target(name) for name in names] or list(local_gpus)
    if not capabilities:
        raise BackendError(
            f"no GPU to build engines for ({driver.problem or 'the driver sees none'}); name the GPU they are for, "
            "such as --target sm89"
        )
    chooser = _Chooser(flavour, local_gpus, load)
    return [chooser.choose(capability) for capability in dict.fromkeys(capabilities)]


def parse_target(name: str) -> tuple[int, int]:
    """Reads `sm89` as compute capability (8, 9).

    Raises:
        BackendError: It is not such a name, or older than TensorRT supports.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None:
        raise BackendError(
            f"target {name!r}: expected sm and a compute capability, such as sm75, sm86, sm89 or sm120"
        )
    capability = (int(match[1]), int(match[2]))
    if capability < LEAST_CAPABILITY:
        raise BackendError(f"target {name}: TensorRT needs compute capability 7.5 (Turing) or later")
    return capability


def rtx_capabilities(api: TrtApi) -> dict[tuple[int, int], str]:
    """Compute capabilities that an installed TensorRT for RTX builds for, with the names of its members."""
    names = api.module.ComputeCapability.__members__
    return {parse_target(name): name for name in names if _NAME.fullmatch(name.lower())}


class _Chooser:
    """Finds the TensorRT for one capability after another, importing each flavour once at most."""

    def __init__(
        self, flavour: str | None, local_gpus: Mapping[tuple[int, int], str], load: Callable[[str], TrtApi]
    ) -> None:
        self._flavour = flavour
        self._local_gpus = local_gpus
        self._load = load
        self._apis: dict[str, TrtApi | BackendError] = {}

    def choose(self, capability: tuple[int, int]) -> BuildTarget:
        rtx = None if self._flavour == ENTERPRISE else self._api(RTX)
        if isinstance(rtx, TrtApi) and capability in rtx_capabilities(rtx):
            return BuildTarget(rtx, EngineTarget(RTX, rtx.version, rtx.cuda, capability))
        sm = f"sm{capability[0]}{capability[1]}"
        if self._flavour == RTX:
            if not isinstance(rtx, TrtApi):
                raise rtx or BackendError(f"{TITLES[RTX]} is not installed; {install(RTX)}")
            names = ", ".join(name.lower() for name in sorted(rtx_capabilities(rtx).values()))
            raise BackendError(f"{rtx.title} does not build for {sm}; it builds for {names}")
        if capability not in self._local_gpus:
            why, other = "", f", or {install(RTX)} for the cards of its list"
            if isinstance(rtx, TrtApi):
                why, other = f"{rtx.title} does not build for it, and ", ""
            raise BackendError(
                f"no engines for {sm} can be built here: {why}{TITLES[ENTERPRISE]} builds only for a GPU that is "
                f"present; build on a machine that has one{other}"
            )
        enterprise = self._api(ENTERPRISE)
        if not isinstance(enterprise, TrtApi):
            raise enterprise
        device = self._local_gpus[capability]
        return BuildTarget(
            enterprise, EngineTarget(ENTERPRISE, enterprise.version, enterprise.cuda, capability, device)
        )

    def _api(self, flavour: str) -> TrtApi | BackendError:
        if flavour not in self._apis:
            try:
                self._apis[flavour] = self._load(flavour)
            except BackendError as error:
                self._apis[flavour] = error
        return self._apis[flavour]
