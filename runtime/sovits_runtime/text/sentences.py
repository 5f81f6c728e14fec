"""Sentences of a text, whole or as it comes: one way of cutting for both.

A sentence ends at a line break, at 。！？!?, or at a full stop that is not part of a word ("Dr.", "3.14", "a.m.").
Quotes and brackets stay with their sentence as long as they are short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sovits_runtime.text.en.dotted import ends_sentence, may_go_on
from sovits_runtime.text.parts import parts_of

ASCII_LOAD: Final = 0.35
LONGEST_LOAD: Final = 120.0

_CLOSERS: Final = "”’」』）)】》〉］]\"'"
_OPENERS: Final = '“「『（(【《〈［["'
_PAIRED_CLOSERS: Final = "”」』）)】》〉］]"
_EDGE: Final = re.compile(rf"[。！？!?…．.\n{re.escape(_OPENERS + _PAIRED_CLOSERS)}]")
_END_MARKS: Final = re.compile("[。！？!?…．.~～]+")
_CLOSING: Final = re.compile(
    rf"[{re.escape(_CLOSERS)}]*(?:(?P<emphasis>\*{{1,3}}|_{{1,3}})[{re.escape(_CLOSERS)}]*)?"
)
_LAST_END: Final = re.compile(rf"[。！？!?…．.~～]+(?=[{re.escape(_CLOSERS)}*_]*\Z)")
_CLAUSE: Final = re.compile(
    rf"(?:[，、；：—]+|[,;:]+(?=[\s{re.escape(_CLOSERS)}]))[{re.escape(_CLOSERS)}]*\s*"
)
_WIDE: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af]")
_SOFT_WRAP: Final = 40
_LONGEST_QUOTE: Final = 60
_WINDOW: Final = 80
_LONGEST_CHARS: Final = int(LONGEST_LOAD / ASCII_LOAD)


@dataclass(frozen=True)
class Sentence:
    """A sentence as it was written.

    Attributes:
        text: Without the white space around it.
        ends_line: A line break follows, which is a pause even where no mark stands.
    """

    text: str
    ends_line: bool = False


def load(text: str) -> float:
    """About how many syllables a text takes: one an ideograph, a third an ASCII character."""
    return sum(ASCII_LOAD if char.isascii() else 1.0 for char in text)


class _EndRun:
    """End marks at a place in a text, with the quotes, brackets and signs of emphasis that they close."""

    def __init__(self, text: str, start: int) -> None:
        marks = _END_MARKS.match(text, start)
        assert marks is not None
        self.text, self.marks, self.dot = text, marks[0], marks.end() - 1
        closing = _CLOSING.match(text, marks.end())
        assert closing is not None
        self.end = closing.end()
        sign = closing["emphasis"]
        if sign and text.count(sign, 0, marks.start()) % 2 == 0:  # it opens what follows
            self.end = closing.start("emphasis")
        self.closing = text[marks.end() : self.end]
        self.after = text[self.end : self.end + _WINDOW]


class SentenceCutter:
    """Cuts text that comes in parts; each part is looked at once.

    Attributes:
        clause_load: A clause is given out without its sentence once this much waits, in syllables.
    """

    def __init__(self) -> None:
        self.clause_load = LONGEST_LOAD
        self._text = ""
        self._next = 0
        self._opened: list[int] = []
        self._after_return = False

    def feed(self, part: str) -> Iterator[Sentence]:
        """Take in a part, and give out what is finished for certain.

        Args:
            part: What comes next in the text.
        """
        if self._after_return and part:
            part = part.removeprefix("\n")
            self._after_return = False
        if part.endswith("\r"):
            self._after_return = True
        self._text += part.replace("\r\n", "\n").replace("\r", "\n")
        yield from self._finished(final=False)
        yield from self._clauses()

    def flush(self) -> Iterator[Sentence]:
        """Give out a sentence that looks finished, because nothing has come for a while."""
        waiting = self._text.rstrip(" \t\u3000")
        if waiting.endswith("\n"):
            yield from self._take(len(self._text), ends_line=True)
            return
        marks = _LAST_END.search(waiting, max(0, len(waiting) - _WINDOW))
        if marks and self._is_end(_EndRun(waiting + " ", marks.start()), final=True):
            yield from self._take(len(self._text))

    def close(self) -> Iterator[Sentence]:
        """Give out the rest."""
        yield from self._finished(final=True)
        while len(self._text) > _LONGEST_CHARS:
            yield from self._take(self._hard_cut())
        yield from self._take(len(self._text))

    def _finished(self, *, final: bool) -> Iterator[Sentence]:
        while edge := _EDGE.search(self._text, self._next):
            char, start = edge[0], edge.start()
            if char == "\n":
                ends_line = self._breaks(start, final)
                if ends_line is None:
                    return
                self._next = start + 1
                if ends_line:
                    yield from self._take(start + 1, ends_line=True)
                continue
            if char == '"' and self._opened:
                self._opened.pop()
                self._next = start + 1
                continue
            if char in _OPENERS:
                self._opened.append(start)
                self._next = start + 1
                continue
            if char in _PAIRED_CLOSERS:
                self._opened = self._opened[:-1]
                self._next = start + 1
                continue
            run = _EndRun(self._text, start)
            if run.end >= len(self._text.rstrip("*_")) and not final:
                return
            verdict = self._is_end(run, final=final)
            if verdict is None:
                return
            closed = sum(each in _PAIRED_CLOSERS + '"' for each in run.closing)
            self._opened = self._opened[: max(0, len(self._opened) - closed)]
            self._next = run.end
            if verdict and not self._inside(run.end):
                yield from self._take(run.end)

    def _breaks(self, position: int, final: bool) -> bool | None:
        """Whether a line break ends a sentence; None where what follows has to be seen first."""
        line = self._text[:position].rsplit("\n", 1)[-1].rstrip()
        if len(line) < _SOFT_WRAP or not line[-1:].isalpha() or not line[-1:].isascii():
            return True
        after = self._text[position + 1 : position + 2]
        if not after:
            return True if final else None
        return not (after.isascii() and after.islower())

    def _is_end(self, run: _EndRun, *, final: bool) -> bool | None:
        """Whether a run of end marks ends a sentence; None where what follows has to be seen first."""
        marks, after = run.marks, run.after
        follower = after.lstrip(" \t\u3000")[:1]
        if not follower and not final and (run.closing or marks[-1] in "…~～" or marks.endswith("..")):
            return None
        spaced = after[:1].isspace() or not after
        if marks[-1] in "。！？．" or (marks[-1] in "!?" and (spaced or _WIDE.match(after))):
            return not run.closing or spaced or follower in _OPENERS or follower in "—-*"
        if marks[-1] in "!?":
            return False
        if marks[-1] in "…~～" or len(marks) > 1:
            return spaced and (not follower or follower.isupper() or follower in _OPENERS)
        before = run.text[run.dot - 1 : run.dot]
        if _WIDE.match(before) or (_WIDE.match(after) and before.isalpha()):
            return not (after[:1].isascii() and after[:1].isalnum())
        if not spaced or (run.closing and follower.islower()):
            return False
        start = max(0, run.dot - _WINDOW)
        window, dot = run.text[start : run.dot + 1 + _WINDOW], run.dot - start
        if not follower and not final and may_go_on(window, dot):
            return None
        return ends_sentence(window, dot)

    def _inside(self, position: int) -> bool:
        """Whether a quote or bracket is open that is still short."""
        return bool(self._opened) and position - self._opened[0] < _LONGEST_QUOTE

    def _take(self, end: int, *, ends_line: bool = False) -> Iterator[Sentence]:
        text, rest = self._text[:end], self._text[end:].lstrip(" \t\u3000")
        ends_line = ends_line or text.endswith("\n") or rest.startswith("\n")
        self._text = rest.lstrip() if ends_line else rest
        self._next, self._opened = 0, []
        text = text.strip()
        if text:
            yield Sentence(text, ends_line)

    def _clauses(self) -> Iterator[Sentence]:
        """Parts of a sentence that has become too long to wait for."""
        while len(self._text) > self.clause_load and load(self._text) > self.clause_load:
            ends = [match.end() for match in _CLAUSE.finditer(self._text) if match.end() < len(self._text)]
            loads = (end for end in ends if load(self._text[:end]) >= self.clause_load)
            end = next(loads, 0)
            if not end and len(self._text) > _LONGEST_CHARS:
                end = self._hard_cut()
            if not end:
                return
            yield from self._take(end)

    def _hard_cut(self) -> int:
        """Where to cut text without marks: at a space if there is one."""
        end, taken = 0, 0.0
        while taken < LONGEST_LOAD and end < len(self._text):
            taken += ASCII_LOAD if self._text[end].isascii() else 1.0
            end += 1
        space = self._text.rfind(" ", end // 2, end)
        return space + 1 if space > 0 else end


def sentences_of(text: str) -> Iterator[Sentence]:
    """Sentences of a text that is there as a whole.

    Args:
        text: Any text.
    """
    cutter = SentenceCutter()
    for part in parts_of(text):
        yield from cutter.feed(part or "")
    yield from cutter.close()
