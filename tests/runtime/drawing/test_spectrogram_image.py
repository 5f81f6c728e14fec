from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from sovits_runtime.audio import Audio
from sovits_runtime.audio.spectrogram import mel_from_hz
from sovits_runtime.drawing.bar_chart import nice_ticks
from sovits_runtime.drawing.spectrogram_image import (
    bar_chart_svg,
    colour_map,
    png_bytes,
    spectrogram_png,
    spectrogram_svg,
)
from sovits_runtime.drawing.stroke_font import text_coverage, text_width
from sovits_runtime.errors import AudioError, ShapeError

SVG = "{http://www.w3.org/2000/svg}"


def decoded(content: bytes) -> tuple[np.ndarray, int]:
    """Reads a PNG without row filters; returns its pixels and its colour type."""
    file = io.BytesIO(content)
    assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    while head := file.read(8):
        size, kind = struct.unpack(">I4s", head)
        chunks[kind] = file.read(size)
        assert struct.unpack(">I", file.read(4))[0] == zlib.crc32(kind + chunks[kind])
    assert next(iter(chunks)) == b"IHDR"
    assert list(chunks)[-1] == b"IEND"
    width, height, depth, colour_type, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    if colour_type == 3:
        return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]], colour_type
    return rows[:, 1:].reshape(height, width, 3), colour_type


def tone(hz: float, seconds: float = 1.0, rate: int = 32000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def levels(pixels: np.ndarray) -> np.ndarray:
    """Turns the colours of a spectrogram back into steps of the colour map."""
    index = {tuple(colour): step for step, colour in enumerate(colour_map().tolist())}
    return np.array([[index[tuple(pixel)] for pixel in row] for row in pixels.tolist()])


def plot_of(content: bytes) -> np.ndarray:
    """Levels of the plot of a PNG made with width 400, height 244, scale 1."""
    pixels, _ = decoded(content)
    assert pixels.shape == (244, 400, 3)
    return levels(pixels[12:212, 62:308])


@pytest.mark.parametrize(
    ("shape", "top", "colour_type"), [((1, 1), 255, 3), ((7, 9), 2, 3), ((40, 50), 255, 2)]
)
def test_png_holds_every_pixel(shape, top, colour_type):
    rgb = np.random.default_rng(0).integers(0, top, (*shape, 3), np.uint8, endpoint=True)
    pixels, got_type = decoded(png_bytes(rgb))
    assert got_type == colour_type
    np.testing.assert_array_equal(pixels, rgb)


@pytest.mark.parametrize(
    "rgb", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_png_refuses_what_is_no_picture(rgb):
    with pytest.raises(ShapeError, match=r"expected \[height, width, 3\] uint8"):
        png_bytes(rgb)


def test_colours_rise_evenly_in_lightness():
    coded = colour_map() / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    cones = (
        linear
        @ np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        ).T
    )
    lightness = np.cbrt(cones) @ np.array([0.2104542553, 0.7936177850, -0.0040720468])
    assert np.all(np.diff(lightness) > 0)
    even = np.linspace(lightness[0], lightness[-1], len(lightness))
    np.testing.assert_allclose(lightness, even, atol=0.01)
    assert len(np.unique(colour_map(), axis=0)) == len(colour_map())


def test_spectrogram_shows_tones_at_their_time_and_pitch():
    audio = Audio(np.concatenate([tone(1000), tone(4000)]), 32000)
    plot = plot_of(spectrogram_png(audio, width=400, height=244, scale=1))
    mels = mel_from_hz(np.array([1000.0, 4000.0, 16000.0]))
    rows = 200 * (1 - mels[:2] / mels[2])
    assert abs(plot[:, 60].argmax() - rows[0]) < 2
    assert abs(plot[:, 190].argmax() - rows[1]) < 2
    top = len(colour_map()) - 1
    assert plot.max() == top
    # Away from the tone, and from the click at the joint, nothing is heard.
    assert plot[10:40, 60].max() == 0
    assert plot[150:, 190].max() == 0


def test_levels_span_70_db():
    audio = Audio(np.concatenate([tone(1000), tone(1000) * np.float32(10 ** (-35 / 20))]), 32000)
    plot = plot_of(spectrogram_png(audio, width=400, height=244, scale=1))
    top = len(colour_map()) - 1
    assert abs(int(plot[:, 190].max()) - top / 2) <= 2


@pytest.mark.parametrize("count", [1, 100, 32000])
def test_silence_and_short_audio_can_be_drawn(count):
    plot = plot_of(spectrogram_png(Audio(np.zeros(count, np.float32), 32000), width=400, height=244, scale=1))
    assert plot.max() == 0


def test_png_has_the_asked_size_and_a_palette():
    noise = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    pixels, colour_type = decoded(spectrogram_png(Audio(noise, 24000), width=300, height=150, scale=2))
    assert pixels.shape == (300, 600, 3)
    assert colour_type == 3
    # Dark ink of labels left of the plot, below it, and right of the bar of levels.
    for area in (pixels[:, :100], pixels[250:, 124:400], pixels[:, 500:]):
        assert (area.sum(axis=2) < 300).any()


def test_svg_spectrogram_is_labelled_and_holds_the_picture():
    audio = Audio(tone(1000, 2.5), 32000)
    root = ElementTree.fromstring(spectrogram_svg(audio, title="<a> & b", width=500, height=250))
    assert (root.get("width"), root.get("height")) == ("500", "280")
    assert root.find(f"{SVG}title").text == "<a> & b"
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "<a> & b"
    for wanted in ("0 s", "1 s", "2 s", "0 Hz", "1 kHz", "16 kHz", "0 dB", "−70 dB"):
        assert wanted in texts
    plot, bar = root.iter(f"{SVG}image")
    pixels, _ = decoded(base64.b64decode(plot.get("href").removeprefix("data:image/png;base64,")))
    assert pixels.shape == (int(plot.get("height")), int(plot.get("width")), 3)
    assert int(bar.get("x")) > int(plot.get("x")) + int(plot.get("width"))
    # The pitch of a label is the pitch of the picture: the tone's brightest row is level with "1 kHz".
    label = next(text for text in root.iter(f"{SVG}text") if text.text == "1 kHz")
    row = levels(pixels)[:, 100].argmax() + 0.5 + int(plot.get("y"))
    assert abs(float(label.get("y")) - row) < 2


@pytest.mark.parametrize("draw", [spectrogram_png, spectrogram_svg])
def test_spectrogram_refuses_what_cannot_be_drawn(draw):
    with pytest.raises(AudioError, match="without samples"):
        draw(Audio(np.zeros(0, np.float32), 32000))
    with pytest.raises(ShapeError, match="100 x 320"):
        draw(Audio(tone(1000), 32000), width=100)


def test_every_glyph_looks_different():
    drawn = {char: text_coverage(char, 18) for char in "0123456789-.kHzsdB"}
    for char, ink in drawn.items():
        assert ink.max() == 1.0, char
        assert not ink[:, 0].any(), char
        assert not ink[0].any(), char
    shapes = {ink.tobytes() for ink in drawn.values()}
    assert len(shapes) == len(drawn)
    narrow = text_coverage("1", 7.3)
    assert not narrow[-1].any()
    assert text_width("10 kHz", 9) > text_width("1 kHz", 9)
    with pytest.raises(ShapeError, match="'é'"):
        text_coverage("é", 9)


@pytest.mark.parametrize(
    ("top", "count", "expected"),
    [
        (5.3, 10, [0, 1, 2, 3, 4, 5]),
        (0.4, 3, [0, 0.2, 0.4]),
        (2931, 4, [0, 1000, 2000]),
        (1.0, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (7e-4, 2, [0, 5e-4]),
    ],
)
def test_ticks_are_round(top, count, expected):
    assert nice_ticks(top, count) == expected


def bars_of(svg: str) -> list[tuple[str, float]]:
    """Colour and length of each bar."""
    paths = [path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("fill")]
    found = [
        (path.get("fill"), re.match(r"M[\d.]+ [\d.]+h([\d.]+)a([\d.]+)", path.get("d"))) for path in paths
    ]
    return [(fill, float(match[1]) + float(match[2])) for fill, match in found]


def test_bars_are_as_long_as_their_values():
    svg = bar_chart_svg(
        "T <1>",
        [("a & b", (100.0, 50.0)), ("c", (25.0, None)), ("d", (0.0, 75))],
        series=["x", "y"],
        unit="ms",
    )
    (grey, longest), *rest = bars_of(svg)
    blue = rest[0][0]
    assert [fill for fill, _ in rest] == [blue, grey, blue]
    np.testing.assert_allclose([length / longest for _, length in rest], [0.5, 0.25, 0.75], atol=1e-3)
    texts = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    for wanted in (
        "T <1>",
        "a & b",
        "x",
        "y",
        "100",
        "50.0",
        "25.0",
        "0",
        "not measured",
        "ms, lower is better",
    ):
        assert wanted in texts


@pytest.mark.parametrize(("higher", "expected"), [(False, ["4.00×", "0.80×"]), (True, ["0.25×", "1.25×"])])
def test_ratio_says_how_many_times_better(higher, expected):
    groups = [("a", (100.0, 25.0)), ("b", (8.0, 10.0)), ("c", (None, 1.0)), ("d", (1.0, 0.0))]
    svg = bar_chart_svg(
        "T", groups, series=["x", "y"], unit="ms", ratio="speed-up", note="n", higher_is_better=higher
    )
    texts = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert [text for text in texts if text.endswith("×")] == expected
    assert {"speed-up", "n"} <= set(texts)


def test_everything_lies_inside_the_chart():
    groups = [
        ("a very long name of a stage that goes on and on and on", (1e6, 0.00123)),
        ("b", (3.0, 12345.6)),
    ]
    root = ElementTree.fromstring(
        bar_chart_svg("T", groups, series=["x", "y"], unit="s", ratio="r", width=600)
    )
    height = float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= 600
        assert 0 < float(text.get("y")) < height
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"1,000,000", "0.00123", "12,346"} <= set(texts)


@pytest.mark.parametrize(
    ("groups", "series", "ratio", "message"),
    [
        ([], ["x"], "", "0 groups"),
        ([("a", (1.0,))], [], "", "0 series"),
        ([("a", (1.0,) * 5)], list("vwxyz"), "", "5 series"),
        ([("a", (1.0,))], ["x", "y"], "", "'a'.*expected 2"),
        ([("a", (1.0, -2.0))], ["x", "y"], "", "-2.0"),
        ([("a", (1.0, float("nan")))], ["x", "y"], "", "nan"),
        ([("a", (1.0,))], ["x"], "speed-up", "one series"),
    ],
)
def test_bar_chart_refuses_what_it_cannot_show(groups, series, ratio, message):
    with pytest.raises(ShapeError, match=message):
        bar_chart_svg("T", groups, series=series, unit="ms", ratio=ratio)
