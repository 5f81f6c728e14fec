"""The file for KubeRay."""

from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@pytest.fixture(scope="session")
def service():
    return yaml.safe_load((DEPLOY / "rayservice.yaml").read_text(encoding="utf-8"))
