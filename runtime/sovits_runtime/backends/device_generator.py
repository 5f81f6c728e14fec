"""Opens the generator of tokens on a device, with as many slots and rows as a voice is loaded with."""

from __future__ import annotations

import logging

from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.gpu.device import Device
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_slot import GptEngines

logger = logging.getLogger(__name__)


def open_generator(device: Device, engines: GptEngines, options: LoadOptions) -> DeviceTextToSemantic:
    """Opens it and runs its first steps.

    Where sentences step together, what goes beside them needs one slot: rows have buffers of their own.

    Args:
        device: Where.
        engines: Of the GPT.
        options: `requests`, `rows` and `strict` count.

    Raises:
        BackendError: There is not enough memory, an engine fails, or a step cannot be captured and `strict` was asked.
    """
    if engines.no_batches:
        logger.warning("sentences step one by one on %s: %s", device.name, engines.no_batches)
    rows = options.rows or 0
    generator = DeviceTextToSemantic(
        device,
        engines,
        slots=1 if rows and engines.batches else options.requests,
        rows=rows,
        strict=options.strict,
    )
    generator.warm()
    return generator
