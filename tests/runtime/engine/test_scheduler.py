"""The engine's scheduler against a simulated device: who is served when, and what is left behind."""

import pytest
from simulated import TOKEN_S, World, random_world

from sovits_runtime import ChunkOptions
from sovits_runtime.engine.scheduler import AHEAD_S
from sovits_runtime.engine.states import FIRST_SOUND_S, PRIORITY_S, Phase
from sovits_runtime.engine.types import DeadlinePassed, QueueFull
from sovits_runtime.errors import GenerationError

both = pytest.mark.parametrize("beside", [False, True])


def length_s(listener):
    return sum(chunk.duration_s for chunk in listener.chunks)


@both
def test_every_sentence_is_spoken_whole_and_in_order(beside):
    w = World(beside=beside)
    lengths = [(40,), (7, 90, 1), (150, 20), (3,), (60, 60, 60)]
    listeners = [w.say(*each, at=0.3 * i) for i, each in enumerate(lengths)]
    w.run().nothing_is_left()
    for listener, each in zip(listeners, lengths, strict=True):
        assert listener.overs == [None]
        assert listener.sentences == sorted(listener.sentences)
        assert length_s(listener) == pytest.approx(TOKEN_S * sum(each))
        assert [c.sentence for c in listener.chunks if c.stop_reason] == list(range(len(each)))
        assert listener.job.timing().tokens == sum(each)
    assert w.scheduler.counts.finished == 5


@both
def test_a_sentence_joins_at_the_next_token_and_leaves_with_its_last(beside):
    w = World(beside=beside)
    w.say(300)
    w.say(30, at=1.0)
    w.run().nothing_is_left()
    steps = [numbers for kind, *_, numbers in w.log if kind == "Steps"]
    assert steps[0] == (0,)
    assert steps[-1] == (0,)
    together = [numbers == (0, 1) for numbers in steps]
    first, last = together.index(True), len(together) - together[::-1].index(True)
    assert last - first == 30  # a row's first token is its prefill's; the last step is that which ends it
    assert all(together[first:last])


def test_with_one_lane_a_graph_is_the_longest_stall():
    w = World(rows=8, prefill=0.2, per_token=0.002)
    w.say(400)
    for i in range(7):
        w.say(50, at=0.5 + 0.001 * i)  # seven newcomers at once
    w.run().nothing_is_left()
    assert 0.15 < max(w.stalls()) < 0.2 + 1e-9


def test_who_comes_at_about_the_same_time_shares_steps():
    w = World(rows=16, prefill=0.1)
    for i in range(16):
        w.say(75, at=0.01 * i)
    w.run().nothing_is_left()
    rows = [len(numbers) for kind, *_, numbers in w.log if kind == "Steps"]
    assert sum(rows) / len(rows) > 10


def test_with_two_lanes_nothing_stalls_a_batch():
    w = World(beside=True, rows=8)
    w.say(400)
    for i in range(7):
        w.say(50, at=0.5 + 0.001 * i)
    w.run().nothing_is_left()
    assert max(w.stalls()) < 1e-9


@both
def test_a_first_chunk_goes_before_a_later_one_of_somebody_else(beside):
    w = World(beside=beside, per_token=0.008)
    early = w.say(400)
    late = w.say(60, at=3.0)
    w.run().nothing_is_left()
    sounds = [(a, numbers[0]) for kind, a, _, numbers in w.log if kind == "Sound"]
    ready = next(b for kind, _, b, numbers in w.log if kind == "Prefill" and numbers == (1,))
    first = next(a for a, number in sounds if number == 1)
    between = [a for a, number in sounds if number == 0 and ready < a < first]
    assert len(between) <= 2  # those whose listener had less than half a second left, or that had begun
    assert late.job.timing().first_sound_s < 1.5
    assert early.overs == [None]


def test_whose_player_would_run_dry_first_is_served_first():
    """Two sentences whose tokens are all there; the first chunk of one was longer, so it can wait for longer."""
    w = World(beside=True, per_token=0.03, step=0.0001, step_row=0)
    long = w.say(200, chunks=ChunkOptions(first_tokens=60, most_tokens=60, growth=1.0))
    short = w.say(200, chunks=ChunkOptions(first_tokens=10, most_tokens=10, growth=1.0))
    w.run()
    order = [numbers[0] for kind, *_, numbers in w.log if kind == "Sound"]
    assert order[:2] == [0, 1]
    assert order[2:6] == [1] * 4  # 10 tokens are 0.4 s, 60 are 2.4 s
    assert long.overs == short.overs == [None]


@both
def test_more_priority_goes_first_and_nobody_starves(beside):
    w = World(beside=beside, rows=1)
    blocker = w.say(50)
    low = w.say(50, at=0.1)
    high = w.say(50, at=0.2, priority=1)
    w.run()
    assert blocker.job.begun < high.job.begun < low.job.begun
    w = World(beside=beside, rows=1)
    low = w.say(20, at=0.0, priority=-1)
    for i in range(60):
        w.say(20, at=0.4 * i)  # more than it can do
    w.run()
    assert low.job.begun - low.job.came < PRIORITY_S + FIRST_SOUND_S + 1
    w.nothing_is_left()


@both
def test_deadlines_end_what_has_not_begun_to_sound(beside):
    w = World(beside=beside, rows=1)
    first = w.say(300, deadline=1.0)
    late = w.say(20, deadline=1.0)
    fine = w.say(20)
    w.run().nothing_is_left()
    assert first.overs == fine.overs == [None]
    assert isinstance(late.overs[0], DeadlinePassed)
    assert "no sound within 1.0 s" in str(late.overs[0])
    assert late.job.ended == pytest.approx(1.0)
    assert not late.chunks


@both
@pytest.mark.parametrize("when", [0.05, 0.21, 0.4, 0.6, 1.0, 2.0])
def test_a_request_that_is_cancelled_ends_within_one_piece_of_work(beside, when):
    w = World(beside=beside)
    gone, stays = w.say(120, 40), w.say(120)
    w.at(when, lambda: w.scheduler.cancel(gone.job))
    w.run().nothing_is_left()
    assert gone.overs == [None]
    assert gone.job.ended - when <= max(b - a for _, a, b, numbers in w.log if 0 in numbers) + 1e-9
    assert not [a for _, a, _, numbers in w.log if 0 in numbers and a > when]
    assert length_s(stays) == pytest.approx(TOKEN_S * 120)
    assert w.scheduler.counts.cancelled == 1


@both
@pytest.mark.parametrize("where", ["prefill", "step", "sound"])
def test_what_fails_hurts_its_own_request_alone(beside, where):
    w = World(beside=beside)
    good = [w.say(60, at=0.1 * i) for i in range(3)]
    bad = w.say(60, 60, at=0.05, breaks=where)
    w.run().nothing_is_left()
    assert [str(error) for error in bad.overs] == [where]
    assert [g.overs for g in good] == [[None]] * 3
    assert all(length_s(g) == pytest.approx(TOKEN_S * 60) for g in good)


@both
def test_a_failed_sentence_is_made_again_so_often_as_it_may(beside):
    w = World(beside=beside)
    again = w.say(40, 40, bad_attempts=2)
    never = w.say(40, bad_attempts=3)
    mute = w.say(20, mute_attempts=2)
    w.run().nothing_is_left()
    assert again.overs == mute.overs == [None]
    assert length_s(again) == pytest.approx(TOKEN_S * 80)
    assert length_s(mute) == pytest.approx(TOKEN_S * 20)
    assert isinstance(never.overs[0], GenerationError)
    assert "after 3 attempts: it ended before the first token" in str(never.overs[0])


def test_a_full_queue_refuses():
    w = World(rows=2, queue=3)
    for _ in range(5):
        w.say(100)
    w.run(until=0)
    with pytest.raises(QueueFull, match="4 requests wait already, the queue takes 3"):
        w.scheduler.check_room()
    w.run(until=1.0)  # two have begun, three wait
    with pytest.raises(QueueFull, match="3 requests wait"):
        w.scheduler.check_room()
    w.run()
    w.scheduler.check_room()
    w.nothing_is_left()
    assert w.scheduler.counts.refused == 2


@both
def test_who_does_not_listen_holds_no_row(beside):
    w = World(beside=beside, rows=1)
    deaf = w.say(*[150] * 30, reads=False)
    others = [w.say(100, at=1.0) for _ in range(3)]
    w.run()
    assert [o.overs for o in others] == [[None]] * 3
    assert AHEAD_S <= deaf.job.unread_s < AHEAD_S + 150 * TOKEN_S * 2
    assert not deaf.overs
    w.scheduler.heard(deaf.job, deaf.job.unread_s)
    w.run()
    assert deaf.job.unread_s >= AHEAD_S  # it went on
    w.scheduler.cancel(deaf.job)
    w.nothing_is_left()


def test_batches_of_several_voices_take_turns():
    w = World(beside=True)
    for batch in (3, 7, 5):
        w.say(200, batch=batch)
    w.run().nothing_is_left()
    steps = [numbers for kind, *_, numbers in w.log if kind == "Steps"]
    all_there = steps.index((2,)) + 1
    turns = steps[all_there : all_there + 9]
    assert len(set(turns[:3])) == 3
    assert turns == turns[:3] * 3


def test_one_sentence_is_read_ahead():
    w = World(rows=1)
    listener = w.say(100, 100)
    w.run(until=0)
    assert not w.scheduler.wants_text(listener.job)
    w.run()
    assert not w.scheduler.wants_text(listener.job)  # it is over
    w = World()
    listener = w.say(100)
    w.run(until=0.3)
    assert w.scheduler.wants_text(listener.job)


def test_voices_are_loaded_near_their_turn():
    w = World(rows=2)
    listeners = [w.say(50) for _ in range(10)]
    w.run(until=0)
    assert [w.scheduler.may_read(x.job) for x in listeners] == [True] * 5 + [False] * 5  # one has begun
    w.scheduler.cancel(listeners[9].job)
    assert w.scheduler.may_read(listeners[9].job)  # it has to learn that it is over


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_nothing_is_left_and_nobody_is_forgotten(seed):
    w, listeners = random_world(seed)
    w.run().nothing_is_left()
    counts = w.scheduler.counts
    assert counts.finished + counts.cancelled + counts.failed == counts.submitted == 20
    for listener, lengths, breaks, bad in listeners:
        assert len(listener.overs) == 1
        assert listener.sentences == sorted(listener.sentences)
        if listener.overs == [None] and not listener.job.cancelled:
            assert not breaks
            assert bad < 3
            assert length_s(listener) == pytest.approx(TOKEN_S * sum(lengths))
            assert not [s for s in listener.job.sentences if s.phase is not Phase.OVER]
