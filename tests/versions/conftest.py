"""The chain of each version that a file names in `VERSIONS`; of full size where it says `TINY = False`."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("every_version")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chain" in metafunc.fixturenames:
        metafunc.parametrize("chain", metafunc.module.VERSIONS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def chain(request: pytest.FixtureRequest, folder):
    from every_version import make_chain

    return make_chain(request.param, folder, tiny=getattr(request.module, "TINY", True))
