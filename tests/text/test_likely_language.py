"""The language of a text for which none was named."""

import pytest

from sovits_runtime.text.host import likely_language


@pytest.mark.parametrize(
    ("text", "voice", "language"),
    [
        ("Good morning.", "zh", "en"),
        ("早上好。", "en", "zh"),
        ("早上好。", "", "zh"),
        ("今日天氣好。", "yue", "yue"),
        ("今日天氣好。", "all_yue", "yue"),
        ("今日天氣好。", "auto_yue", "yue"),
        ("東京大学。", "ja", "ja"),
        ("東京大学。", "all_ja", "ja"),
        ("おはようございます。", "zh", "ja"),
        ("안녕하세요.", "zh", "ko"),
        ("早上好，Tom。", "en", "zh"),
        ("12345", "zh", "zh"),
        ("12345", "all_ko", "ko"),
        ("12345", "auto", "en"),
        ("...", "", "en"),
    ],
)
def test_the_script_decides_and_then_the_voice(text, voice, language):
    assert likely_language(text, voice) == language
