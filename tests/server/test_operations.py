"""What happens under load and at the edges: leaving, slow readers, limits, metrics, logs, the end."""

import contextlib
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from live_server import running

from sovits_server.core.admission import Admission
from sovits_server.operations.logs import JsonLine, TextLine, WithId, new_id, request_id
from sovits_server.problems import BusyError, TooManyError

ASK = {"input": "Hello there.", "voice": "alice", "response_format": "wav", "language": "en"}
LONG = {**ASK, "input": "Hello there. " * 1500}


def test_a_client_that_leaves_frees_its_request(live):
    with live.client() as http, http.stream("POST", "/v1/audio/speech", json=LONG) as answer:
        next(answer.iter_raw())
        assert not live.idle()
    live.until(live.idle, 10)


def test_a_client_that_leaves_before_the_first_sound_frees_it_too(live):
    body = json.dumps({**LONG, "stream_format": "audio"}).encode()
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(
            b"POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
    live.until(live.idle, 10)


def test_a_reader_that_takes_nothing_is_cut_off(configure, monkeypatch):
    async def endless(self, utterance, encoder, key):
        while True:
            yield bytes(1 << 20)

    monkeypatch.setattr("sovits_server.core.answer.Answers._encoded", endless)
    with running(configure(stall_s=0.5)) as live:
        body = json.dumps(ASK).encode()
        with socket.create_connection(("127.0.0.1", live.port), timeout=30) as connection:
            head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(body) + body)
            live.until(lambda: b'sovits_ends_total{how="slow"} 1.0' in live.server.meters.text(), 60)
            live.until(live.idle)
            end = b""
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(1 << 20):
                    end = (end + data)[-5:]
            assert end != b"0\r\n\r\n"  # which would say that the answer is whole


def test_a_defect_amid_an_answer_does_not_look_like_its_end(live, monkeypatch):
    from sovits_server.core.utterance import OwnUtterance

    async def breaking(self):
        yield (await anext(original(self)))
        raise ZeroDivisionError

    original = OwnUtterance.__aiter__
    monkeypatch.setattr(OwnUtterance, "__aiter__", breaking)
    with live.client() as http, pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/audio/speech", json=ASK)
    live.until(live.idle)


def test_a_defect_is_answered_and_tells_nothing(live, monkeypatch):
    def broken(ask):
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(live.server.desk, "_submit", broken)
    with live.client() as http:
        answer = http.post("/v1/audio/speech", json=ASK)
        other = http.post("/tts", json={"text": "Hi.", "text_lang": "en"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        500,
        "the server failed; its log says why",
    )
    assert other.json() == {"message": "tts failed", "Exception": "the server failed; its log says why"}


def test_beyond_the_queue_is_503_and_beyond_a_client_429(configure):
    """Places are held here, so that none is free again before the answer."""
    with running(configure(rows=1, queue=1, client_requests=1)) as live, live.client() as http:
        live.until(lambda: live.server.readiness.ready, 60)
        admission = live.server.desk.admission
        with admission.place("127.0.0.1"):
            again = http.post("/v1/audio/speech", json=ASK)
        assert again.status_code == 429
        assert again.headers["retry-after"] == "2"
        assert again.json()["error"]["type"] == "rate_limit_error"
        with admission.place("another"), admission.place("a third"):
            beyond = http.post("/v1/audio/speech", json=ASK)
        assert beyond.status_code == 503
        assert beyond.headers["retry-after"] == "2"
        assert http.post("/v1/audio/speech", json=ASK).status_code == 200
        live.until(live.idle, 10)


def test_admission_counts_all_and_each():
    admission = Admission(most=2, most_of_one=1)
    with admission.place("a"), admission.place("b"):
        with pytest.raises(TooManyError), admission.place("a"):
            pass
        with pytest.raises(BusyError, match="2 requests are under way"), admission.place("c"):
            pass
    with admission.place("a"):
        assert admission.total == 1
    admission.closed = True
    with pytest.raises(BusyError, match="going down"), admission.place("a"):
        pass


def test_metrics_count(live):
    with live.client() as http:
        http.post("/v1/audio/speech", json=ASK)
        text = http.get("/metrics").text
    for name in ("sovits_answers_total", "sovits_first_sound_seconds_bucket", "sovits_gap_seconds_count",
                 "sovits_queue", "sovits_tokens_total", "sovits_voices_loaded 1.0",
                 "sovits_memory_bytes", "sovits_running"):  # fmt: skip
        assert name in text
    assert 'dialect="openai",status="200"' in text


def test_logs_are_lines_of_json_with_the_number_of_the_request(caplog):
    record = logging.makeLogRecord(
        {"name": "a", "levelno": 20, "levelname": "INFO", "msg": "hi\n%s", "args": ("\x1b[31m",)}
    )
    record.status = 200
    token = request_id.set("abc")
    WithId().filter(record)
    request_id.reset(token)
    line = json.loads(JsonLine().format(record))
    assert (line["level"], line["request_id"], line["status"]) == ("info", "abc", 200)
    assert "\x1b" not in line["message"]
    assert TextLine().format(record).endswith("[abc]")
    assert new_id("good-1") == "good-1"
    assert new_id("bad one") != "bad one"


def test_lines_that_were_said_before_come_from_the_cache(configure):
    with running(configure(cache_mb=10)) as live, live.client() as http:
        first = http.post("/v1/audio/speech", json={**ASK, "input": "Only said here."})
        again = http.post("/v1/audio/speech", json={**ASK, "input": "Only said here."})
        assert first.content == again.content
        assert again.headers["etag"]
        tag = {"If-None-Match": again.headers["etag"]}
        assert (
            http.post("/v1/audio/speech", json={**ASK, "input": "Only said here."}, headers=tag).status_code
            == 304
        )
        assert b"sovits_cached_lines_total 2.0" in live.server.meters.text()
        other = http.post("/v1/audio/speech", json={**ASK, "input": "Only said here.", "voice": "Bob"})
        assert "etag" not in other.headers
        for _ in "ab":
            http.get("/tts", params={"text": "Only said here.", "text_lang": "en"})  # its seed is drawn
        assert b"sovits_cached_lines_total 2.0" in live.server.meters.text()


def test_many_clients_at_once_each_get_what_they_get_alone(live):
    """Mixed voices, formats and lengths; a third leaves early."""
    kinds = [
        {**ASK, "voice": voice, "response_format": format, "input": "Hello there. " * length, "seed": length}
        for voice in ("alice", "Bob")
        for format in ("wav", "mp3", "pcm")
        for length in (1, 2)
    ]
    with live.client() as http:
        alone = [http.post("/v1/audio/speech", json=kind).content for kind in kinds]
    threads = threading.active_count()

    def one(number):
        kind = number % len(kinds)
        with live.client() as http, http.stream("POST", "/v1/audio/speech", json=kinds[kind]) as answer:
            assert answer.status_code == 200, answer.read()
            if number % 3 == 0:
                next(answer.iter_raw())
                return True
            return b"".join(answer.iter_raw()) == alone[kind]

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(one, range(64)))
    live.until(live.idle)
    assert threading.active_count() <= threads + 4


def test_text_that_is_too_long_to_wait_for_is_spoken_as_it_is_made(live):
    with (
        live.client() as http,
        http.stream("POST", "/v1/audio/speech", json={**LONG, "input": "Hi. " * 5_000}) as answer,
    ):
        assert answer.status_code == 200
        assert next(answer.iter_raw())
    live.until(live.idle, 10)


def test_pauses_are_silence_and_subtitles_know_it(live):
    with live.client() as http:
        asked = {**ASK, "input": "Hello there. [pause 1s] Good bye.", "timestamps": "json"}
        answer = http.post("/v1/audio/speech", json=asked).json()
    first, second = answer["sentences"]
    assert second["start"] - first["end"] == pytest.approx(1.3, abs=0.002)
    assert answer["srt"].count("-->") == 2
