"""The key-value cache update as one operator: eager PyTorch here, TensorScatter in the exported graph.

TensorScatter (opset 24) is the form that ONNX Runtime updates in place when input and output are bound to the same
buffer, and that TensorRT turns into its KV-cache update layer.
"""

from __future__ import annotations

import torch


@torch.library.custom_op("sovits::kv_cache_update", mutates_args=())
def kv_cache_update(cache: torch.Tensor, update: torch.Tensor, write_indices: torch.Tensor) -> torch.Tensor:
    """Writes `update` [B, H, n, D] into a copy of `cache` [B, H, S, D] from position `write_indices` [B] on.

    Args:
        cache: Keys or values so far, float.
        update: Keys or values of new positions.
        write_indices: First position to write, int64, one a batch item.

    Returns:
        The updated cache, same shape and dtype as `cache`.
    """
    rows = write_indices[:, None] + torch.arange(update.shape[2], device=cache.device)  # [B, n]
    index = rows[:, None, :, None].expand(update.shape)
    return cache.scatter(2, index, update)


KV_CACHE_UPDATE = torch.ops.sovits.kv_cache_update.default
"""The operator as traces hold it."""


@kv_cache_update.register_fake
def _(cache: torch.Tensor, update: torch.Tensor, write_indices: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(cache)
