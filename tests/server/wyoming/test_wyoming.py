"""Home Assistant's protocol by its own client: voices, whole texts, texts as they are written, hostile bytes."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("wyoming")
pytest.importorskip("starlette")

from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)

from sovits_server.app import Server
from sovits_server.config import load_config
from sovits_server.problems import ConfigError
from sovits_server.voices import Voice, VoiceReference, write_profile
from sovits_server.wyoming import check_wyoming
from sovits_server.wyoming.server import MOST_CONNECTIONS, SERVICE, wyoming_server

RATE = 32000


@pytest.fixture(scope="module")
def voices(folder: Path, tiny_bundle, demo_files):
    phones = tuple(json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"])
    reference = VoiceReference(name="default", path=Path(demo_files.reference_wav), phones=phones)
    happy = VoiceReference(name="glad", path=reference.path, phones=phones, emotion="happy")
    for voice in (
        Voice(name="Alice", bundle=tiny_bundle, references=(reference, happy), language="en"),
        Voice(name="小明", bundle=tiny_bundle, references=(reference,), language="zh"),
        Voice(name="Zoe", bundle=tiny_bundle, references=(reference,)),
    ):
        write_profile(voice, folder / f"{voice.name}.toml")
    return folder


def settings(voices, **more):
    flags = {"voices": voices, "default_voice": "Alice", "threads": 1, "max_seconds": 0.4, "cache_mb": 0}
    return load_config({**flags, **more}, environment={})


@asynccontextmanager
async def serving(voices, **more):
    server = Server(settings(voices, **more))
    try:
        async with wyoming_server(server.floor, host="127.0.0.1", port=0) as port:
            yield server, port
            assert server.desk.admission.total == 0
    finally:
        await server.desk.close()


async def heard(client, last):
    """Events up to one of the type `last`."""
    events = []
    while True:
        event = await asyncio.wait_for(client.read_event(), 120)
        assert event is not None, f"hung up after {[e.type for e in events]}"
        assert event.type != "error", event.data
        events.append(event)
        if event.type == last:
            return events


def sound(events):
    chunks = [event for event in events if event.type == "audio-chunk"]
    assert {(e.data["rate"], e.data["width"], e.data["channels"]) for e in chunks} == {(RATE, 2, 1)}
    return np.frombuffer(b"".join(event.payload for event in chunks), "<i2")


def test_describe_offers_every_voice_in_its_language(voices):
    async def ask():
        async with serving(voices) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            return Info.from_event(await client.read_event())

    (program,) = asyncio.run(ask()).tts
    assert program.supports_synthesize_streaming
    assert program.installed
    assert {voice.name: voice.languages for voice in program.voices} == {
        "Alice": ["en"],
        "Zoe": ["en", "zh", "ja", "ko", "yue"],
        "小明": ["zh"],
    }
    alice = program.voices[0]
    assert alice.description == "Alice"
    assert [speaker.name for speaker in alice.speakers] == ["happy"]


def test_a_new_voice_appears_by_itself(voices, tmp_path):
    async def ask():
        async with serving(voices) as (server, port), AsyncTcpClient("127.0.0.1", port) as client:
            server.store.add(Voice(name="New", bundle=server.store.get("zoe").bundle))
            try:
                await client.write_event(Describe().event())
                return Info.from_event(await client.read_event())
            finally:
                server.store.remove("New")

    assert "New" in [voice.name for voice in asyncio.run(ask()).tts[0].voices]


def test_a_text_is_spoken_as_start_chunks_and_stop(voices):
    async def ask():
        async with serving(voices) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            answers = []
            for voice in (
                SynthesizeVoice(name="alice", speaker="happy"),
                SynthesizeVoice(language="en"),
                None,
            ):
                await client.write_event(Synthesize(text="Good morning.", voice=voice).event())
                answers.append(await heard(client, "audio-stop"))
            return answers

    for events in asyncio.run(ask()):
        assert [event.type for event in events[:2]] == ["audio-start", "audio-chunk"]
        assert {event.type for event in events[1:-1]} == {"audio-chunk"}
        assert len(sound(events)) == round(0.4 * RATE)
        assert all(len(event.payload) <= 4096 for event in events[1:-1])
        assert events[-1].data["timestamp"] == 400
        assert np.abs(sound(events)).max() > 0


def test_text_that_is_being_written_is_spoken_sentence_by_sentence(voices):
    """The first sentence sounds before the second is there; the text repeated for older servers is not spoken."""

    async def ask():
        async with serving(voices) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(SynthesizeStart(voice=SynthesizeVoice(name="Alice")).event())
            for text in ("Good mor", "ning. And "):
                await client.write_event(SynthesizeChunk(text=text).event())
            first = await heard(client, "audio-stop")
            await client.write_event(SynthesizeChunk(text="good night.").event())
            await client.write_event(Synthesize(text="Good morning. And good night.").event())
            await client.write_event(SynthesizeStop().event())
            rest = await heard(client, "synthesize-stopped")
            await client.write_event(Ping(text="still there?").event())
            return first, rest, Pong.from_event(await client.read_event())

    first, rest, pong = asyncio.run(ask())
    assert [event.type for event in first].count("audio-start") == 1
    assert [event.type for event in rest].count("audio-start") == 1
    assert len(sound(first)) == len(sound(rest)) == round(0.4 * RATE)
    assert pong.text == "still there?"


def test_ssml_that_comes_in_pieces_is_one_text(voices):
    async def ask():
        async with serving(voices) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(SynthesizeStart().event())
            for text in (" <speak>Good. ", '<break time="1s"/>', "Night.</speak>"):
                await client.write_event(SynthesizeChunk(text=text).event())
            await client.write_event(SynthesizeStop().event())
            return await heard(client, "synthesize-stopped")

    events = asyncio.run(ask())
    assert [event.type for event in events].count("audio-start") == 1
    assert len(sound(events)) >= RATE * 1.8


def test_requests_of_one_connection_come_in_order_and_those_of_others_beside(voices):
    async def one(port, count):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for _ in range(count):
                await client.write_event(Synthesize(text="Good morning.").event())
            return [sound(await heard(client, "audio-stop")).tobytes() for _ in range(count)]

    async def ask():
        async with serving(voices) as (_, port):
            return await asyncio.gather(one(port, 3), one(port, 2))

    mine, others = asyncio.run(ask())
    assert len({*mine, *others}) == 1


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Synthesize(text="Hi.", voice=SynthesizeVoice(name="nobody")).event(), "there is no voice 'nobody'"),
        (
            Synthesize(text="Hi.", voice=SynthesizeVoice(name="Alice", speaker="sad")).event(),
            "expected one of",
        ),
        (Synthesize(text="Hi.", voice=SynthesizeVoice(language="klingon")).event(), "expected a language"),
        (Synthesize(text=" ").event(), "nothing to say"),
        (Synthesize(text="<speak><audio/></speak>").event(), "SSML: got <audio>"),
        (Synthesize(text="a" * 3000).event(), "expected at most 2000 characters"),
        (Event("synthesize", {}), "text: got None, expected text"),
        (Event("synthesize", {"text": ["a"]}), "expected text"),
        (Event("synthesize", {"text": "a", "voice": "Alice"}), "expected an object"),
        (Event("synthesize", {"text": "a", "voice": {"name": 3}}), "name: got 3, expected text"),
    ],
)
def test_what_makes_no_sense_is_answered_and_ends_the_connection(event, said, voices):
    async def ask():
        async with serving(voices, max_text=2000) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(event)
            answer = await asyncio.wait_for(client.read_event(), 60)
            return answer, await asyncio.wait_for(client.read_event(), 60)

    answer, after = asyncio.run(ask())
    assert answer.type == "error"
    assert said in answer.data["text"]
    assert after is None


def line(**fields):
    return json.dumps(fields).encode() + b"\n"


KINDS = [
    "synthesize",
    "synthesize-start",
    "synthesize-chunk",
    "synthesize-stop",
    "describe",
    "ping",
    "x",
    None,
    3,
]
VALUES = [None, 1, -1, 1e400, "text", [], {}, {"name": []}, {"language": "xx"}, True, "\ud800", "<speak>" * 9]
LENGTHS = [10**18, 2**31, 2**20 + 1, -5, "9", True, [1], 1e9]


def hostile(rng):
    """Bytes of a stranger's: broken JSON, huge announcements, wrong kinds, noise."""
    data = {name: rng.choice(VALUES) for name in ("text", "voice", "context") if rng.random() < 0.7}
    return rng.choice(
        [
            rng.randbytes(rng.randrange(1, 400)) + b"\n",
            b"[" * rng.randrange(1, 60000) + b"\n",
            line(type="synthesize", data_length=rng.choice(LENGTHS)),
            line(type="describe", payload_length=rng.choice(LENGTHS)),
            b"x" * rng.choice([65535, 65537, 200_000]) + b"\n",
            b'{"type": "synthesize", "data_length": 500}\n{"text',  # and no more
            line(type=rng.choice(KINDS), data=data),
            line(type=rng.choice(KINDS), data=rng.choice(VALUES)),
        ]
    )


ANSWERS = {"error", "info", "pong", "audio-start", "synthesize-stopped"}


def test_hostile_bytes_get_an_error_or_a_hang_up_and_then_speech_works(voices):
    async def attack(port, seed):
        rng = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            writer.write(b"".join(hostile(rng) for _ in range(rng.randrange(1, 4))))
            await writer.drain()
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 60)
            first = answer.partition(b"\n")[0]
            assert not first or json.loads(first)["type"] in ANSWERS
        writer.close()

    async def ask():
        async with serving(voices) as (server, port):
            for start in range(0, 300, 20):
                await asyncio.gather(*(attack(port, seed) for seed in range(start, start + 20)))
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Synthesize(text="Good morning.").event())
                events = await heard(client, "audio-stop")
            assert server.desk.engine.stats().running == 0
            return events

    assert len(sound(asyncio.run(ask()))) == round(0.4 * RATE)


def test_a_client_that_hangs_up_stops_what_is_spoken(voices):
    async def ask():
        async with serving(voices, max_seconds=None) as (server, port):
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Synthesize(text="Good morning, and so on. " * 50).event())
                assert (await asyncio.wait_for(client.read_event(), 120)).type == "audio-start"
            while server.desk.admission.total or server.desk.engine.stats().running:
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(ask(), 120))


async def ask_for_ever(writer):
    while True:
        writer.write(line(type="describe") * 100)
        await asyncio.wait_for(writer.drain(), 30)
        await asyncio.sleep(0)


def test_a_client_that_takes_nothing_is_cut_off(voices):
    async def ask():
        async with serving(voices, stall_s=0.5) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            reader._transport.pause_reading()
            with pytest.raises(ConnectionError):
                await ask_for_ever(writer)
            writer.transport.abort()

    asyncio.run(ask())


def test_connections_have_a_limit(voices):
    async def ask():
        async with serving(voices) as (_, port):
            clients = [AsyncTcpClient("127.0.0.1", port) for _ in range(MOST_CONNECTIONS + 1)]
            for client in clients:
                await client.connect()
            await clients[0].write_event(Describe().event())
            first = await clients[0].read_event()
            last = await asyncio.wait_for(clients[-1].read_event(), 30)
            for client in clients:
                await client.disconnect()
            return first, last

    first, last = asyncio.run(ask())
    assert first.type == "info"
    assert last is None


def test_zeroconf_announces_it(voices):
    pytest.importorskip("zeroconf")
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

    async def ask():
        server = Server(settings(voices))
        found: dict[str, int] = {}
        browsing = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
        seen = asyncio.Event()

        def changed(zeroconf, service_type, name, state_change):
            found[name] = 1
            seen.set()

        try:
            async with wyoming_server(server.floor, host="127.0.0.1", port=0, announce=True) as port:
                browser = AsyncServiceBrowser(browsing.zeroconf, SERVICE, handlers=[changed])
                await asyncio.wait_for(seen.wait(), 30)
                info = await browsing.async_get_service_info(SERVICE, next(iter(found)))
                await browser.async_cancel()
                return port, info.port, info.parsed_addresses()
        finally:
            await browsing.async_close()
            await server.desk.close()

    try:
        port, told, addresses = asyncio.run(ask())
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    assert (told, addresses) == (port, ["127.0.0.1"])


def test_a_port_that_is_taken_is_named(voices):
    async def ask():
        async with serving(voices) as (server, port):
            with pytest.raises(
                ConfigError, match=rf"wyoming_port: 127\.0\.0\.1:{port} cannot be listened on"
            ):
                async with wyoming_server(server.floor, host="127.0.0.1", port=port):
                    pass

    asyncio.run(ask())


def test_it_is_open_to_others_only_when_somebody_said_so(voices, monkeypatch):
    flags = {"wyoming_port": 10200, "host": "0.0.0.0", "api_key": ["long enough a key"]}
    with pytest.raises(ConfigError, match=r"wyoming_port: .* knows no keys, .* give --insecure"):
        check_wyoming(settings(voices, **flags))
    check_wyoming(settings(voices, **flags, insecure=True))
    monkeypatch.setattr("sovits_server.wyoming.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs wyoming, .* pip install \"sovits-export\[wyoming\]\""):
        check_wyoming(settings(voices, wyoming_port=10200))
