"""What real clients send, exactly, and what they need back: a row a client.

Sources are the clients' own code, read in 2026; each row says which one.
"""

import io
import socket
import zipfile
from dataclasses import dataclass, field
from urllib.parse import urlencode

import av
import numpy as np
import pytest
import soundfile

ST = {"Origin": "http://127.0.0.1:8000"}


@dataclass
class Row:
    """One request of a client.

    Attributes:
        client: Who sends it.
        method: Of HTTP.
        path: With its query.
        json: Its body.
        headers: Of the request.
        gives: What must come back: a format, "list", "object" or nothing in particular.
        rate: Of the sound, in Hz, where the client takes one for granted.
    """

    client: str
    method: str
    path: str
    json: dict | None = None
    headers: dict = field(default_factory=dict)
    gives: str = ""
    rate: int = 0


def get(client, path, query, gives, **more):
    return Row(client, "GET", f"{path}?{urlencode(query)}", gives=gives, **more)


SILLYTAVERN = {
    "text": "Hello there.", "prompt_text": "alice", "ref_audio_path": "./参考音频/[happy]alice.wav", "text_lang": "en",
    "prompt_lang": "zh", "text_split_method": "cut5", "batch_size": 1, "media_type": "ogg", "streaming_mode": "true",
}  # fmt: skip
ADAPTER = {
    "text": "Hello there.", "card_name": "Somebody", "use_st_adapter": True, "target_voice": "alice",
    "text_lang": "en",
    "text_split_method": "cut5", "batch_size": 1, "media_type": "auto", "streaming_mode": "true",
}  # fmt: skip
GSVI_JS = {
    "text": "Hello there.", "cha_name": "alice", "text_language": "英文", "batch_size": 10, "speed": 1, "top_k": 6,
    "top_p": 0.85, "temperature": 0.75, "stream": "false",
}  # fmt: skip
VTUBER = {
    "text": "Hello there.", "text_lang": "en", "ref_audio_path": "alice", "prompt_lang": "en", "prompt_text": "Hi.",
    "text_split_method": "cut5", "batch_size": "1", "media_type": "wav", "streaming_mode": "false",
}  # fmt: skip
ASTRBOT = {
    "text": "hello there.", "text_lang": "en", "ref_audio_path": "c:\\gpt-sovits\\reference one.wav",
    "prompt_lang": "en",
    "prompt_text": "", "aux_ref_audio_paths": "", "top_k": "5", "top_p": "1.0", "temperature": "1.0",
    "text_split_method": "cut3", "batch_size": "1", "batch_threshold": "0.75", "split_bucket": "true",
    "speed_factor": "1.0", "fragment_interval": "0.3", "streaming_mode": "false", "seed": "-1",
    "parallel_infer": "true",
    "repetition_penalty": "1.35", "media_type": "wav",
}  # fmt: skip
XIAOZHI = {
    "text": "Hello there.", "text_lang": "auto", "ref_audio_path": "/opt/demo/Reference One.wav",
    "aux_ref_audio_paths": [],
    "prompt_text": "", "prompt_lang": "en", "top_k": 5, "top_p": 1, "temperature": 1, "text_split_method": "cut0",
    "batch_size": 1, "batch_threshold": 0.75, "split_bucket": True, "return_fragment": False, "speed_factor": 1.0,
    "streaming_mode": False, "seed": -1, "parallel_infer": True, "repetition_penalty": 1.35,
}  # fmt: skip
XIAOZHI_V3 = {
    "refer_wav_path": "Reference One.wav", "prompt_text": "", "prompt_language": "en", "text": "Hello there.",
    "text_language": "audo", "top_k": 15, "top_p": 1.0, "temperature": 1.0, "cut_punc": "", "speed": 1.0,
    "inp_refs": "[]", "sample_steps": 32, "if_sr": "False",
}  # fmt: skip
TTS = {"text": "Hello there.", "text_lang": "en", "ref_audio_path": "Reference One.wav", "prompt_lang": "en"}
INFER = {
    "app_key": "", "dl_url": "", "version": "v4", "model_name": "alice", "prompt_text_lang": "英语", "emotion": "默认",
    "text": "Hello there.", "text_lang": "英语", "top_k": 10, "top_p": 1, "temperature": 1,
    "text_split_method": "按标点符号切", "batch_size": 1, "batch_threshold": 0.75, "split_bucket": True,
    "speed_facter": 1,
    "fragment_interval": 0.3, "media_type": "wav", "parallel_infer": True, "repetition_penalty": 1.35, "seed": -1,
    "sample_steps": 16, "if_sr": False,
}  # fmt: skip
BEARER = {"Authorization": "Bearer sk-nothing"}
LIVEKIT = {
    "input": "Hello there.",
    "model": "gpt-4o-mini-tts",
    "voice": "ash",
    "response_format": "mp3",
    "speed": 1.0,
}

ROWS = [
    Row("SillyTavern gpt-sovits-v2", "GET", "/speakers", headers=ST, gives="voices"),
    Row("SillyTavern gpt-sovits-v2", "POST", "/", SILLYTAVERN, headers=ST, gives="ogg"),
    Row("SillyTavern adapter", "POST", "/", ADAPTER, headers=ST, gives="wav"),
    Row("SillyTavern adapter", "POST", "/", {**ADAPTER, "media_type": "mp3"}, headers=ST, gives="mp3"),
    Row("SillyTavern gsvi", "GET", "/character_list", headers=ST, gives="object of lists"),
    get("SillyTavern gsvi", "/tts", GSVI_JS, "wav"),
    Row("SillyTavern OpenAI", "POST", "/v1/audio/speech",
        {"input": "Hello there.", "response_format": "mp3", "voice": "alice", "speed": 0.25, "model": "tts-1"},
        headers={**ST, **BEARER}, gives="mp3"),
    get("Open-LLM-VTuber", "/tts", VTUBER, "wav"),
    get("Open-LLM-VTuber, its default", "/tts", {**VTUBER, "streaming_mode": "ture"}, "wav"),
    get("AstrBot", "/set_gpt_weights", {"weights_path": "gpt_weights_v2/demo-gpt.ckpt"}, "success"),
    get("AstrBot", "/set_sovits_weights", {"weights_path": "sovits_weights_v2/demo-sovits.pth"}, "success"),
    get("AstrBot", "/tts", ASTRBOT, "wav"),
    Row("xiaozhi, gpt_sovits_v2", "POST", "/tts", XIAOZHI, gives="wav"),
    get("xiaozhi, gpt_sovits_v3", "/", XIAOZHI_V3, "wav"),
    Row("VideoLingo", "GET", "/ping"),
    Row("VideoLingo", "POST", "/tts", {**TTS, "prompt_text": "", "speed_factor": 1.1}, gives="wav"),
    Row("pyvideotrans, version 1", "POST", "/",
        {"text": "Hello there.", "text_language": "en", "refer_wav_path": "Reference One.wav", "prompt_text": "",
         "prompt_language": "en", "speed": 1.0}, gives="wav"),
    Row("pyvideotrans, version 2", "POST", "/tts",
        {**TTS, "prompt_text": "", "speed_factor": 1.0, "text_split_method": "cut5"}, gives="wav"),
    Row("LiveTalking", "POST", "/tts", {**TTS, "prompt_text": "", "media_type": "ogg", "streaming_mode": True},
        gives="ogg"),
    get("LunaTranslator, version 2", "/tts", {"text": "Hello there.", "text_lang": "en", "speed_factor": 1.0}, "wav"),
    get("LunaTranslator, version 1", "/", {"text": "Hello there.", "text_language": "en", "speed": 1.0}, "wav"),
    Row("LunaTranslator, GSVI", "POST", "/infer_single", INFER, gives="audio_url"),
    Row("GSVI classic", "POST", "/infer_classic", {**INFER, "gpt_model_name": "【经典】demo-gpt",
        "sovits_model_name": "【GSVI】demo-sovits", "ref_audio_path": "Reference One.wav"},
        gives="audio_url"),
    Row("GSVI classic lists", "GET", "/classic_model_list/v2", gives="weights"),
    Row("GSVI conversation", "POST", "/infer_multi", {**INFER, "content":
        "v2|alice|英语|英语|happy|1.0|Hello there.‖\nv2|Bob|英语|英语|默认|1.2|#Hi.|"}, gives="archive_url"),
    Row("GSVI OpenAI", "POST", "/v1/audio/speech", {"input": "Hello there.", "model": "GSVI-v4", "voice": "alice",
        "response_format": "wav", "other_params": {"app_key": "", "text_lang": "英语", "emotion": "happy"}},
        gives="wav"),
    Row("gpt-sovits-rs", "POST", "/v1/audio/speech", {"text": "Hello there.", "voiceId": "Bob",
        "responseFormat": "wav"}, gives="wav"),
    Row("Kokoro", "POST", "/v1/audio/speech", {"input": "Hello there.", "voice": "alice", "stream": False},
        gives="whole mp3"),
    Row("GSVI lists", "POST", "/models", {"version": "v4"}, gives="models"),
    Row("GSVI lists", "GET", "/models/v4", gives="models"),
    Row("GSVI lists", "GET", "/version"),
    Row("VoiceStudio", "POST", "/tts", {"text": "Hello there.", "text_lang": "en"}, gives="wav"),
    get("Amaidesu", "/set_refer_audio", {"refer_audio_path": "Reference One.wav"}, "success"),
    Row("Amaidesu", "POST", "/tts", {**TTS, "media_type": "raw", "streaming_mode": 1, "sample_steps": 4,
        "cfg_rate": 0},
        gives="raw", rate=32000),
    Row("gsv.cpp and v5", "POST", "/tts", {**TTS, "use_cuda_graph": True, "super_sampling": False,
        "overlap_length": 2,
        "min_chunk_length": 16, "streaming_mode": 3, "TEXT_LANG": "EN"}, gives="wav"),
    Row("Open WebUI", "POST", "/v1/audio/speech", {"input": "Hello there.", "voice": "alloy", "model": "tts-1"},
        headers=BEARER, gives="mp3"),
    Row("Open WebUI", "GET", "/v1/audio/voices", gives="id and name"),
    Row("Open WebUI", "GET", "/v1/audio/models", gives="models of Open WebUI"),
    Row("LiveKit", "GET", "/"),
    Row("LiveKit", "POST", "/v1/audio/speech", {**LIVEKIT, "stream_format": "sse", "instructions": "Be kind."},
        headers=BEARER, gives="sse"),
    Row("LiveKit tts-1", "POST", "/v1/audio/speech", {**LIVEKIT, "model": "tts-1", "stream_format": "audio"},
        gives="mp3"),
    Row("pipecat", "POST", "/v1/audio/speech",
        {"input": "Hello there.", "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"},
        headers=BEARER, gives="pcm", rate=24000),
    Row("airi", "POST", "/v1/audio/speech", {"input": "Hello there.", "model": "tts-1",
        "voice": {"id": "Bob"}}, gives="mp3"),
    Row("Dify", "POST", "/audio/speech", {"input": "Hello there.", "model": "tts-1", "voice": "alice",
        "response_format": "mp3", "speed": 1}, gives="mp3"),
    Row("mlx-audio", "GET", "/v1/audio/voices?model=tts-1", gives="id and name"),
    Row("vllm-omni", "POST", "/v1/audio/speech", {"input": "Hello there.", "voice": "vivian", "language": "English",
        "response_format": "wav"}, gives="wav"),
    Row("openai models", "GET", "/v1/models", gives="models of OpenAI"),
    Row("openai models", "GET", "/models", gives="models of OpenAI"),
    Row("captions", "POST", "/dev/captioned_speech", {"input": "Hello there.", "voice": "alice"}, gives="captions"),
]  # fmt: skip


def decoded(content):
    """Samples and rate of a sound, as a player reads it."""
    with av.open(io.BytesIO(content)) as file:
        stream = file.streams.audio[0]
        frames = [frame.to_ndarray() for frame in file.decode(stream)]
        return sum(frame.shape[-1] for frame in frames) if frames else 0, stream.rate


def is_sound(answer, format, rate=0):
    kind = answer.headers["content-type"]
    expected = {
        "ogg": "audio/ogg",
        "wav": "audio/wav",
        "mp3": "audio/mpeg",
        "pcm": "audio/pcm",
        "raw": "audio/raw",
    }
    assert kind.startswith(expected[format])
    if format in ("pcm", "raw"):
        samples = np.frombuffer(answer.content, "<i2")
        assert answer.headers["x-sample-rate"] == str(rate)
        assert len(samples) > 0.2 * rate
        return
    count, found = decoded(answer.content)
    assert count > 0.2 * found
    assert not rate or found == rate


def check(row, answer, http):
    gives = row.gives
    if gives in ("ogg", "wav", "mp3", "pcm", "raw"):
        is_sound(answer, gives, row.rate)
    elif gives == "voices":
        assert {"alice", "Bob"} <= {one["voice_id"] for one in answer.json()} & {
            one["name"] for one in answer.json()
        }
    elif gives == "object of lists":
        assert answer.json() == {"alice": ["happy"], "Bob": ["happy"]}
    elif gives == "success":
        assert answer.json()["message"] == "success"
    elif gives == "audio_url":
        assert answer.json()["msg"] == "合成成功"
        is_sound(http.get(answer.json()["audio_url"]), "wav")
    elif gives == "archive_url":
        assert answer.json()["msg"] == "合成成功"
        with zipfile.ZipFile(io.BytesIO(http.get(answer.json()["archive_url"]).content)) as archive:
            assert archive.namelist() == ["001_alice.wav", "001_alice.txt", "002_Bob.wav", "002_Bob.txt"]
            assert archive.read("002_Bob.txt") == b"Hi.|"
            assert all(decoded(archive.read(name))[0] > 0.2 * 32000 for name in archive.namelist()[::2])
    elif gives == "weights":
        assert answer.json() == {"msg": "获取模型列表成功", "gpt": ["demo-gpt"], "sovits": ["demo-sovits"]}
    elif gives == "whole mp3":
        assert int(answer.headers["content-length"]) == len(answer.content)
        is_sound(answer, "mp3")
    elif gives == "models":
        assert all(isinstance(v, list) for of in answer.json()["models"].values() for v in of.values())
    elif gives == "id and name":
        assert {(one["id"], one["name"]) for one in answer.json()["voices"]} == {
            ("alice", "alice"),
            ("Bob", "Bob"),
        }
    elif gives == "models of Open WebUI":
        assert {"tts-1", "gpt-4o-mini-tts"} <= {one["id"] for one in answer.json()["models"]}
    elif gives == "models of OpenAI":
        assert answer.json()["object"] == "list"
        assert all(one["object"] == "model" for one in answer.json()["data"])
    elif gives == "sse":
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert '"speech.audio.delta"' in answer.text
        assert '"speech.audio.done"' in answer.text
    elif gives == "captions":
        assert answer.json()["sentences"][0]["text"] == "Hello there."
        assert "00:00:00,000 -->" in answer.json()["srt"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.client}: {row.path.partition('?')[0]}")
def test_a_client_gets_what_it_needs(row, http):
    answer = http.request(row.method, row.path, json=row.json, headers=row.headers)
    assert answer.status_code == 200, answer.text
    if row.headers.get("Origin"):
        assert answer.headers["access-control-allow-origin"] == row.headers["Origin"]
    check(row, answer, http)


def test_sillytavern_may_ask_before_it_posts(http):
    asked = {**ST, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = http.options("/", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ST["Origin"]


@pytest.mark.parametrize("path", ["/", "/health", "/tts", "/docs", "/v1/models"])
def test_a_probe_tells_that_somebody_is_there(http, path):
    """VoiceStudio and desktop launchers take these for alive."""
    assert http.get(path).status_code in (200, 400, 404, 405)


def test_livetalking_decodes_every_http_chunk_alone(live):
    """It hands each chunk of the transfer to a decoder, as a whole file."""
    body = b'{"text": "Hello there, you. This is another one.", "text_lang": "en", "ref_audio_path": "alice", ' \
        b'"media_type": "ogg", "streaming_mode": 2}'  # fmt: skip
    head = (
        f"POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    rest = answer.partition(b"\r\n\r\n")[2]
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    assert chunks.pop() == b""
    assert len(chunks) >= 2
    for chunk in chunks:
        samples, rate = soundfile.read(io.BytesIO(chunk))
        assert rate == 32000
        assert len(samples)


def test_dify_joins_answers_to_one_mp3(http):
    asked = {"model": "tts-1", "voice": "alice", "response_format": "mp3"}
    parts = [
        http.post("/v1/audio/speech", json={**asked, "input": text}).content
        for text in ("Hello.", "Good bye.")
    ]
    whole, rate = decoded(b"".join(parts))
    assert whole >= sum(decoded(part)[0] for part in parts) - 2 * 1152
    assert rate == 32000


def test_a_streamed_wav_has_a_length_that_players_take_for_unknown(http):
    answer = http.get("/tts", params={"text": "Hello there.", "text_lang": "en", "streaming_mode": 2})
    assert answer.content[4:8] == answer.content[40:44] == b"\xff\xff\xff\xff"
    whole = http.get("/tts", params={"text": "Hello there.", "text_lang": "en"})
    assert int.from_bytes(whole.content[40:44], "little") == len(whole.content) - 44
    assert whole.headers["content-length"] == str(len(whole.content))


def pauses(wav):
    """How many stretches of exact silence a WAV has; there is one behind each sentence."""
    silent = np.frombuffer(wav[44:], "<i2") == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.view(np.int8), [0]))))
    return int((edges[1::2] - edges[::2] > 3200).sum())


@pytest.mark.parametrize(
    ("marks", "sentences"),
    [(",", 2), (",.", 3), ("。", 1), ("x", None)],
    ids=["comma", "two", "none", "foreign"],
)
def test_api_py_cuts_a_text_at_the_marks_that_are_named(http, marks, sentences):
    text = "One of them is 3.14 long, the other is not. That was it"
    asked = {"text": text, "text_language": "en", "cut_punc": marks, "seed": 1}
    answer = http.post("/", json=asked)
    assert answer.status_code == 200
    if sentences is None:  # what the original does not know either is as if it were not there
        assert answer.content == http.post("/", json={**asked, "cut_punc": None}).content
    else:
        assert pauses(answer.content) == sentences


@pytest.mark.parametrize(
    ("path", "field", "language"), [("/tts", "super_sampling", "text_lang"), ("/", "if_sr", "text_language")]
)
def test_who_asks_for_super_sampling_is_told_that_it_is_not_done(http, path, field, language):
    asked = {"text": "Hello there.", language: "en"}
    assert http.post(path, json={**asked, field: True}).headers["x-ignored"] == "super_sampling"
    assert "x-ignored" not in http.post(path, json={**asked, field: "false"}).headers


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected 1 to 100"),
        ("v2|alice|英语|英语|happy|Hello.", "line 1 is"),
        ("v2|alice|英语|英语|happy|1|Hi.‖v2|alice|英语|英语|happy|fast|Hi.", "speed_factor: got 'fast'"),
        ("v2|nobody|英语|英语|happy|1|Hi.", "no voice 'nobody'"),
    ],
)
def test_a_conversation_that_cannot_be_read_is_refused_as_a_whole(http, content, said):
    answer = http.post("/infer_multi", json={"content": content})
    assert answer.status_code in (400, 404)
    assert said in answer.json()["msg"]


def test_weights_that_made_no_voice_are_an_error_in_the_classic_mode_too(http):
    answer = http.post("/infer_classic", json={"text": "Hi.", "text_lang": "en", "gpt_model_name": "x"})
    assert answer.status_code == 404
    assert "'x.ckpt'" in answer.json()["msg"]
