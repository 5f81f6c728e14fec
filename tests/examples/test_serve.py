"""A real server on a free port and real clients: polite, slow, leaving, wrong."""

import asyncio
import io
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
import soundfile
from aiohttp import web

from sovits_runtime import Chunk, SpeechOptions
from sovits_runtime.speech.chunk_stream import ChunkStream

ASK = {"phones": "HH AH0 L OW1 ."}
OPTIONS = SpeechOptions(max_tokens=60, pause_s=0)


@asynccontextmanager
async def client_of(service):
    """Starts a service; gives a client whose addresses are relative to it."""
    runner = web.AppRunner(service.app(), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.fixture
def service(serve, voice, reference):
    return serve.Service(voice, reference, options=OPTIONS)


@pytest.fixture
def spoken(voice, reference):
    chunks = voice.stream([ASK["phones"].split()], reference, options=OPTIONS)
    return np.concatenate([c.to_pcm16() for c in chunks])


class Endless:
    """Pretends to be a stream of a long text: a second of sound at a time, without end."""

    def __init__(self):
        self.made, self.open = 0, 0

    def __call__(self, _ask):
        return ChunkStream(self._make)

    def _make(self, closed):
        self.open += 1
        try:
            while True:
                self.made += 1
                yield Chunk(np.zeros(32000, np.float32), 32000, sentence=0)
        finally:
            self.open -= 1


async def until(condition, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.01)


def test_wav_and_bare_samples_are_what_the_voice_says(service, spoken):
    async def run():
        async with client_of(service) as client:
            async with client.get("/speak", params=ASK) as answer:
                assert answer.status == 200
                assert answer.content_type == "audio/wav"
                wav = await answer.read()
            async with client.post("/speak", json={**ASK, "format": "pcm"}) as answer:
                assert answer.headers["X-Sample-Rate"] == "32000"
                return wav, await answer.read()

    wav, pcm = asyncio.run(run())
    np.testing.assert_array_equal(np.frombuffer(pcm, "<i2"), spoken)
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate == 32000
    np.testing.assert_array_equal(samples, spoken)


def test_sound_is_sent_while_the_rest_is_being_made(serve, service):
    service.start = endless = Endless()

    async def run():
        async with client_of(service) as client, client.get("/speak", params=ASK) as answer:
            await answer.content.readexactly(44 + 64000)
            assert endless.open == 1

    asyncio.run(run())


def test_clients_at_once_get_each_their_own(service, voice, reference, spoken):
    async def get(client, seed):
        async with client.get("/speak", params={**ASK, "format": "pcm", "seed": seed}) as answer:
            return np.frombuffer(await answer.read(), "<i2")

    async def run():
        async with client_of(service) as client:
            return await asyncio.gather(*(get(client, seed) for seed in (0, 1, 0, 2, 0)))

    got = asyncio.run(run())
    for same in got[::2]:
        np.testing.assert_array_equal(same, spoken)
    assert not np.array_equal(got[1], got[3])


def test_a_client_that_leaves_frees_its_request_at_once(service):
    service.start = endless = Endless()

    async def run():
        async with client_of(service) as client:
            answer = await client.get("/speak", params=ASK)
            await answer.content.readany()
            assert endless.open == 1
            answer.close()
            await until(lambda: endless.open == 0, 1)
            assert not service.line._turns.locked()

    asyncio.run(run())


def test_a_client_that_leaves_before_the_first_sound_stops_the_voice(service, voice, monkeypatch):
    steps = []
    original = voice.text_to_semantic.steps

    def slow(*args, **kwargs):
        for step in original(*args, **kwargs):
            steps.append(step.token)
            time.sleep(0.02)
            yield step

    monkeypatch.setattr(voice.text_to_semantic, "steps", slow)
    free = len(voice.text_to_semantic._pool)

    async def run():
        async with client_of(service) as client:
            asking = asyncio.create_task(client.get("/speak", params=ASK))
            await until(lambda: len(steps) > 2)
            asking.cancel()
            await until(lambda: len(voice.text_to_semantic._pool) == max(free, 1), 1)

    asyncio.run(run())
    assert len(steps) < 22  # the first chunk would have taken 22


def test_a_slow_client_bounds_what_is_made_and_is_dropped_in_the_end(service):
    service.start, service.patience_s = (endless := Endless()), 0.5

    async def run():
        async with client_of(service) as client:
            async with client.get("/speak", params=ASK) as answer:
                await answer.content.readexactly(44)
                await until(lambda: endless.open == 0)  # dropped: 0.5 s without a byte taken
                made = endless.made
                with pytest.raises(aiohttp.ClientError):
                    await answer.read()
            return made

    assert asyncio.run(run()) < 500  # what the sockets of both sides hold


def test_waiting_is_bounded_in_number_and_time(serve, voice, reference):
    service = serve.Service(voice, reference, speaking=1, waiting=1, patience_s=0.4)
    service.start = Endless()

    async def run():
        async with client_of(service) as client:
            speaking = await client.get("/speak", params=ASK)
            waiting = asyncio.create_task(client.get("/speak", params=ASK))
            await until(lambda: service.line._waiting == 1)
            refused = await client.get("/speak", params=ASK)
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "1"
            assert "waiting already" in (await refused.json())["error"]
            late = await waiting
            assert late.status == 503
            assert "no turn within 0.4 s" in (await late.json())["error"]
            speaking.close()
            await until(lambda: not service.line._turns.locked(), 1)
            again = await client.get("/speak", params=ASK)
            assert again.status == 200
            again.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "either text or phones"),
        ({"text": "a", "phones": "HH"}, "either text or phones"),
        ({"phones": " "}, "either text or phones"),
        ({"phones": "HH", "format": "mp3"}, "expected wav or pcm"),
        ({"phones": "HH", "speed": "fast"}, "expected a speed"),
        ({"phones": "HH", "speed": "nan"}, "expected a speed"),
        ({"phones": "HH", "seed": "-1"}, "a seed of 0"),
        ({"phones": "HH", "sped": "1"}, "unknown: sped"),
        ({"text": "a" * 2001}, "expected at most 2000"),
        ({"text": "a", "language": "klingon"}, "klingon"),
        ({"phones": "HH", "seed": "1e400"}, "a seed of 0"),
        ({"phones": "HH", "seed": "9" * 5000}, "a seed of 0"),
        ({"phones": "HH", "x" * 5000: "1"}, "unknown: xxx"),
    ],
)
def test_a_bad_request_gets_a_status_and_the_reason(service, asked, words):
    async def run():
        async with client_of(service) as client, client.get("/speak", params=asked) as answer:
            return answer.status, await answer.json()

    status, answer = asyncio.run(run())
    assert status == 400
    assert words in answer["error"]


def test_other_ways_to_be_wrong(service):
    async def run():
        async with client_of(service) as client:
            for body in (b"{", b"\xff\xfe", b"[1]"):
                async with client.post("/speak", data=body) as answer:
                    assert answer.status == 400
                    assert "JSON" in (await answer.json())["error"]
            async with client.post("/speak", data=b"x" * 70_000) as answer:
                assert answer.status == 413
                assert (await answer.json())["error"]
            async with client.get("/nothing") as answer:
                assert (answer.status, await answer.json()) == (404, {"error": "Not Found"})
            async with client.get("/") as answer:
                assert "<title>A voice</title>" in await answer.text()

    asyncio.run(run())


HOSTILE = {
    "null": "expected a JSON object, got NoneType",
    "[]": "expected a JSON object, got list",
    '"HH"': "expected a JSON object, got str",
    '{"phones": "HH", "seed": 1e400}': "seed: got inf",
    '{"phones": "HH", "seed": Infinity}': "seed: got inf",
    '{"phones": "HH", "seed": NaN}': "seed: got nan",
    '{"phones": "HH", "seed": 1.5}': "seed: got 1.5",
    '{"phones": "HH", "seed": true}': "seed: got True",
    '{"phones": "HH", "seed": null}': "seed: got None",
    '{"phones": "HH", "speed": 1' + "0" * 400 + "}": "speed: got 10",
    '{"phones": "HH", "speed": [1]}': "speed: got [1]",
    '{"phones": "HH", "seed": ' + "9" * 5000 + "}": "expected JSON",
    '{"phones": "HH", "format": {"a": 1}}': "format: got {'a': 1}",
    '{"text": null}': "text: got None",
    '{"text": 3}': "text: got 3",
    '{"phones": ["HH"]}': "phones: got ['HH']",
    '{"text": "a", "language": null}': "language: got None",
    "[" * 30_000 + "]" * 30_000: "expected JSON",
    '{"a":' * 10_000: "expected JSON",
}


def test_no_message_goes_unanswered_and_speech_is_the_same_after_all(service, spoken):
    """Each by HTTP and by WebSocket, on the same connection."""

    async def run():
        async with client_of(service) as client, client.ws_connect("/socket") as socket:
            for message, words in HOSTILE.items():
                async with client.post("/speak", data=message) as answer:
                    assert answer.status == 400, message[:80]
                    assert words in (await answer.json())["error"]
                await socket.send_str(message)
                error = (await sound_until(socket, "error"))[1]["error"]
                assert words in error
                assert len(error) < 400
            await socket.send_bytes(b"{}")
            assert "binary" in (await sound_until(socket, "error"))[1]["error"]
            await socket.send_json(ASK)
            return (await sound_until(socket, "done"))[0]

    np.testing.assert_array_equal(np.frombuffer(asyncio.run(run()), "<i2"), spoken)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json; charset=nonsense"}, 200),  # JSON is UTF-8
        ({"Content-Type": "application/json; charset=punycode"}, 200),
        ({"Content-Encoding": "gzip"}, 400),
    ],
)
def test_headers_that_do_not_fit_the_body(service, headers, status):
    async def run():
        async with client_of(service) as client:
            body = b'{"phones": "HH AH0"}'
            async with client.post("/speak", data=body, headers=headers, compress=False) as answer:
                return answer.status

    assert asyncio.run(run()) == status


def test_a_defect_is_answered_too(service):
    def broken(_ask):
        raise ZeroDivisionError

    service.start = broken

    async def run():
        async with client_of(service) as client, client.ws_connect("/socket") as socket:
            await socket.send_json(ASK)
            return (await sound_until(socket, "error"))[1]

    assert asyncio.run(run()) == {"error": "the service failed; its log says why"}


@pytest.mark.parametrize(
    "wrong",
    [
        "--max-seconds nan",
        "--max-seconds inf",
        "--max-seconds -1",
        "--port 70000",
        "--speaking 0",
        "--waiting -1",
    ],
)
def test_options_that_make_no_sense_are_wrong_use(serve, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        serve.main(["voice", "me.npz", *wrong.split()])
    assert exit_.value.code == 2
    assert f"argument {wrong.split()[0]}: got" in capsys.readouterr().err


def test_an_address_that_is_taken_is_one_line(serve, tiny_bundle, saved_reference):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match="address already in use"):
            serve.main([str(tiny_bundle), str(saved_reference), "--port", str(port)])


def test_connections_that_say_nothing_or_little_keep_nobody_waiting(service, spoken):
    async def run():
        async with client_of(service) as client:
            port = client._base_url.port
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
            for number, (_, writer) in enumerate(idle):
                writer.write(b"POST /speak HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"[:number])
            async with client.get("/speak", params={**ASK, "format": "pcm"}) as answer:
                heard = await answer.read()
            for _, writer in idle:
                writer.close()
            return heard

    np.testing.assert_array_equal(np.frombuffer(asyncio.run(run()), "<i2"), spoken)


def test_an_error_amid_an_answer_does_not_look_like_its_end(service):
    from sovits_runtime.errors import GenerationError

    def make(closed):
        yield Chunk(np.zeros(32000, np.float32), 32000, sentence=0)
        raise GenerationError("no usable speech")

    service.start = lambda ask: ChunkStream(make)

    async def run():
        async with client_of(service) as client, client.get("/speak", params=ASK) as answer:
            assert answer.status == 200
            await answer.read()

    with pytest.raises(aiohttp.ClientError):
        asyncio.run(run())


async def sound_until(socket, key):
    """Collects binary messages until a JSON message with `key` comes."""
    heard, end = b"", time.monotonic() + 10
    while True:
        assert time.monotonic() < end, f"no {key!r} came"
        message = await socket.receive(timeout=10)
        if message.type is aiohttp.WSMsgType.BINARY:
            heard += message.data
        else:
            fields = message.json()
            if key in fields:
                return heard, fields


def test_socket_speaks_and_goes_on_after_an_error(service, spoken):
    async def run():
        async with client_of(service) as client, client.ws_connect("/socket") as socket:
            for wrong in ("{", "{}", "[]", '{"text": "a", "language": "klingon"}'):
                await socket.send_str(wrong)
                assert (await sound_until(socket, "error"))[1]["error"]
            await socket.send_json(ASK)
            assert await socket.receive_json(timeout=10) == {"sample_rate": 32000}
            return (await sound_until(socket, "done"))[0]

    np.testing.assert_array_equal(np.frombuffer(asyncio.run(run()), "<i2"), spoken)


def test_socket_new_words_cut_off_the_old_ones(service, spoken):
    real, endless = service.start, Endless()
    service.start = lambda ask: endless(ask) if ask.options.seed else real(ask)

    async def run():
        async with client_of(service) as client, client.ws_connect("/socket") as socket:
            await socket.send_json({**ASK, "seed": 1})
            await sound_until(socket, "sample_rate")
            await socket.receive_bytes(timeout=10)
            await socket.send_json(ASK)
            await sound_until(socket, "sample_rate")
            assert endless.open == 0
            heard, _ = await sound_until(socket, "done")
            await socket.send_json({**ASK, "seed": 1})
            await sound_until(socket, "sample_rate")
            await socket.send_json({"stop": True})
            await sound_until(socket, "stopped")
            assert endless.open == 0
            return heard

    np.testing.assert_array_equal(np.frombuffer(asyncio.run(run()), "<i2"), spoken)


def test_socket_that_is_closed_frees_its_request(service):
    service.start = endless = Endless()

    async def run():
        async with client_of(service) as client:
            socket = await client.ws_connect("/socket")
            await socket.send_json(ASK)
            await sound_until(socket, "sample_rate")
            await until(lambda: endless.open == 1)
            await socket.close()
            await until(lambda: endless.open == 0, 2)

    asyncio.run(run())
