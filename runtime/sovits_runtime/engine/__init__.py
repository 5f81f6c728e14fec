"""Many requests at once: one engine speaks for all of its voices, and decodes their tokens in batches."""

from sovits_runtime.engine.engine import SpeechEngine
from sovits_runtime.engine.job import SpeechJob
from sovits_runtime.engine.types import (
    DeadlinePassed,
    EngineClosed,
    EngineLimits,
    EngineStats,
    JobCancelled,
    JobTiming,
    QueueFull,
    SpeechRequest,
    UnknownVoice,
)

__all__ = [
    "DeadlinePassed",
    "EngineClosed",
    "EngineLimits",
    "EngineStats",
    "JobCancelled",
    "JobTiming",
    "QueueFull",
    "SpeechEngine",
    "SpeechJob",
    "SpeechRequest",
    "UnknownVoice",
]
