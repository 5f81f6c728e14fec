"""Text to semantic tokens: the GPT's loop on the host and on a GPU, and its sampling."""
