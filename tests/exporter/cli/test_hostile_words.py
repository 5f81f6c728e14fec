"""Words of a stranger's file in what commands print: they are shown, and do nothing to the terminal."""

import json
import logging
import re

import onnx_ir as ir
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.cli.output import LogLine, print_json, printable_values, show_notes
from sovits_runtime.bundle import manifest_digest

EVIL = "\x1b[2J\x9b8m\nerror: all good\r\u202e"
SHOWN = r"\x1b[2J\x9b8m\nerror: all good\r\u202e"


OWN_COLOURS = re.compile(r"\x1b\[(0|3[1-6])m")


@pytest.fixture
def run():
    """As on a terminal, which gets colours."""
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments], color=True)


def is_harmless(text):
    return all(char == "\n" or char.isprintable() for char in OWN_COLOURS.sub("", text))


def change_manifest(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    manifest["digest"] = manifest_digest(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_inspect_shows_the_words_of_a_manifest(run, copied_bundle):
    lines = run("inspect", copied_bundle).output.count("\n")

    def change(manifest):
        manifest["made_by"]["torch"] = EVIL
        manifest["sources"]["gpt"]["info"] = EVIL

    change_manifest(copied_bundle, change)
    for arguments in ((), ("--json",)):
        result = run("inspect", copied_bundle, *arguments)
        assert result.exit_code == 0, result.output
        assert is_harmless(result.output)
    assert json.loads(result.output)["sources"]["gpt"]["info"] == EVIL
    result = run("inspect", copied_bundle)
    assert result.output.count("\n") == lines
    assert result.output.count(SHOWN) == 2


@pytest.mark.parametrize("command", ["inspect", "verify", "doctor", "prepack", "lint"])
def test_a_schema_of_evil_words_is_one_line(run, copied_bundle, command):
    path = copied_bundle / "manifest.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), "schema": EVIL}), encoding="utf-8"
    )
    result = run(command, copied_bundle)
    assert result.exit_code == 1
    assert is_harmless(result.output)
    assert "\nerror: all good" not in result.output


def test_lint_shows_the_names_of_a_graph(run, tmp_path):
    x = ir.val("x", ir.DataType.FLOAT, [1])
    node = ir.Node("", "SequenceConstruct", [x], name=EVIL, outputs=[ir.Value(name=EVIL)])
    graph = ir.Graph([x], node.outputs, nodes=[node], name=EVIL, opset_imports={"": 20})
    path = tmp_path / "a.onnx"
    ir.save(ir.Model(graph, ir_version=10), path)
    result = run("lint", path)
    assert SHOWN in result.output
    assert is_harmless(result.output)


def test_names_of_files_that_no_encoding_has_are_shown(run, tmp_path):
    for arguments in (["inspect", "v\udcff"], ["phones", "--lang", "x\udcff", "a"], ["inspect", f"v{EVIL}"]):
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert "\udcff" not in result.output


def test_values_notes_json_and_logs(capsys):
    assert printable_values({EVIL: [EVIL, 3, None]}) == {SHOWN: [SHOWN, 3, None]}
    show_notes([EVIL])
    print_json({"a": [EVIL, "\udcff"]})
    captured = capsys.readouterr()
    assert captured.err == f"note: {SHOWN}\n"
    assert is_harmless(captured.out)
    assert json.loads(captured.out) == {"a": [EVIL, "\udcff"]}
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "got %s", (EVIL,), None)
    assert LogLine("%(levelname)s: %(message)s").format(record) == f"WARNING: got {SHOWN}"
