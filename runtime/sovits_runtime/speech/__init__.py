"""From phones, tokens and noise to sound: decoders, references, chunks, and text as phrases."""
