"""Phones as a command takes them: a string of symbols, or a JSON file that holds them."""

from __future__ import annotations

from pathlib import Path

from sovits_runtime.errors import TextError
from sovits_runtime.machine.json_file import read_json


def phone_sentences(value: str) -> list[list[str]]:
    """Reads phones: a string of symbols, or a JSON file with {"phones": [...]} or {"sentences": [[...], ...]}.

    Raises:
        TextError: The file cannot be read or holds something else.
    """
    if not value.endswith(".json"):
        return [value.split()]
    path = Path(value)
    remedy = "give phones, or a .json file that holds them"
    content = read_json(path, what="JSON of phones", error=TextError, remedy=remedy)
    if isinstance(content, dict) and {"phones", "sentences"} <= content.keys():
        raise TextError(
            f'{path}: got both "phones" and "sentences", expected one of them; take the other out'
        )
    sentences = content.get("sentences", [content.get("phones")]) if isinstance(content, dict) else [content]
    good = isinstance(sentences, list) and all(_is_sentence(s) for s in sentences)
    if not good or not sentences:
        raise TextError(f'{path}: expected {{"phones": [symbols]}} or {{"sentences": [[symbols], ...]}}')
    return list(sentences)


def _is_sentence(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(phone, str) for phone in value)


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
