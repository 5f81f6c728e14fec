"""`sovits-export inspect`."""

import json


def test_it_shows_what_is_inside(run, tiny_bundle):
    text = run("inspect", tiny_bundle)
    assert text.exit_code == 0, text.output
    for word in ("v2", "32000 Hz", "gpt_step", "hubert-", "demo-sovits.pth", "passed"):
        assert word in text.output
    assert json.loads(run("inspect", tiny_bundle, "--json").output)["model"]["version"] == "v2"
