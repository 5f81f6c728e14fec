"""What is told of this machine and of this project."""

from __future__ import annotations

import importlib.metadata

from sovits_runtime.machine import own_version


def test_a_source_tree_that_is_not_installed_has_a_version(monkeypatch):
    assert own_version() == importlib.metadata.version("sovits-export")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert own_version() == "source"
