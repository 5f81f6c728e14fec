"""Names of a bundle's graphs, and of the precisions that they can have."""

from __future__ import annotations

PREFILL, STEP = "gpt_prefill", "gpt_step"
HUBERT, BERT, SPEAKER = "hubert", "bert", "speaker"
PROMPT_TOKENS, REFERENCE_STYLE = "prompt_tokens", "reference_style"
SOVITS_ENCODER, SOVITS_FLOW, SOVITS_VOCODER = "sovits_encoder", "sovits_flow", "sovits_vocoder"
CFM_FEATURES, CFM_CONDITION, CFM_STEP, MEL_VOCODER = (
    "cfm_features", "cfm_condition", "cfm_step", "mel_vocoder",
)  # fmt: skip

VOCODERS = frozenset({SOVITS_VOCODER, MEL_VOCODER})
"""Graphs whose output is sound."""

FP32, FP16, INT8, INT4 = "fp32", "fp16", "int8", "int4"
CPU_PRECISIONS = frozenset({INT8, INT4})
"""Those whose operators only ONNX Runtime's CPU has."""
