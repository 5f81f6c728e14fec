"""What `/openapi.json` tells of the routes."""

from __future__ import annotations


def test_every_route_is_told_with_its_methods_and_its_fields(http):
    told = http.get("/openapi.json").json()
    assert told["openapi"].startswith("3.")
    paths = told["paths"]
    assert {"/v1/audio/speech", "/tts", "/set_gpt_weights", "/infer_single", "/health", "/"} <= set(paths)
    by_query, by_body = paths["/tts"]["get"], paths["/tts"]["post"]
    fields = by_body["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"text", "text_lang", "ref_audio_path", "streaming_mode"} <= set(fields)
    assert {one["name"]: one["schema"] for one in by_query["parameters"]} == fields
    numbers = [one["operationId"] for path in paths.values() for one in path.values()]
    assert len(numbers) == len(set(numbers))


def test_a_head_request_speaks_for_nobody(http):
    assert http.head("/health").status_code == 200
    answer = http.head("/tts", params={"text": "Hello.", "text_lang": "en"})
    assert answer.status_code == 405
    assert answer.headers["allow"] in ("GET, POST", "POST, GET", "GET")
