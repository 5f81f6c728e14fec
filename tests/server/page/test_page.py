"""The web page in a real Chromium: voices, sound as it comes, its picture and times, uploads, code; on a phone too."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

import httpx
import uvicorn

from sovits_runtime.audio import Audio
from sovits_runtime.audio.files import read_audio
from sovits_server.app import Server
from sovits_server.config import load_config
from sovits_server.page import FILES, HEADERS
from sovits_server.voices import Voice, VoiceReference, write_profile

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEY = "a key that is long enough"
SETTINGS = {"threads": 1, "max_seconds": 0.6, "cache_mb": 0, "allow_upload": True, "default_voice": "Alice"}
TAGS = "<img src=x onerror=alert(1)>"


@contextlib.contextmanager
def serving(voices: Path, **more: object):
    server = Server(load_config({"voices": voices, **SETTINGS, **more}, environment={}))
    process = uvicorn.Server(uvicorn.Config(server.app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        end = time.monotonic() + 120
        while not process.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    finally:
        process.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def voices(folder: Path, tiny_bundle, demo_files):
    phones = tuple(json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"])
    reference = VoiceReference(name="default", path=Path(demo_files.reference_wav), phones=phones)
    happy = VoiceReference(name="glad", path=reference.path, phones=phones, emotion="happy")
    alice = Voice(name="Alice", bundle=tiny_bundle, references=(reference, happy), language="en")
    write_profile(alice, folder / "alice.toml")
    write_profile(
        Voice(name="小明", bundle=tiny_bundle, references=(reference,), language="en"), folder / "ming.toml"
    )
    return folder


@pytest.fixture(scope="module")
def address(voices):
    with serving(voices) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens the page; in the end nothing of it may have failed, and nothing may have been asked of anybody else."""
    opened = []

    def open_it(address: str, **context: object):
        asked, wrong = [], []
        made = chromium.new_context(**{"locale": "en-US", "accept_downloads": True, **context})
        page = made.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: wrong.append(message.text) if "Content Security" in message.text else None,
        )
        opened.append((made, address, asked, wrong))
        page.goto(address)
        return page

    yield open_it
    for made, address, asked, wrong in opened:
        assert wrong == []
        assert all(url.startswith((address, "data:", "blob:")) for url in asked), asked
        made.close()


def spoken(page, text="Good morning."):
    page.locator("#voice option").first.wait_for(state="attached")
    page.fill("#text", text)
    page.click("#speak")
    page.locator("#status.good, #status.bad").wait_for()


def test_every_file_is_sent_with_a_policy_that_lets_nothing_else_in(address):
    with httpx.Client(base_url=address) as client:
        for path, (_, kind) in FILES.items():
            answer = client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == kind
            assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert "http://" not in answer.text.replace("http://www.w3.org", "")
            again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == (200 if path == "/" else 304)
        html = client.get("/").text
        assert "onclick" not in html
        assert " style=" not in html


def test_the_page_can_be_switched_off(voices):
    with serving(voices, page=False) as address, httpx.Client(base_url=address) as client:
        assert client.get("/").headers["content-type"] == "application/json"
        assert client.get("/page.js").status_code == 404


def test_a_text_is_heard_seen_and_timed(address, open_page, tmp_path):
    page = open_page(address)
    spoken(page, "Good morning. Good night.")
    assert page.inner_text("#status") == "Done."
    samples = int(page.get_attribute("#heard", "data-samples"))
    assert samples >= 24000 * 0.6
    assert page.inner_text("#length") == f"{samples / 24000:.2f} s"
    assert page.inner_text("#first").endswith(" ms")
    lines = page.locator("#sentences li").all_inner_texts()
    assert lines[0].startswith("0.00 – ")
    assert "Good morning." in "".join(lines)
    picture = "() => new Set(document.querySelector('#wave').getContext('2d').getImageData(0, 0, 600, 100).data).size"
    assert page.evaluate(picture) > 2, "the waveform is drawn"
    with page.expect_download() as saving:
        page.click("#save")
    saving.value.save_as(tmp_path / "speech.wav")
    wave, rate = read_audio(tmp_path / "speech.wav")
    assert (len(wave), rate) == (samples, 24000)
    assert np.abs(wave).max() > 0
    page.click("#replay")
    assert page.is_enabled("#stop")


def test_the_first_sound_does_not_wait_for_the_last(address, open_page):
    """While the answer is under way the page has sound already, and it can be stopped."""
    page = open_page(address)
    page.locator("#voice option").first.wait_for(state="attached")
    page.fill("#text", "Good morning, and so on. " * 200)
    page.click("#speak")
    page.locator("#heard[data-samples]").wait_for()
    assert page.inner_text("#status") == "Speaking …"
    page.click("#stop")
    assert page.inner_text("#status") == "Stopped."
    assert page.is_disabled("#stop")


def test_choices_reach_the_server_and_the_code(address, open_page):
    page = open_page(address)
    page.locator("#voice option").nth(1).wait_for(state="attached")
    page.select_option("#voice", "Alice")
    page.select_option("#emotion", "glad")
    page.select_option("#lang", "en")
    page.fill("#seed", "7")
    page.evaluate(
        "() => { speed.value = '1.25'; speed.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.fill("#text", "It's “five”.")
    with page.expect_request("**/v1/audio/speech") as asking:
        page.click("#speak")
    sent = asking.value.post_data_json
    assert sent | {"stream_format": "", "timestamps": ""} == {
        "model": "gpt-sovits",
        "input": "It's “five”.",
        "voice": "Alice",
        "emotion": "glad",
        "language": "en",
        "seed": 7,
        "speed": 1.25,
        "response_format": "pcm",
        "stream_format": "",
        "timestamps": "",
    }
    page.locator("#status.good").wait_for()
    curl = page.inner_text("#code")
    assert f"curl {address}/v1/audio/speech" in curl
    assert "It'\\''s" in curl
    page.click("text=Python")
    code = page.inner_text("#code")
    compile(code, "code", "exec")
    assert 'voice="Alice"' in code
    page.click("text=JavaScript")
    assert "await fetch(" in page.inner_text("#code")


def test_the_curl_line_works(address, open_page, tmp_path):
    import shlex
    import subprocess

    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    page = open_page(address)
    page.locator("#voice option").first.wait_for(state="attached")
    page.fill("#text", "It's a test.")
    words = shlex.split(page.inner_text("#code").replace("\\\n", " "))
    subprocess.run([*words, "-sSf"], cwd=tmp_path, check=True)
    assert len(read_audio(tmp_path / "speech.mp3")[0]) > 5000


def test_a_recording_is_uploaded_told_of_and_can_be_chosen(address, open_page, tmp_path, voices):
    time_s = np.arange(14 * 32000) / 32000
    wave = np.random.default_rng(1).standard_normal(len(time_s)) * 0.1 * ((time_s % 2.4) < 2)
    (tmp_path / "long.wav").write_bytes(Audio(wave.astype(np.float32), 32000).encode())
    page = open_page(address)
    page.locator("#voice option").first.wait_for(state="attached")
    page.click("summary")
    page.fill("#new-name", "Carol")
    page.set_input_files("#file", tmp_path / "long.wav")
    page.click("#upload button[type=submit]")
    page.locator("#said.good, #said.bad").wait_for()
    said = page.inner_text("#said")
    assert said.startswith("Added: kept ")
    assert " of 14.00 s; cut at pauses: " in said
    assert page.input_value("#voice") == "Carol"
    assert len(read_audio(voices / "Carol.references" / "default.wav")[0]) <= 32000 * 10
    page.set_input_files("#file", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
    page.fill("#new-name", "Dave")
    page.click("#upload button[type=submit]")
    page.locator("#said.bad").wait_for()
    assert "expected WAV" in page.inner_text("#said")


def test_what_a_phone_records_is_turned_into_wav_by_the_browser(address, open_page, demo_files, voices):
    """The server need not decode what it cannot: the browser has a decoder for it."""
    av = pytest.importorskip("av")
    samples, rate = read_audio(demo_files.reference_wav)
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[:, 0][None].copy(), format="flt", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    page = open_page(address)
    page.locator("#voice option").first.wait_for(state="attached")
    page.click("summary")
    page.fill("#new-name", "Phone")
    page.set_input_files("#file", {"name": "note.webm", "mimeType": "audio/webm", "buffer": file.getvalue()})
    page.click("#upload button[type=submit]")
    page.locator("#said.good, #said.bad").wait_for()
    assert page.inner_text("#said").startswith("Added: kept ")


def test_errors_are_shown_as_text(address, open_page):
    page = open_page(address)
    spoken(page, "…")
    assert page.get_attribute("#status", "class") == "bad"
    assert "nothing to say" in page.inner_text("#status")
    spoken(page, f"Good morning {TAGS}")
    assert page.locator("main img").count() == 0


def test_a_server_with_a_key_asks_for_it(voices, open_page):
    with serving(voices, api_key=[KEY]) as address:
        page = open_page(address)
        page.locator("#status.bad").wait_for()
        assert page.inner_text("#status") == "This server wants a key."
        page.fill("#key", KEY)
        page.locator("#key").blur()
        page.locator("#voice option").first.wait_for(state="attached")
        spoken(page)
        assert page.inner_text("#status") == "Done."
        assert "Authorization: Bearer YOUR_KEY" in page.inner_text("#code")
        assert KEY not in page.inner_text("body")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_it_speaks_the_language_of_the_browser_and_can_change_it(address, locale, open_page):
    page = open_page(address, locale=locale)
    first, second = ("Speak", "朗读") if locale == "en-US" else ("朗读", "Speak")
    assert page.inner_text("#speak") == first
    spoken(page)
    page.click("#language")
    assert page.inner_text("#speak") == second
    assert page.inner_text("#status") in {"Done.", "完成。"} - {"Done." if second == "朗读" else "完成。"}
    page.reload()
    assert page.inner_text("#speak") == second
    assert page.get_attribute("html", "lang") == ("zh-CN" if second == "朗读" else "en")


def test_both_languages_have_the_same_words(address, open_page):
    page = open_page(address)
    used = page.evaluate(
        "() => [...document.querySelectorAll('[data-t]')].map((element) => element.dataset.t)"
    )
    source = (Path(__file__).parents[3] / "server/sovits_server/page/page.js").read_text(encoding="utf-8")
    blocks = [source.split(f"\n  {name}: {{")[1].split("\n  },")[0] for name in ("en", "zh")]
    for block in blocks:
        assert [word for word in used if f" {word}: " not in block] == []


def test_it_fits_a_phone(address, open_page):
    page = open_page(address, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    spoken(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        "() => [...document.querySelectorAll('button, a.button, select')]"
        ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40).map((e) => e.id)"
    )
    assert small == []


def test_every_field_has_a_name_for_those_who_do_not_see_it(address, open_page):
    page = open_page(address)
    fields = "[...document.querySelectorAll('input, select, textarea')]"
    unnamed = page.evaluate(
        f"() => {fields}.filter((field) => !field.labels.length).map((field) => field.id)"
    )
    assert unnamed == []
