"""What each client has chosen by earlier requests: a voice, weights, a reference."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from sovits_server.core.ask import Whom

_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a client has chosen by earlier requests, as the original lets it.

    Attributes:
        voice: Name.
        gpt: File of the GPT that it asked for.
        sovits: File of the SoVITS that it asked for.
        path: Reference recording.
        words: What is said in it.
        language: Language of that.
    """

    voice: str = ""
    gpt: str = ""
    sovits: str = ""
    path: str = ""
    words: str = ""
    language: str = ""


class Choices:
    """What each client has chosen. Whoever chose nothing has what was chosen last, as with the original."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Choice] = OrderedDict()
        self._last = Choice()

    def of(self, client: str) -> Choice:
        """What holds for a client."""
        return self._of.get(client, self._last)

    def change(self, client: str, **fields: str) -> Choice:
        """Changes some of it."""
        self._last = self._of[client] = replace(self.of(client), **fields)
        self._of.move_to_end(client)
        while len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)
        return self._last

    def whom(self, client: str, asked: Whom) -> Whom:
        """What a request asks for, over what was chosen."""
        chosen = self.of(client)
        voice = asked.voice or chosen.voice
        if asked.path or asked.voice or not chosen.path:
            return replace(asked, voice=voice)
        return replace(
            asked, voice=voice, path=chosen.path, words=asked.words or chosen.words,
            language=asked.language or chosen.language,
        )  # fmt: skip
