"""The first texts of a process may come from several threads at once: packages and engines are loaded for one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text import extras
from sovits_runtime.text.ja.openjtalk import find_dictionary
from sovits_runtime.text.pipeline import TextFrontend

THREADS = 8
TEXTS = {
    "en": [
        "Dr. Smith lives at 221 Baker Street.",
        "A flibbertigibbetish xylomancer read 3 e-mails.",
        "I live there.",
    ],
    "zh": ["重庆银行今天下雨了，气温-5℃。", "他长得很高，一点儿也不乖 hello.", "2024年3月1日，一共3个。"],
    "ja": ["東京は今日も雨です、気温-5℃。", "猫が3匹 hello いる。", "先生、10時半です。"],
    "ko": ["안녕하세요. 국물을 먹는다.", "사과 3개와 hello 12:30에 만나요.", "값이 없다, 읽고 싶다."],
    "yue": ["你好，我哋今日去銀行。", "一共3個 hello 先生。", "2024年3月1日落雨。"],
    "auto": ["你好，今日は良い天気です。", "안녕하세요 hello 世界。", "重庆银行下雨了。"],
}
NEEDS = {
    "en": ("pronouncing", "g2p_en", "wordsegment"),
    "zh": ("jieba", "pypinyin", "kokorog2p"),
    "ja": ("pyopenjtalk",),
    "ko": ("jamo", "g2pk2"),
    "yue": ("ToJyutping",),
    "auto": ("budoux", "jieba", "pypinyin", "pyopenjtalk", "jamo", "g2pk2"),
}
READS = """
import json, sys
from threading import Barrier, Thread
from sovits_runtime.text.pipeline import TextFrontend

count, mode, texts = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
barrier, results = Barrier(count), [None] * count


def read(number):
    barrier.wait()
    try:
        order = texts[number % len(texts):] + texts[:number % len(texts)]
        results[number] = {
            text: [piece.symbols for official in (False, True)
                   for piece in TextFrontend(official=official).pieces(text, mode)]
            for text in order
        }
    except Exception as error:
        results[number] = repr(error)


sys.setswitchinterval(1e-5)
threads = [Thread(target=read, args=(number,)) for number in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(results))
"""


@pytest.mark.parametrize("mode", TEXTS)
def test_the_first_texts_come_from_eight_threads_at_once(mode):
    if not all(find_spec(package) for package in NEEDS[mode]):
        pytest.skip(f"needs {', '.join(NEEDS[mode])}")
    if mode in ("ja", "auto") and find_dictionary() is None:
        pytest.skip("the dictionary of Open JTalk is not installed")
    command = [sys.executable, "-c", READS, str(THREADS), mode, json.dumps(TEXTS[mode])]
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    alone = {
        text: [
            list(piece.symbols)
            for official in (False, True)
            for piece in TextFrontend(official=official).pieces(text, mode)
        ]
        for text in TEXTS[mode]
    }
    assert json.loads(ran.stdout) == [alone] * THREADS


def test_a_thing_is_made_once_while_the_others_wait():
    made = []

    @extras.once
    def slow():
        made.append(threading.get_ident())
        time.sleep(0.05)
        return object()

    with ThreadPoolExecutor(THREADS) as pool:
        things = list(pool.map(lambda _: slow(), range(THREADS)))
    assert len(made) == 1
    assert set(things) == {slow()}
    slow.cache_clear()
    assert slow() is not things[0]


def test_what_could_not_be_made_is_tried_again():
    tries = []

    @extras.once
    def flaky():
        tries.append(None)
        if len(tries) == 1:
            raise TextError("not yet")

    with pytest.raises(TextError, match="not yet"):
        flaky()
    assert flaky() is flaky() is None
    assert len(tries) == 2


def test_one_thing_may_need_another():
    inner = extras.once(lambda: 2)
    outer = extras.once(lambda: inner() + 1)
    assert outer() == 3


def test_every_loader_without_arguments_is_made_once():
    folder = next(path for path in extras.package_folders("sovits_runtime") if path.is_dir()) / "text"
    bare = "@lru_cache(maxsize=1)\ndef "
    assert [path.name for path in folder.rglob("*.py") if bare in path.read_text("utf-8")] == []
