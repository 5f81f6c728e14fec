import pickle
from pathlib import Path
import pytest

S = Path("/tmp/n/s2-scratch/tiny")


@pytest.fixture(scope="session")
def demo_files():
    return pickle.load(open(S / "demo.pickle", "rb"))


@pytest.fixture(scope="session")
def tiny_bundle():
    return S / "bundles/voice"
