"""Phones as a command takes them: a string of symbols, or a JSON file that holds them."""

from __future__ import annotations

import json
from pathlib import Path

from sovits_runtime.errors import TextError


def phone_sentences(value: str) -> list[list[str]]:
    """Reads phones: a string of symbols, or a JSON file with {"phones": [...]} or {"sentences": [[...], ...]}.

    Raises:
        TextError: The file cannot be read or holds something else.
    """
    if not value.endswith(".json"):
        return [value.split()]
    path = Path(value)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror}); give phones or a .json file") from error
    except ValueError as error:
        raise TextError(f"{path}: not JSON ({error})") from error
    sentences = content.get("sentences", [content.get("phones")]) if isinstance(content, dict) else [content]
    good = all(isinstance(s, list) and s and all(isinstance(p, str) for p in s) for s in sentences)
    if not good or not sentences:
        raise TextError(f'{path}: expected {{"phones": [symbols]}} or {{"sentences": [[symbols], ...]}}')
    return list(sentences)


def one_phone_sentence(value: str, what: str) -> list[str]:
    """Reads phones where only one sentence makes sense.

    Args:
        value: As in `phone_sentences`, as are the errors.
        what: What the sentence is for, as an error says it.
    """
    sentences = phone_sentences(value)
    if len(sentences) != 1:
        raise TextError(
            f"{value}: got {len(sentences)} phone sentences, expected one for {what}; give a file that holds one, "
            'or join them in one {"phones": [symbols]}'
        )
    return sentences[0]
