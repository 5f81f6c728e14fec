"""The example of the server: its arguments become settings of a server that can speak."""

import runpy
import sys
from pathlib import Path

SERVE = Path(__file__).parents[2] / "examples" / "serve.py"


def test_its_arguments_become_settings(tiny_bundle, demo_files, monkeypatch):
    started = []
    monkeypatch.setattr("sovits_server.run.start.serve", lambda config, say: started.append(config))
    monkeypatch.setattr(
        sys, "argv", ["serve.py", str(tiny_bundle), str(demo_files.reference_wav), "What is said."]
    )
    runpy.run_path(str(SERVE), run_name="__main__")
    assert started[0].bundles == (tiny_bundle,)
    assert started[0].ref_text == "What is said."
