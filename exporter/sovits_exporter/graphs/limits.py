"""The largest sizes that graphs are made for; engines get their profiles from them."""

from sovits_runtime.bundle.model_spec import ModelSpec

MAX_PHONES = 1024
MAX_TOKENS = ModelSpec.max_tokens
MAX_PROMPT = 300
MAX_BATCH = 16
MAX_CACHE = 4096
MAX_REFERENCE_SAMPLES = 320_000  # 10 s at 32 kHz
