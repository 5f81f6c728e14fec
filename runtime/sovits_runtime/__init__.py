"""Torch-free inference for exported GPT-SoVITS bundles.

from sovits_runtime import Synthesizer

with Synthesizer.load("my-voice") as voice:
    voice.say("Good morning.").save("morning.wav")
"""

from sovits_runtime.audio import Audio
from sovits_runtime.engine import EngineLimits, SpeechEngine, SpeechJob, SpeechRequest
from sovits_runtime.machine import no_telemetry
from sovits_runtime.speech.chunk_stream import ChunkStream
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import (
    AudioSentence,
    Chunk,
    ChunkOptions,
    Phrase,
    SpeechOptions,
    TokenSequence,
)
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.sampling import SamplingOptions

__all__ = [
    "Audio",
    "AudioSentence",
    "Chunk",
    "ChunkOptions",
    "ChunkStream",
    "EngineLimits",
    "Phrase",
    "Reference",
    "SamplingOptions",
    "SpeechEngine",
    "SpeechJob",
    "SpeechOptions",
    "SpeechRequest",
    "Synthesizer",
    "TokenSequence",
]

no_telemetry.turn_off()
