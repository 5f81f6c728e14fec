"""The formats that sound is sent in: what each is called, which sample rates it knows, and what writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sovits_server.problems import BadRequestError

PCM_RATE = 24000
"""What clients of OpenAI take for granted of `pcm`, in Hz."""
MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES = (*MPEG_RATES, 64000, 88200, 96000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)

Samples = Literal["float", "int16"]


@dataclass(frozen=True, kw_only=True)
class AvForm:
    """How PyAV writes a format.

    Attributes:
        codec: FFmpeg's name of the encoder.
        container: FFmpeg's name of the muxer.
        samples: What the encoder is given.
        codec_options: Of the encoder.
        stream_options: Of the muxer, where the length is not known.
        whole_options: Of the muxer, where it can go back and write the length.
    """

    codec: str
    container: str
    samples: Samples = "float"
    codec_options: dict[str, str] = field(default_factory=dict)
    stream_options: dict[str, str] = field(default_factory=dict)
    whole_options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SoundfileForm:
    """How libsndfile writes a format.

    Attributes:
        container: Its name of the format.
        subtype: Its name of the encoding.
        appends: Whether it only ever adds at the end, so that the beginning can be sent before the end is made.
    """

    container: str
    subtype: str
    appends: bool


@dataclass(frozen=True, kw_only=True)
class SoundFormat:
    """A format.

    Attributes:
        name: As clients write it.
        media_type: Of HTTP.
        rates: Sample rates that it knows, in Hz, rising; none: any.
        av: How PyAV writes it; None: it does not.
        soundfile: How libsndfile writes it; None: it does not.
    """

    name: str
    media_type: str
    rates: tuple[int, ...] = ()
    av: AvForm | None = None
    soundfile: SoundfileForm | None = None

    @property
    def plain(self) -> bool:
        """Whether it is samples as they are, for which no library is needed."""
        return self.av is None and self.soundfile is None

    def rate(self, sample_rate: int) -> int:
        """The lowest rate of the format that loses nothing of `sample_rate`, else its highest."""
        if not self.rates or sample_rate in self.rates:
            return sample_rate
        return next((rate for rate in self.rates if rate > sample_rate), self.rates[-1])


_NO_ID3 = {"id3v2_version": "0"}
FORMATS = {
    format.name: format
    for format in (
        SoundFormat(
            name="mp3",
            media_type="audio/mpeg",
            rates=MPEG_RATES,
            # A wrong Xing header ends the sound early on iOS, so a stream has none; a whole file has a right one.
            av=AvForm(
                codec="libmp3lame",
                container="mp3",
                codec_options={"b": "128k"},
                stream_options={**_NO_ID3, "write_xing": "0"},
                whole_options=_NO_ID3,
            ),
            soundfile=SoundfileForm(container="MP3", subtype="MPEG_LAYER_III", appends=False),
        ),
        SoundFormat(
            name="opus",
            media_type="audio/ogg; codecs=opus",
            rates=OPUS_RATES,
            av=AvForm(
                codec="libopus",
                container="ogg",
                codec_options={"b": "64k"},
                stream_options={"page_duration": "60000"},
            ),
            soundfile=SoundfileForm(container="OGG", subtype="OPUS", appends=True),
        ),
        SoundFormat(
            name="aac",
            media_type="audio/aac",
            rates=AAC_RATES,
            av=AvForm(codec="aac", container="adts", codec_options={"b": "128k"}),
        ),
        SoundFormat(
            name="flac",
            media_type="audio/flac",
            av=AvForm(codec="flac", container="flac", samples="int16"),
            soundfile=SoundfileForm(container="FLAC", subtype="PCM_16", appends=False),
        ),
        # FFmpeg's own Vorbis is an experiment; libsndfile brings the real one.
        SoundFormat(
            name="ogg",
            media_type="audio/ogg",
            soundfile=SoundfileForm(container="OGG", subtype="VORBIS", appends=True),
        ),
        SoundFormat(name="wav", media_type="audio/wav"),
        SoundFormat(name="pcm", media_type="audio/pcm"),
        SoundFormat(name="raw", media_type="audio/raw"),
    )
}
"""Name -> format."""


def find_format(name: str) -> SoundFormat:
    """Returns a format by its name.

    Raises:
        BadRequestError: There is no such format.
    """
    found = FORMATS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise BadRequestError(f"format: got {str(name)[:40]!r}, expected one of {', '.join(FORMATS)}")
    return found
