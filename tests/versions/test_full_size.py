"""Engines of v5turbo in full size, for GPUs that are not here: the largest graphs of any version. Slow."""

import pytest
from every_version import test_lint_and_engines  # noqa: F401 - a test

VERSIONS = ("v5turbo",)
TINY = False
pytestmark = pytest.mark.slow
