"""What the server says of itself: Home Assistant asks every half minute, so new voices appear by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker

from sovits_server.voices import Voice

LANGUAGES = ("en", "zh", "ja", "ko", "yue")
"""Of a voice that does not say which is its own: a voice of GPT-SoVITS speaks all of them."""
_MADE_BY = Attribution(name="GPT-SoVITS", url="https://github.com/RVC-Boss/GPT-SoVITS")
_AUTO = {"", "auto", "auto_yue"}


def describe(voices: Iterable[Voice]) -> Info:
    """The answer to `describe`: one program with all voices. An emotion of a voice is one of its speakers."""
    release = _release()
    program = TtsProgram(
        name="sovits-export",
        description="Cloned voices of GPT-SoVITS",
        attribution=_MADE_BY,
        installed=True,
        version=release,
        voices=[_voice(voice, release) for voice in voices],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


def languages_of(voice: Voice) -> list[str]:
    """Codes of the languages that a voice is offered for."""
    if voice.language in _AUTO:
        return list(LANGUAGES)
    return [voice.language.removeprefix("all_")]


def _voice(voice: Voice, release: str) -> TtsVoice:
    speakers = [TtsVoiceSpeaker(name=emotion) for emotion in voice.emotions]
    return TtsVoice(
        name=voice.name,
        description=voice.name,
        attribution=_MADE_BY,
        installed=True,
        version=release,
        languages=languages_of(voice),
        speakers=speakers or None,
    )


def _release() -> str:
    try:
        return version("sovits-export")
    except PackageNotFoundError:  # run from its sources
        return "0"
