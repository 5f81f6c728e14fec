"""A language detector that replays recorded answers, for tests that compare with the original's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sovits_runtime.text.detector import Detector


class RecordedDetector:
    """Replays answers; a text without a recorded answer is of unknown language.

    Args:
        answers: Text -> language code.
        others: Names further candidates, which recordings lack; None: the recorded answer is the only one.
    """

    def __init__(self, answers: Mapping[str, str], others: Detector | None = None) -> None:
        self._answers, self._others = answers, others

    def best(self, text: str) -> str:
        """The recorded answer."""
        return self._answers.get(text, "x")

    def candidates(self, text: str) -> Sequence[str]:
        """The recorded answer, and what the other detector holds possible."""
        return (self.best(text), *(self._others.candidates(text) if self._others else ()))
