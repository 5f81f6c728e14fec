"""Folders as people have them, made of tiny weight files with the official names, layouts and configs."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.demo import writers
from sovits_runtime.bundle.model_spec import MODEL_SPECS

V1_GPT, V2_GPT = (
    "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt",
    "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
)
BIGVGAN = "models--nvidia--bigvgan_v2_24khz_100band_256x"
SHARED = (
    "chinese-hubert-base/config.json",
    "chinese-hubert-base/preprocessor_config.json",
    "chinese-hubert-base/pytorch_model.bin",
    "chinese-roberta-wwm-ext-large/config.json",
    "chinese-roberta-wwm-ext-large/pytorch_model.bin",
    "chinese-roberta-wwm-ext-large/tokenizer.json",
    "fast_langdetect/lid.176.bin",
)
PRETRAINED = {
    "v1": (V1_GPT, "s2G488k.pth", "s2D488k.pth"),
    "v2": (V2_GPT, "gsv-v2final-pretrained/s2G2333k.pth", "gsv-v2final-pretrained/s2D2333k.pth"),
    "v2Pro": ("s1v3.ckpt", "v2Pro/s2Gv2Pro.pth", "v2Pro/s2Dv2Pro.pth", "sv/pretrained_eres2netv2w24s4ep4.ckpt"),
    "v2ProPlus": (
        "s1v3.ckpt", "v2Pro/s2Gv2ProPlus.pth", "v2Pro/s2Dv2ProPlus.pth", "sv/pretrained_eres2netv2w24s4ep4.ckpt",
    ),
    "v3": ("s1v3.ckpt", "s2Gv3.pth", f"{BIGVGAN}/config.json", f"{BIGVGAN}/bigvgan_generator.pt"),
    "v4": ("s1v3.ckpt", "gsv-v4-pretrained/s2Gv4.pth", "gsv-v4-pretrained/vocoder.pth"),
    "v5dev": ("s1v3.ckpt", "gsv-v5-pretrained/s2Gv5dev.pth", "gsv-v5-pretrained/vocoder.pth"),
    "v5turbo": ("s1v3.ckpt", "gsv-v5-pretrained/s2Gv5turbo.pth", "gsv-v5-pretrained/vocoder.pth"),
}  # fmt: skip
"""Version -> what GPT-SoVITS's pretrained_models holds for it, beside SHARED."""
assert PRETRAINED.keys() == MODEL_SPECS.keys()

GOOD_MORNING = "早上好，今天天气真不错。"


def clip(path: Path, seconds: float = 5.0, level: float = 0.1, noise: float = 1e-4, seed: int = 0) -> Path:
    """A recording like speech: syllables of noise, some silence at both ends."""
    rate = 16000
    random = np.random.default_rng(seed)
    wave = random.standard_normal(round(seconds * rate)) * level
    wave[(np.arange(len(wave)) / rate) % 0.24 > 0.2] *= 0.02
    wave[: rate // 5] = wave[-rate // 5 :] = 0.0
    wave += random.standard_normal(len(wave)) * noise
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    soundfile.write(content, np.clip(wave, -1.0, 1.0), rate, format="WAV")
    path.write_bytes(content.getvalue())
    return path


def write(path: Path, words: str, *, windows: bool = False, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((words.replace("\n", "\r\n") if windows else words).encode(encoding))
    return path


@dataclass(frozen=True)
class Weights:
    """The weight files of a session, one a version; a tree gets hard links to them."""

    folder: Path

    def put(self, version: str, target: Path, *, lora: bool = False) -> Path:
        """Puts a weight file of a version at a place whose suffix says which."""
        kind = "gpt" if target.suffix.lower() == ".ckpt" else "lora" if lora else "sovits"
        source = self.folder / f"{kind}-{version}"
        if not source.exists():
            write_file = {
                "gpt": writers.write_gpt,
                "lora": writers.write_lora,
                "sovits": writers.write_sovits,
            }[kind]
            with (
                pytest.MonkeyPatch.context() as patch
            ):  # zeros do: what is asked is names, shapes and configs
                patch.setattr(writers, "fill", lambda name, shape, seed: np.zeros(shape, np.float32))
                write_file(source, version, tiny=True, seed=0, report=lambda done, total: None)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
        return target

    def pretrained(self, folder: Path, *versions: str) -> Path:
        """The folder pretrained_models; what is not read while voices are looked for is empty."""
        for name in (*SHARED, *(name for version in versions for name in PRETRAINED[version])):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        return folder

    def installed(self, root: Path, *versions: str, windows: bool = False) -> Path:
        """GPT-SoVITS without voices, as the Windows package or as a clone."""
        marks = ("api_v2.py", "config.py", "go-webui.bat", "runtime/python.exe")
        for name in marks if windows else ("api_v2.py", "config.py", "install.sh", ".git/HEAD"):
            write(root / name, "")
        write(root / "GPT_SoVITS" / "configs" / "tts_infer.yaml", "custom:\n  device: cpu\n", windows=windows)
        self.pretrained(root / "GPT_SoVITS" / "pretrained_models", *versions)
        return root

    def experiment(
        self,
        root: Path,
        version: str,
        name: str,
        *,
        lora: bool = False,
        windows: bool = False,
        clips: bool = True,
    ) -> Path:
        """A voice that was trained in an installation: several epochs, and its training clips."""
        suffix = "" if version == "v1" else f"_{version}"
        for epoch in (5, 10, 15):
            self.put(version, root / f"GPT_weights{suffix}" / f"{name}-e{epoch}.ckpt")
        for epoch, step in ((8, 96), (10, 120)):
            rank = "_l32" if lora else ""
            target = root / f"SoVITS_weights{suffix}" / f"{name}_e{epoch}_s{step}{rank}.pth"
            self.put(version, target, lora=lora)
        if clips:
            logs = root / "logs" / name
            lines = [f"{at}.wav\tp h\t[1, 1]\t{GOOD_MORNING}" for at in range(3)]
            write(logs / "2-name2text.txt", "\n".join(lines) + "\n", windows=windows)
            clip(logs / "5-wav32k" / "0.wav", noise=0.02)
            clip(logs / "5-wav32k" / "1.wav")
            clip(logs / "5-wav32k" / "2.wav", seconds=14.0)
            write(logs / "logs_s2" / "G_233333333333.pth", "")
        return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory):
    return Weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def make_clip():
    return clip


@pytest.fixture
def make_text():
    return write


@pytest.fixture
def search():
    """Runs `build --from ... --list --json`; returns the voices by name."""

    def search(path: Path, *options: object) -> dict[str, dict]:
        arguments = ["build", "--from", path, "--list", "--json", *options]
        result = CliRunner().invoke(main, [str(word) for word in arguments])
        assert result.exit_code == 0, result.output
        return {voice["name"]: voice for voice in json.loads(result.stdout)["voices"]}

    return search


@pytest.fixture
def refusal():
    """Runs a command that must fail; returns its exit code and what it said."""

    def refusal(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, [str(word) for word in arguments])
        assert result.exit_code != 0, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stderr

    return refusal
