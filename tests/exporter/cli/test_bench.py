"""`sovits-export bench`: what it refuses."""


def test_a_gpu_is_not_compared_with_pytorch_on_the_cpu(run, tiny_bundle, demo_files):
    pair = ["--against-eager", demo_files.gpt.parent]
    result = run("bench", tiny_bundle, "--device", "cuda", *pair)
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: --against-eager runs PyTorch on the CPU")
    assert "python benchmarks/gpu/report.py BUNDLE --checkpoints FOLDER" in line
