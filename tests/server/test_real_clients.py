"""The clients' own libraries and programs: openai, websockets, curl."""

import asyncio
import io
import json
import shutil
import subprocess

import numpy as np
import openai
import pytest
import soundfile
from websockets.asyncio.client import connect

HELLO = "Hello there."


@pytest.fixture
def client(live):
    with openai.OpenAI(base_url=f"{live.base}/v1", api_key="sk-nothing") as client:
        yield client
    live.until(live.idle)


def test_openai_speaks(client):
    answer = client.audio.speech.create(model="tts-1", voice="alloy", input=HELLO)
    assert answer.content[:2] in (b"\xff\xfb", b"\xff\xf3")
    wav = client.audio.speech.create(
        model="tts-1", voice="alice", input=HELLO, response_format="flac"
    ).content
    assert soundfile.read(io.BytesIO(wav))[1] == 32000


def test_openai_streams(client):
    made = client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alice", input=HELLO, response_format="pcm"
    )
    with made as answer:
        pieces = list(answer.iter_bytes(chunk_size=1024))
    whole = b"".join(pieces)
    assert len(pieces) > 3
    assert len(whole) > 0.2 * 24000 * 2


def test_openai_reads_events(client):
    made = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alice", input=HELLO, stream_format="sse"
    )
    with made as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] > 0


def test_openai_async(live):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{live.base}/v1", api_key="sk-nothing") as client:
            answers = await asyncio.gather(
                *(
                    client.audio.speech.create(
                        model="tts-1", voice="alice", input=HELLO, response_format="wav"
                    )
                    for _ in "ab"
                )
            )
            return [answer.content for answer in answers]

    first, second = asyncio.run(run())
    assert first == second


def test_openai_lists_models(client):
    assert "tts-1" in {model.id for model in client.models.list()}
    assert client.models.retrieve("tts-1-hd").id == "tts-1-hd"


def test_openai_reads_errors(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(model="tts-1", voice="alice", input=HELLO, speed=9)
    assert caught.value.param == "speed"
    assert "expected 0.25 to 4" in caught.value.message
    with pytest.raises(openai.BadRequestError, match="expected one of mp3"):
        client.audio.speech.create(model="tts-1", voice="alice", input=HELLO, response_format="midi")
    with pytest.raises(openai.BadRequestError, match="nothing to say"):
        client.audio.speech.create(model="tts-1", voice="alice", input=" … ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_as_the_server_prints_it(live, tmp_path):
    from sovits_server.run.process import welcome

    line = next(
        line for line in welcome(live.server.config, live.server, live.port) if line.startswith("curl:")
    )
    subprocess.run(["sh", "-ec", line.removeprefix("curl:")], check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "hello.mp3").read_bytes()[:2] in (b"\xff\xfb", b"\xff\xf3")


def talk(live, messages, *, until=1):
    """Sends messages, collects what comes until so many utterances are over."""

    async def run():
        got = []
        async with connect(f"ws://127.0.0.1:{live.port}/v1/audio/speech/stream") as socket:
            for message in messages:
                await socket.send(message if isinstance(message, bytes) else json.dumps(message))
            done = 0
            while done < until:
                message = await asyncio.wait_for(socket.recv(), 30)
                got.append(message if isinstance(message, bytes) else json.loads(message))
                done += isinstance(got[-1], dict) and got[-1]["type"] in ("session.done", "error")
        return got

    got = asyncio.run(run())
    live.until(live.idle)
    return got


CONFIG = {"type": "session.config", "voice": "alice", "language": "en"}


def test_socket_speaks_each_sentence_as_a_file(live):
    words = [{"type": "input.text", "text": text} for text in ("Hello th", "ere. How are", " you?")]
    got = talk(live, [CONFIG, *words, {"type": "input.done"}])
    starts = [m for m in got if isinstance(m, dict) and m["type"] == "audio.start"]
    assert [s["sentence_text"] for s in starts] == ["Hello there.", "How are you?"]
    assert {s["format"] for s in starts} == {"wav"}
    sounds = [m for m in got if isinstance(m, bytes)]
    assert [soundfile.read(io.BytesIO(sound))[1] for sound in sounds] == [32000, 32000]
    dones = [m for m in got if isinstance(m, dict) and m["type"] == "audio.done"]
    assert [d["total_bytes"] for d in dones] == [len(sound) for sound in sounds]
    assert got[-1] == {"type": "session.done", "utterance_index": 0, "total_sentences": 2}


def test_socket_speaks_in_pieces_and_again(live):
    hello = [{"type": "input.text", "text": HELLO}, {"type": "input.done"}]
    got = talk(live, [{**CONFIG, "stream_audio": True}, *hello])
    start = got[0]
    assert (start["format"], start["sample_rate"]) == ("pcm", 24000)
    samples = np.frombuffer(b"".join(m for m in got if isinstance(m, bytes)), "<i2")
    assert len(samples) > 0.2 * 24000


def test_socket_new_text_cuts_off_the_old(live):
    long = [{"type": "input.text", "text": "Hello there. " * 200}, {"type": "input.done"}]
    short = [{"type": "input.text", "text": HELLO}, {"type": "input.done"}]
    got = talk(live, [CONFIG, *long, *short], until=2)
    dones = [m for m in got if isinstance(m, dict) and m["type"] == "session.done"]
    assert dones[0]["cancelled"]
    assert dones[0]["total_sentences"] < 200
    assert dones[1] == {"type": "session.done", "utterance_index": 1, "total_sentences": 1}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"{}", "binary"),
        ({"type": "dance"}, "expected one of session.config"),
        ({"type": "input.text", "text": 3}, "expected text"),
        ({"type": "session.config", "speed": "fast"}, "speed"),
        ({"type": "session.config", "response_format": "midi"}, "expected one of mp3"),
        ([1], "expected a JSON object"),
    ],
)
def test_socket_says_what_is_wrong_and_goes_on(live, message, words):
    hello = [{"type": "input.text", "text": HELLO}, {"type": "input.done"}]
    got = talk(live, [message, CONFIG, *hello], until=2)
    assert got[0]["type"] == "error"
    assert words in got[0]["message"]
    assert got[-1]["type"] == "session.done"


def test_socket_that_is_left_frees_its_request(live):
    async def run():
        async with connect(f"ws://127.0.0.1:{live.port}/v1/audio/speech/stream") as socket:
            await socket.send(json.dumps({"type": "input.text", "text": "Hello there. " * 100}))
            await socket.recv()

    asyncio.run(run())
    live.until(live.idle, 10)
