"""Rows of a batch on a device that runs everything late and in a hostile order, against each sentence alone."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from fake_device import FakeDevice

from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_step import BATCH_SIZES
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.rows import row_maker
from sovits_runtime.t2s.sampling import SamplingOptions

POLICIES = ("first", "last", "early", 0, 1)
LONG = SamplingOptions(min_tokens=10_000)


@pytest.fixture(scope="module")
def t2s(graph_voice):
    """The host's loop, which says what is right."""
    return graph_voice.text_to_semantic


class Asked:
    """One sentence: its own text, prompt, options, seed, and the step in which it is made to end."""

    def __init__(self, t2s, seed: int, *, tokens: int = 40, end: int | None = None, size: int | None = None):
        rng = np.random.default_rng(seed)
        count = size or int(rng.integers(1, 25))
        self.given = (
            rng.integers(0, 300, count),
            rng.standard_normal((count, t2s.bert_width), np.float32),
            rng.integers(0, 1024, int(rng.integers(0, 20 if size is None else 4))),
        )
        self.options = SamplingOptions(
            top_k=int(rng.integers(0, 30)),
            temperature=float(rng.uniform(0.5, 1.5)),
            repetition_penalty=float(rng.uniform(1, 1.5)),
            min_tokens=10_000 if end is None else 0,
        )
        self.end, self.tokens, self.seed, self.vocab = end, tokens, seed, t2s.vocab

    def noise(self):
        source = seeded_noise(np.random.default_rng(self.seed), self.vocab)

        def draw(step):
            row = source(step)
            if self.end is not None:
                row[0, -1] = 1e-20 if step == self.end else 1e20
            return row

        return draw

    def open(self, rows):
        return rows.open_row(*self.given, options=self.options, noise=self.noise())

    def alone(self, t2s) -> list[int]:
        made = t2s.generate(*self.given, options=self.options, noise=self.noise(), max_tokens=self.tokens)
        return [*made.tokens.tolist(), *(["end"] if made.stop_reason == "eos" else [])]


class Batch:
    """Steps sentences as an engine does: all that are open, until each has ended or has its tokens."""

    def __init__(self, rows) -> None:
        self.rows = rows
        self.open: dict[Asked, object] = {}
        self.made: dict[Asked, list] = {}

    def join(self, asked: Asked) -> None:
        self.made[asked] = []
        self.open[asked] = asked.open(self.rows)
        self.take(asked, self.open[asked].first())

    def step(self) -> None:
        asked = list(self.open)
        for one, made in zip(asked, self.rows.step_rows([self.open[a] for a in asked]), strict=True):
            if isinstance(made, Exception):
                raise made
            self.take(one, made)

    def take(self, asked: Asked, made) -> None:
        self.made[asked].append("end" if made.stop else made.token)
        if made.stop or len(self.made[asked]) == asked.tokens:
            self.open.pop(asked).close()

    def finish(self) -> None:
        while self.open:
            self.step()


def device_rows(engines, policy="first", rows=4, **options):
    device = FakeDevice(policy)
    made = DeviceTextToSemantic(device, engines, rows=rows, **options)
    assert row_maker(made) is made.rows
    return device, made.rows


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_that_come_and_go_make_the_tokens_that_each_makes_alone(t2s, gpt_engines, policy):
    """Lengths, options, prompts and ends of their own; caches grow past two lengths and become short again."""
    _, rows = device_rows(gpt_engines, policy)
    batch = Batch(rows)
    asked = [Asked(t2s, n, tokens=8 + 9 * n, end=(None, 5, 17)[n % 3]) for n in range(9)]
    asked[4] = Asked(t2s, 4, tokens=110)
    order = random.Random(str(policy))
    waiting = list(asked)
    while waiting or batch.open:
        while waiting and len(batch.open) < 4 and order.random() < 0.5:
            batch.join(waiting.pop(0))
        if batch.open:
            batch.step()
    for one in asked:
        assert batch.made[one] == one.alone(t2s), one.seed


@pytest.mark.parametrize("poll", [1, 3, 8, 100])
def test_any_interval_between_looks_gives_the_same(t2s, gpt_engines, poll):
    _, rows = device_rows(gpt_engines, 3, poll_steps=poll)
    batch = Batch(rows)
    asked = [Asked(t2s, 20 + n, tokens=30 + n, end=(None, 8)[n % 2]) for n in range(3)]
    for one in asked:
        batch.join(one)
        batch.step()
    batch.finish()
    assert [batch.made[one] for one in asked] == [one.alone(t2s) for one in asked]


@pytest.mark.parametrize("end", [0, 1, 7, 8, 9, 16, 33])
def test_the_end_of_a_row_is_found_exactly_and_others_go_on(t2s, gpt_engines, end):
    _, rows = device_rows(gpt_engines, 2)
    batch = Batch(rows)
    asked = [Asked(t2s, 5), Asked(t2s, 6, end=end), Asked(t2s, 7)]
    for one in asked:
        batch.join(one)
    batch.finish()
    for one in asked:
        assert batch.made[one] == one.alone(t2s)


def test_every_number_of_rows_up_to_the_most(t2s, gpt_engines):
    """32 sentences join one after the other, and leave in another order; each size of batch runs."""
    _, rows = device_rows(gpt_engines, 4, rows=32)
    batch = Batch(rows)
    asked = [Asked(t2s, n, tokens=8 + (7 * n) % 31, size=4) for n in range(32)]
    for one in asked:
        batch.join(one)
        if len(batch.open) in (1, 2, 3, 8, 9, 31):
            batch.step()
    batch.finish()
    for one in asked:
        assert batch.made[one] == one.alone(t2s)


def test_nothing_is_captured_after_warming(t2s, gpt_engines):
    """One captured step a batch size and cache length; rows join, move and leave over them."""
    device = FakeDevice(5)
    made = DeviceTextToSemantic(device, gpt_engines, rows=4)
    made.warm()
    own = 3  # of single requests
    assert device.captures == own + 3 * len([size for size in BATCH_SIZES if size <= 4])
    captured, launched = device.captures, device.launches
    batch = Batch(made.rows)
    for n in range(6):
        batch.join(Asked(t2s, n, tokens=12 + 20 * (n == 2)))
        batch.step()
        if n == 3:
            batch.finish()
    batch.finish()
    assert device.captures == captured
    assert device.launches > launched
    assert made.fallback == ""
    made.close()
    assert device.used == 0


def test_a_batch_is_no_larger_than_its_rows(t2s, gpt_engines, monkeypatch):
    """When the first rows leave, the last one moves to the front."""
    _, rows = device_rows(gpt_engines, rows=8)
    batch = Batch(rows)
    asked = [Asked(t2s, n, tokens=60 if n == 4 else 10, size=5) for n in range(5)]
    for one in asked:
        batch.join(one)
    sizes = []
    launch = rows._table.launch
    monkeypatch.setattr(rows._table, "launch", lambda size, *rest: (sizes.append(size), launch(size, *rest)))
    batch.finish()
    assert sizes[0] == 8
    assert sizes[-1] == 1
    assert batch.made[asked[4]] == asked[4].alone(t2s)


def broken(t2s, **options) -> Asked:
    """A sentence whose keys and values are no numbers."""
    asked = Asked(t2s, 1, **options)
    phones, bert, prompt = asked.given
    asked.given = phones, np.full_like(bert, np.nan), prompt
    return asked


def test_what_a_row_leaves_behind_harms_nobody_at_its_index(t2s, gpt_engines):
    """Positions past the last one are masked, but zero times what is not a number is not a number."""
    _, rows = device_rows(gpt_engines, rows=2)
    batch = Batch(rows)
    good, bad = Asked(t2s, 2, tokens=20, size=4), broken(t2s, tokens=10, size=10)
    batch.join(good)
    batch.join(bad)
    while bad in batch.open:
        batch.step()
    later = Asked(t2s, 3, tokens=6, size=2)
    batch.join(later)
    index = batch.open[later].index
    batch.finish()
    assert index == 1  # where the other one was; the caches stayed the shortest ones, which nobody cleared
    assert rows._table.index == 0
    for one in (good, later):
        assert batch.made[one] == one.alone(t2s)


def test_what_a_row_leaves_behind_harms_nobody_who_moves_there(t2s, gpt_engines):
    _, rows = device_rows(gpt_engines, rows=2)
    batch = Batch(rows)
    bad, good = broken(t2s, tokens=16, size=12), Asked(t2s, 3, tokens=30, size=2)
    batch.join(bad)
    for _ in range(8):
        batch.step()
    batch.join(good)
    while bad in batch.open:
        batch.step()
    while batch.open[good].index:
        batch.step()
    batch.finish()
    assert batch.made[good] == good.alone(t2s)


def test_what_a_row_leaves_behind_harms_nobody_whose_caches_grow(t2s, gpt_engines):
    _, rows = device_rows(gpt_engines, rows=1)
    for one in (broken(t2s, tokens=85, size=4), Asked(t2s, 3, tokens=80, size=4)):
        batch = Batch(rows)
        batch.join(one)
        batch.finish()
    assert batch.made[one] == one.alone(t2s)


@pytest.mark.parametrize(
    "tokens", [(126, 114, 102, 90), (126, 114, 90, 90), (80, 80, 80, 100)], ids=["ended", "left", "moved"]
)
def test_an_index_without_a_row_stands_still_whatever_ran_there(t2s, gpt_engines, monkeypatch, tokens):
    """A long row was at the last index; smaller batches ran since; now it pads one with the shortest caches."""
    _, rows = device_rows(gpt_engines)
    batch = Batch(rows)
    long = [Asked(t2s, n, tokens=tokens[n], size=4) for n in range(4)]
    for one in long:
        batch.join(one)
    assert batch.open[long[3]].index == 3
    batch.finish()
    short = [Asked(t2s, 10 + n, tokens=20, size=4) for n in range(3)]
    sizes = []
    launch = rows._table.launch
    monkeypatch.setattr(rows._table, "launch", lambda size, *rest: (sizes.append(size), launch(size, *rest)))
    for one in short:
        batch.join(one)
    batch.finish()
    assert max(sizes) == 4
    for one in (*long, *short):
        assert batch.made[one] == one.alone(t2s)


@pytest.mark.parametrize("seed", range(3))
def test_lanes_of_an_engine_join_step_and_close_at_the_same_time(t2s, gpt_engines, seed):
    """Prefills in one thread, steps in another; some rows are closed in the middle, by a third."""
    _, rows = device_rows(gpt_engines, seed, rows=4)
    asked = [Asked(t2s, 40 + n, tokens=15 + 4 * n, end=(None, 9)[n % 2]) for n in range(10)]
    left = {asked[3], asked[6]}
    places, joined = threading.Semaphore(4), []
    turn, done = threading.Lock(), threading.Event()
    made: dict[Asked, list] = {one: [] for one in asked}
    problems = []

    def guard(work):
        def run():
            try:
                work()
            except BaseException as error:
                problems.append(error)
                done.set()

        return run

    def prefills():
        for one in asked:
            assert places.acquire(timeout=60)
            row = one.open(rows)
            first = row.first()
            with turn:
                made[one].append(first.token)
                joined.append((one, row))

    def steps():
        finished = 0
        while finished < len(asked) and not done.is_set():
            with turn:
                now = list(joined)
            if not now:
                time.sleep(0.001)
                continue
            for (one, row), step in zip(now, rows.step_rows([row for _, row in now]), strict=True):
                if isinstance(step, Exception):
                    raise step
                made[one].append("end" if step.stop else step.token)
                if step.stop or len(made[one]) == (6 if one in left else one.tokens):
                    row.close()
                    with turn:
                        joined.remove((one, row))
                    finished += 1
                    places.release()

    threads = [threading.Thread(target=guard(work)) for work in (prefills, steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not problems
    for one in asked:
        want = one.alone(t2s)
        assert made[one] == (want[:6] if one in left else want)


def test_an_error_of_the_device_ends_the_rows_and_later_ones_work(t2s, gpt_engines):
    device, rows = device_rows(gpt_engines)
    first = [Asked(t2s, n, tokens=60) for n in (1, 2)]
    opened = [one.open(rows) for one in first]
    for row in opened:
        row.first()
    device.fail_after = 60
    failed = []
    while not failed:
        failed = [made for made in rows.step_rows(opened) if isinstance(made, Exception)]
    assert len(failed) == 2
    assert all("cudaErrorIllegalAddress" in str(error) for error in failed)
    for row in opened:
        row.close()
    batch = Batch(rows)
    for one in first:
        batch.join(one)
    batch.finish()
    assert [batch.made[one] for one in first] == [one.alone(t2s) for one in first]


def test_a_row_that_cannot_join_ends_those_that_are_there(t2s, gpt_engines, monkeypatch):
    """Nobody knows what of the copies was done; the table is made fit again before the next one."""
    _, rows = device_rows(gpt_engines)
    one, other = Asked(t2s, 1), Asked(t2s, 2)
    row = one.open(rows)
    row.first()
    with monkeypatch.context() as patch:
        patch.setattr(rows._table.stream, "copy_positions", refuse)
        with pytest.raises(BackendError, match="copy memory"):
            other.open(rows).first()
    (error,) = rows.step_rows([row])
    assert "copy memory" in str(error)
    batch = Batch(rows)
    for again in (one, other):
        batch.join(again)
    batch.finish()
    for again in (one, other):
        assert batch.made[again] == again.alone(t2s)


def refuse(*_):
    raise BackendError("cudaErrorInvalidValue: could not copy memory")


def test_an_error_of_one_row_is_its_own(t2s, gpt_engines):
    _, rows = device_rows(gpt_engines)
    good, bad = Asked(t2s, 1), Asked(t2s, 2)
    source = bad.noise()

    def draw(step):
        if step == 12:
            raise RuntimeError("no more noise")
        return source(step)

    opened = [good.open(rows), rows.open_row(*bad.given, options=bad.options, noise=draw)]
    made = [[row.first().token] for row in opened]
    while not isinstance((steps := rows.step_rows(opened))[1], Exception):
        for tokens, step in zip(made, steps, strict=True):
            tokens.append(step.token)
    assert str(steps[1]) == "no more noise"
    made[0].append(steps[0].token)
    opened[1].close()
    while len(made[0]) < good.tokens:
        (step,) = rows.step_rows(opened[:1])
        made[0].append(step.token)
    assert made[0] == good.alone(t2s)
    assert made[1] == bad.alone(t2s)[: len(made[1])]


def test_what_does_not_fit_is_refused_in_words(t2s, gpt_engines):
    _, rows = device_rows(gpt_engines, rows=1)
    one = Asked(t2s, 1, size=20)
    with pytest.raises(ShapeError, match="prompt: got 301, the engines take 0 to 300"):
        rows.open_row(one.given[0], one.given[1], np.zeros(301, np.int64), options=LONG, noise=one.noise())
    row = one.open(rows)
    (error,) = rows.step_rows([row])
    assert "before its first one" in str(error)
    row.first()
    with pytest.raises(BackendError, match="all 1 rows of the batch are taken"):
        one.open(rows).first()
    made = 1
    while not isinstance(step := rows.step_rows([row])[0], Exception):
        made += 1
    assert made == 256 - len(one.given[0]) - len(one.given[2]) + 1
    assert "needs more than the 256 cache rows of the longest engine" in str(step)
    row.close()
    one.open(rows).first()


def test_without_capture_steps_are_enqueued_and_it_is_said(t2s, gpt_engines):
    problem = "cudaErrorStreamCaptureUnsupported (900): operation not permitted when stream is capturing"
    device = FakeDevice(capture_problem=problem)
    made = DeviceTextToSemantic(device, gpt_engines, rows=2)
    batch, one = Batch(made.rows), Asked(t2s, 3)
    batch.join(one)
    batch.finish()
    assert batch.made[one] == one.alone(t2s)
    assert made.fallback == problem
    with pytest.raises(BackendError, match="cannot be captured as a CUDA graph: cudaErrorStream"):
        DeviceTextToSemantic(device, gpt_engines, rows=2, strict=True).warm()
    assert device.used == made.rows.memory_bytes


def test_too_little_memory_is_an_error_and_leaves_nothing(gpt_engines):
    device = FakeDevice()
    made = DeviceTextToSemantic(device, gpt_engines, rows=8)
    device.limit = made.memory_bytes - 1
    with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
        made.warm()
    assert device.used == 0
    device.limit += 1
    made.warm()
    assert device.used == made.memory_bytes
    made.close()
    assert device.used == 0
