"""Samples to bytes of a format, and the cache of lines."""

from sovits_server.sound.cache import CachedLine, LineCache, line_key
from sovits_server.sound.encoder import Encoder
from sovits_server.sound.formats import FORMATS, PCM_RATE
from sovits_server.sound.writers import EncoderMissingError, can_write

__all__ = [
    "FORMATS",
    "PCM_RATE",
    "CachedLine",
    "Encoder",
    "EncoderMissingError",
    "LineCache",
    "can_write",
    "line_key",
]
