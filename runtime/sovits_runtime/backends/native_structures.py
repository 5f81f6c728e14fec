"""Structures of `native/c/gpt_step.h` as ctypes has them; loading the kernels compares their sizes."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p


class CLinear(Structure):
    """`sovits_linear`."""

    _fields_ = [
        ("form", c_int32),
        ("n", c_int32),
        ("k", c_int32),
        ("unused", c_int32),
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("sum", c_void_p),
    ]


class CLayer(Structure):
    """`sovits_layer`."""

    _fields_ = [
        *((name, CLinear) for name in ("qkv", "out", "up", "down")),
        *((name, c_void_p) for name in ("norm1_weight", "norm1_bias", "norm2_weight", "norm2_bias")),
    ]


class CGpt(Structure):
    """`sovits_gpt`."""

    _fields_ = [
        *((name, c_int32) for name in ("width", "heads", "layers", "vocab", "eos", "cache_form")),
        ("layer", POINTER(CLayer)),
        ("head", CLinear),
        ("embedding", c_void_p),
        ("frequency", c_void_p),
        ("position_scale", c_float),
        ("epsilon", c_float),
    ]


INPUTS = (
    "token",
    "text_len",
    "prompt_len",
    "step",
    "top_k",
    "min_tokens",
    "seen",
    "noise",
    "top_p",
    "temperature",
    "repetition_penalty",
)
OUTPUTS = ("next_token", "stop", "next_seen", "logits")


class CRequest(Structure):
    """`sovits_request`."""

    _fields_ = [
        *((name, c_void_p) for name in INPUTS),
        ("cache", POINTER(c_void_p)),
        ("capacity", c_int64),
        *((name, c_void_p) for name in OUTPUTS),
    ]


class CPrompt(Structure):
    """`sovits_prompt`."""

    _fields_ = [
        ("rows", c_int64),
        ("embedded", c_void_p),
        ("bert", c_void_p),
        ("bert_projection", POINTER(CLinear)),
    ]


class CConv(Structure):
    """`sovits_conv`."""

    _fields_ = [
        *((name, c_int32) for name in ("form", "inputs", "outputs", "kernel", "dilation", "rate")),
        ("weight", c_void_p),
        ("bias", c_void_p),
    ]


class CVocoder(Structure):
    """`sovits_vocoder`."""

    _fields_ = [
        *((name, c_int32) for name in ("stages", "blocks", "pairs", "unused")),
        ("slope", c_float),
        ("last_slope", c_float),
        *((name, CConv) for name in ("pre", "condition", "post")),
        ("up", POINTER(CConv)),
        ("convs", POINTER(CConv)),
    ]


STRUCTURES = (CLinear, CLayer, CGpt, CRequest, CPrompt, CConv, CVocoder)
"""In the order of `sovits_struct_sizes`."""
