"""Reports: complete, self-contained, strict JSON, whole or not at all."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bundle.files import json_text, write_files
from sovits_runtime.errors import SovitsError
from sovits_runtime.verify.check import Check, VerifyReport
from sovits_runtime.verify.report import write_verify_report

VOID = {"meta", "rect", "path", "image", "br"}


class _Tags(HTMLParser):
    """Collects tags and their attributes, and fails on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def parsed(path) -> _Tags:
    tags = _Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    assert tags.open == []
    return tags


@pytest.fixture
def report() -> VerifyReport:
    rng = np.random.default_rng(0)
    wave = (0.2 * np.sin(np.arange(16000) / 9)).astype(np.float32)
    actual = wave + (1e-6 * rng.standard_normal(len(wave))).astype(np.float32)
    checks = (
        Check("sovits_flow", 1e-6, 1e-4, "of full scale"),
        Check("audio SNR", float("inf"), 60.0, "dB", at_least=True),
        Check("free run", 0, 0, "wrong tokens", note="120 tokens equal"),
    )
    return VerifyReport(
        "/voices/我的声音 <b>",
        "abc123",
        "CPUExecutionProvider",
        checks,
        Audio(wave, 32000),
        Audio(actual, 32000),
    )


def test_verify_report_holds_everything_and_needs_nothing_else(report, tmp_path):
    page = write_verify_report(report, tmp_path / "new" / "report")
    assert sorted(p.name for p in page.parent.iterdir()) == [
        "actual.wav",
        "expected.wav",
        "report.html",
        "report.json",
    ]
    tags, text = parsed(page), page.read_text(encoding="utf-8")
    assert tags.all("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in tags.all("meta")
    sources = [a.get("src") or a.get("href") for _, a in tags.seen if a.get("src") or a.get("href")]
    assert len(sources) >= 5  # two sounds, three pictures
    assert all(s.startswith("data:") for s in sources)
    assert not re.search(r"url\(|@import|<script|<link", text)
    assert "Verification passed" in text
    assert "我的声音 &lt;b&gt;" in text
    for check in report.checks:
        assert check.name in text
    assert "abc123" in text
    assert "CPUExecutionProvider" in text


def test_embedded_sounds_are_the_two_waves(report, tmp_path):
    page = write_verify_report(report, tmp_path / "r")
    players = parsed(page).all("audio")
    for player, audio, name in zip(
        players, (report.expected, report.actual), ("expected.wav", "actual.wav"), strict=True
    ):
        content = base64.b64decode(player["src"].partition("base64,")[2])
        assert content == (page.parent / name).read_bytes()
        samples, rate = read_audio(content, name)
        assert rate == 32000
        assert np.abs(samples.ravel() - audio.samples).max() <= 1 / 65536


def test_json_is_strict_and_complete(report, tmp_path):
    page = write_verify_report(report, tmp_path / "r")

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads((page.parent / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert value["passed"] is True
    assert value["checks"][1]["value"] == "inf"
    assert value["digest"] == "abc123"
    assert value["versions"]["numpy"] == np.__version__
    assert value["machine"]["logical_cores"] == os.cpu_count()


def test_failure_is_told_first(report, tmp_path):
    bad = Check("sovits_flow", float("nan"), 1e-4, "of full scale", note="shape [1], expected [2]")
    failed = dataclasses.replace(report, checks=(bad, *report.checks[1:]))
    text = write_verify_report(failed, tmp_path / "r").read_text(encoding="utf-8")
    assert "Verification failed" in text
    assert "2 of 3 checks passed" in text
    assert "nan of full scale, expected at most 0.0001 (shape [1], expected [2])" in text


@pytest.mark.parametrize("length", [0, 15000])
def test_audio_of_another_length_or_none(report, tmp_path, length):
    other = dataclasses.replace(report, actual=Audio(report.actual.samples[:length], 32000))
    page = write_verify_report(other, tmp_path / "r")
    assert (page.parent / "actual.wav").exists() == (length > 0)
    assert "Difference" not in page.read_text(encoding="utf-8")
    assert len(parsed(page).all("audio")) == (2 if length else 1)


def test_older_report_is_replaced_and_other_files_stay(report, tmp_path):
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "report.html").write_text("old", encoding="utf-8")
    page = write_verify_report(report, folder)
    assert "Verification passed" in page.read_text(encoding="utf-8")
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert not list(tmp_path.glob(".r.*"))


def test_failed_write_leaves_nothing_new(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(SovitsError, match="file: the report cannot be written"):
        write_files(tmp_path / "file", {"a": b"1"})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_new_folder_appears_complete_or_not_at_all(tmp_path, monkeypatch):
    written = []
    original = os.replace

    def watch(a, b):
        written.append(b)
        original(a, b)

    monkeypatch.setattr("os.replace", watch)
    write_files(tmp_path / "new", {"a": b"1", "b": b"2"})
    assert written == [tmp_path / "new"]  # one rename of the folder, no file of its own
    assert {p.name: p.read_bytes() for p in (tmp_path / "new").iterdir()} == {"a": b"1", "b": b"2"}


def test_json_text_names_what_json_cannot_hold():
    assert json.loads(json_text({"a": [float("nan"), -float("inf"), 1.5]})) == {"a": ["nan", "-inf", 1.5]}
