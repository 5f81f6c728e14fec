"""Keys, names of the server, pages of strangers, limits, and what errors say of this machine."""

import os

import pytest
from live_server import running

from sovits_server.core.ask import Whom

ASK = {"input": "Hello there.", "response_format": "wav"}
KEY = "a-good-long-key"


@pytest.fixture(scope="module")
def guarded(configure, tmp_path_factory):
    (tmp_path_factory.mktemp("outside") / "secret.wav").write_bytes(b"RIFF")
    with running(
        configure(api_key=[KEY, "another-good-key"], max_text=100, max_body_kb=4, max_upload_mb=1)
    ) as live:
        yield live


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"Authorization": "Bearer wrong"}, "", 401),
        ({"Authorization": f"Basic {KEY}"}, "", 401),
        ({"Authorization": f"Bearer {KEY}x"}, "", 401),
        ({"X-API-Key": "é".encode("latin-1")}, "", 401),
        ({"Authorization": f"Bearer {KEY}"}, "", 200),
        ({"authorization": "bearer another-good-key"}, "", 200),
        ({"X-API-Key": KEY}, "", 200),
        ({}, f"?api_key={KEY}", 200),
    ],
)
def test_keys(guarded, headers, query, status):
    with guarded.client() as http:
        answer = http.get(f"/v1/audio/voices{query}", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text


@pytest.mark.parametrize("path", ["/health", "/ping", "/ready"])
def test_probes_need_no_key(guarded, path):
    with guarded.client() as http:
        assert http.get(path).status_code in (200, 503)


@pytest.mark.parametrize(
    "path", ["/metrics", "/tts?text=a", "/?text=a", "/openapi.json", "/set_gpt_weights?weights_path=a"]
)
def test_all_else_needs_one(guarded, path):
    with guarded.client() as http:
        assert http.get(path).status_code == 401


def test_too_much_is_413(guarded):
    with guarded.client(headers={"X-API-Key": KEY}) as http:
        long = http.post("/v1/audio/speech", json={"input": "a" * 101})
        assert (long.status_code, long.json()["error"]["type"]) == (413, "invalid_request_error")
        assert "expected at most 100" in long.json()["error"]["message"]
        assert http.post("/v1/audio/speech", content=b"{" + b" " * 5000).status_code == 413
        chunked = http.post("/v1/audio/speech", content=iter([b" " * 3000, b" " * 3000]))
        assert chunked.status_code == 413


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9880", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_names_of_strangers_are_refused_on_loopback(live, host, status):
    with live.client() as http:
        assert http.get("/health", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8000"}, 400),
        ({}, 400),
    ],
)
def test_pages_of_strangers_change_nothing(live, headers, status):
    with live.client() as http:
        assert (
            http.get("/set_gpt_weights", params={"weights_path": "none.ckpt"}, headers=headers).status_code
            == status
        )


def test_other_pages_are_not_told_answers(live):
    with live.client() as http:
        mine = http.get("/speakers", headers={"Origin": "http://localhost:8000"})
        theirs = http.get("/speakers", headers={"Origin": "https://evil.example"})
    assert mine.headers["access-control-allow-origin"] == "http://localhost:8000"
    assert "access-control-allow-origin" not in theirs.headers


def test_headers_of_every_answer(live):
    with live.client() as http:
        for path in ("/health", "/nothing", "/tts"):
            answer = http.get(path, headers={"X-Request-Id": "abc-1"})
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-request-id"] == "abc-1"
            assert "server" not in answer.headers
        assert http.get("/health", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "C:\\Windows\\win.ini", "link.wav", "folder-link/secret.wav", "\0", "a" * 3000,
     "file:///etc/passwd", ".", "//", "/" * 500],
)  # fmt: skip
def test_recordings_lie_in_allowed_folders_alone(live, voices_folder, tmp_path_factory, path):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.wav").write_bytes((voices_folder / "Reference One.wav").read_bytes())
    for name, target in (("link.wav", outside / "secret.wav"), ("folder-link", outside)):
        (voices_folder / name).unlink(missing_ok=True)
        os.symlink(target, voices_folder / name)
    try:
        with live.client() as http:
            answer = http.get("/tts", params={"text": "Hello.", "text_lang": "en", "ref_audio_path": path})
    finally:
        for name in ("link.wav", "folder-link"):
            (voices_folder / name).unlink()
    assert answer.status_code == 400
    assert str(outside) not in answer.text
    assert str(voices_folder) not in answer.text


@pytest.mark.parametrize(
    "path", ["/x/y/z/reference one.WAV", "reference one.wav", "D:\\voices\\Reference One.wav"]
)
def test_a_recording_is_found_by_its_last_parts_in_any_case(live, path):
    with live.client() as http:
        answer = http.get("/tts", params={"text": "Hello.", "text_lang": "en", "ref_audio_path": path})
    assert answer.status_code == 200


def test_an_emotion_that_a_voice_lacks_is_an_error_and_instructions_are_none(live):
    with live.client() as http:
        ask = {**ASK, "voice": "alice", "language": "en"}
        wrong = http.post("/v1/audio/speech", json={**ask, "emotion": "sleepy"})
        assert wrong.status_code == 404
        assert "expected one of default, happy" in wrong.json()["error"]["message"]
        plain, vague, happy = (
            http.post("/v1/audio/speech", json={**ask, **more}).content
            for more in ({}, {"instructions": "Be kind."}, {"instructions": "happy"})
        )
        assert plain == vague != happy
        unknown = http.get("/tts", params={"text": "Hi.", "text_lang": "en", "voice": "nobody"})
        assert unknown.status_code == 400
        assert "there are alice, Bob" in unknown.json()["message"]


def test_what_one_client_selects_is_not_for_a_voice_that_another_names(live):
    with live.client(headers={"X-Forwarded-For": "10.9.8.7"}) as http:
        assert (
            http.get("/set_refer_audio", params={"refer_audio_path": "Reference One.wav"}).status_code == 200
        )
    client = live.server.floor.choices.of("10.9.8.7")
    assert client.path == "Reference One.wav"
    whom = live.server.floor.choices.whom("10.9.8.7", Whom(voice="Bob"))
    assert (whom.voice, whom.path) == ("Bob", "")


def test_addresses_of_recordings_are_refused(live):
    with live.client() as http:
        answer = http.get(
            "/tts", params={"text": "Hi.", "text_lang": "en", "ref_audio_path": "http://127.0.0.1/a.wav"}
        )
    assert "--allow-urls" in answer.json()["message"]
    assert answer.status_code == 403


def test_an_error_names_no_path_of_this_machine(live, voices_folder):
    (voices_folder / "broken.wav").write_bytes(b"RIFF0000WAVEjunk")
    with live.client() as http:
        answer = http.get("/tts", params={"text": "Hi.", "text_lang": "en", "ref_audio_path": "broken.wav"})
    assert answer.status_code == 400
    assert "broken.wav" in answer.text
    assert str(voices_folder) not in answer.text


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/control?command=exit"])
def test_what_the_operator_did_not_allow(live, path):
    with live.client() as http:
        answer = http.post(path, files={"audio_sample": b"a"}) if "voices" in path else http.get(path)
    assert answer.status_code == 403
    assert "--allow-" in answer.text


def test_unknown_addresses_and_methods(live):
    with live.client() as http:
        assert http.get("/v1/nothing").status_code == 404
        assert http.get("/v1/nothing").json()["error"]["message"] == "there is no such address here"
        assert http.put("/tts").status_code == 405


def test_a_socket_wants_the_key_too(guarded):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = f"ws://127.0.0.1:{guarded.port}/v1/audio/speech/stream"
    with pytest.raises(InvalidStatus):
        connect(address)
    with connect(f"{address}?api_key={KEY}") as socket:
        socket.send('{"type": "session.close"}')


def test_a_page_of_a_stranger_opens_no_socket(live):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{live.port}/v1/audio/speech/stream", origin="https://evil.example")


def test_upload_adds_a_voice_and_deletes_it(configure, voices_folder, demo_files):
    with running(configure(allow_upload=True)) as live, live.client() as http:
        file = ("me.wav", demo_files.reference_wav.read_bytes(), "audio/wav")
        answer = http.post(
            "/v1/audio/voices", files={"audio_sample": file}, data={"name": "carol", "consent": "x"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["voice"]["name"] == "carol"
        assert "carol" in {one["id"] for one in http.get("/v1/audio/voices").json()["voices"]}
        spoken = http.post("/v1/audio/speech", json={**ASK, "voice": "Carol", "language": "en"})
        assert spoken.status_code == 200, spoken.text
        bad = http.post(
            "/v1/audio/voices", files={"audio_sample": ("a.wav", b"no sound")}, data={"name": "dave"}
        )
        assert bad.status_code == 400
        assert not (voices_folder / "dave.toml").exists()
        assert http.delete("/v1/audio/voices/carol").json()["success"]
        assert http.delete("/v1/audio/voices/carol").status_code == 404
