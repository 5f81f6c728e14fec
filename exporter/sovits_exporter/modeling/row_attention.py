"""Unmasked multi-head attention over rows [n, width], written as plain matrix products.

The ONNX Attention operator would be shorter, but TensorRT builds it only where a fused kernel exists, and
fp32 with more than one query has none; matrix products and a softmax build everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attend_rows(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """Attends all rows to all rows.

    Args:
        query: Projected queries, float [n, width].
        key: Projected keys, same shape.
        value: Projected values, same shape.
        heads: Number of heads; divides the width.

    Returns:
        The heads joined again, [n, width].
    """
    head_dim = query.shape[-1] // heads
    q = (query * head_dim**-0.5).view(1, -1, heads, head_dim).transpose(1, 2)
    k = key.view(1, -1, heads, head_dim).permute(0, 2, 3, 1)
    v = value.view(1, -1, heads, head_dim).transpose(1, 2)
    attended = torch.softmax(q @ k, dim=-1) @ v
    return attended.transpose(1, 2).reshape(-1, heads * head_dim)
