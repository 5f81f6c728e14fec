"""The HiFi-GAN decoder on the tiny voice: its stages, one after another, are what `decode` does."""

import numpy as np

from sovits_runtime.speech.decoder import FRAMES_PER_TOKEN


def test_stages_in_their_order_are_the_whole_decoder(voice, reference):
    decoder, rng = voice.decoder, np.random.default_rng(0)
    tokens, phones = rng.integers(0, 1024, 12), np.arange(5, 12)
    shape = decoder.noise_shape(len(tokens), 1.0)
    assert shape == (1, decoder.latent_channels, FRAMES_PER_TOKEN * len(tokens))
    noise = rng.standard_normal(shape).astype(np.float32)
    arrays = {"tokens": tokens, "phones": phones, "style": reference.style, "noise": noise}
    for stage in decoder.stages:
        assert list(stage.recorded_calls(arrays)) == [(stage.name, arrays)]
        arrays = {**arrays, **stage.run(arrays)}
    expected = decoder.decode(tokens, phones, style=reference.style, noise=noise)
    np.testing.assert_array_equal(arrays["waveform"], expected)
