"""Compiled kernels of TensorRT for RTX are kept from one start to the next, and a bad place for them does no harm."""

from __future__ import annotations

from types import SimpleNamespace

from sovits_runtime.backends.trt_engine import TrtRuntime
from sovits_runtime.gpu.kernel_cache import keep_code, read_code


class KernelCache:
    def __init__(self) -> None:
        self.content = b"none"

    def deserialize(self, blob: bytes) -> bool:
        self.content = blob
        return blob.startswith(b"kernels")

    def serialize(self) -> bytes:
        return b"kernels 2"


class Config:
    strategy = cache = None

    def set_execution_context_allocation_strategy(self, strategy) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> KernelCache:
        return KernelCache()

    def set_runtime_cache(self, cache) -> None:
        self.cache = cache


def runtime(flavour: str, kernels) -> TrtRuntime:
    module = SimpleNamespace(ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"))
    api = SimpleNamespace(
        flavour=flavour, module=module, log_collector=lambda: None, runtime=lambda logger: None
    )
    return TrtRuntime(api, kernels)


ENGINE = SimpleNamespace(create_runtime_config=Config, create_execution_context=lambda how: how)


def test_kernels_are_read_written_and_shared_by_contexts(tmp_path):
    file = tmp_path / "kernels.cache"
    keep_code(file, b"kernels 1")
    rtx = runtime("rtx", file)
    first, second = rtx.context(ENGINE), rtx.context(ENGINE)
    assert first.strategy == "ours"
    assert first.cache is second.cache
    assert first.cache.content == b"kernels 1"
    rtx.save_kernels()
    assert read_code(file) == b"kernels 2"
    assert [p.name for p in tmp_path.iterdir()] == ["kernels.cache"]


def test_damaged_kernels_are_compiled_anew(tmp_path):
    file = tmp_path / "kernels.cache"
    keep_code(file, b"kernels 1")
    file.write_bytes(file.read_bytes()[:-1] + b"2")
    assert runtime("rtx", file).context(ENGINE).cache.content == b"none"


def test_enterprise_has_no_such_file(tmp_path):
    enterprise = runtime("trt", tmp_path / "kernels.cache")
    assert enterprise.context(ENGINE) == "ours"
    enterprise.save_kernels()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_does_no_harm(tmp_path, caplog):
    (tmp_path / "file").touch()
    rtx = runtime("rtx", tmp_path / "file" / "kernels.cache")
    assert rtx.context(ENGINE).cache.content == b"none"
    rtx.save_kernels()
    assert "compiled code is not kept" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
