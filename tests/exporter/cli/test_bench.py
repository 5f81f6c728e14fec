"""`sovits-export bench`: what it refuses."""

from click.testing import CliRunner

from sovits_exporter.cli.main import main


def test_a_gpu_is_not_compared_with_pytorch_on_the_cpu(tiny_bundle, demo_files):
    pair = ["--against-eager", str(demo_files.gpt.parent)]
    result = CliRunner().invoke(main, ["bench", str(tiny_bundle), "--device", "cuda", *pair])
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: --against-eager runs PyTorch on the CPU")
    assert "python benchmarks/gpu/report.py BUNDLE --checkpoints FOLDER" in line
