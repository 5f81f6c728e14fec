"""`sovits-export demo-checkpoint`."""


def test_it_writes_what_build_takes(run, tmp_path):
    result = run("demo-checkpoint", tmp_path / "demo", "--tiny")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "demo" / "demo-gpt.ckpt").is_file()
    assert (tmp_path / "demo" / "chinese-hubert-base" / "config.json").is_file()
