"""The ingress's side of a replica, with messages in place of a cluster."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("ray")

from ray.exceptions import RayActorError

from sovits_server.cluster.messages import Begun, Ended, Heard
from sovits_server.cluster.remote import TRIES, RemoteUtterance
from sovits_server.core.utterance import Clock
from sovits_server.problems import BusyError, FailedError, NotThereError
from sovits_server.words import Spoken

BEGUN = Begun(32000, {"X-Replica": "one"})
SOUND = np.arange(320, dtype=np.float32)
SPOKEN = Spoken(index=0, text="Hello.", start_s=0.0, end_s=0.01)
FIRST, LAST = Heard(SOUND[:100], 0, False, (), 3), Heard(SOUND[100:], 0, True, (SPOKEN,), 9)


class Replica:
    """Answers each request with the next list of messages; an error among them is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.cancelled = 0

    def send(self):
        return Answer(self, iter(self.answers.pop(0)))


class Answer:
    def __init__(self, replica, messages):
        self.replica, self.messages = replica, messages

    async def __anext__(self):
        message = next(self.messages, None)
        if message is None:
            raise StopAsyncIteration
        if isinstance(message, RayActorError):
            raise message
        return message

    def cancel(self):
        self.replica.cancelled += 1


def heard(replica, times=()):
    """What a client hears, its headers, and what is known at the end."""
    utterance = RemoteUtterance(replica.send, Clock(made=lambda seconds: None))

    async def hear():
        try:
            await utterance.begin()
            return [piece.samples async for piece in utterance]
        finally:
            utterance.close()

    return np.concatenate(asyncio.run(hear())), utterance


def test_what_a_replica_says_is_what_is_heard():
    replica = Replica([BEGUN, FIRST, LAST, Ended(320)])
    samples, utterance = heard(replica)
    np.testing.assert_array_equal(samples, SOUND)
    assert (utterance.told, utterance.sample_rate, utterance.tokens) == ({"X-Replica": "one"}, 32000, 9)
    assert utterance.timeline.sentences == [SPOKEN]
    assert utterance.timeline.duration_s == 0.01
    assert replica.cancelled == 0


def test_a_replica_that_is_lost_unheard_is_not_missed():
    replica = Replica([RayActorError()], [BEGUN, FIRST, LAST, Ended(320)])
    np.testing.assert_array_equal(heard(replica)[0], SOUND)


def test_where_all_are_lost_the_client_may_try_again():
    with pytest.raises(BusyError, match="was lost") as caught:
        heard(Replica(*[[RayActorError()]] * TRIES))
    assert caught.value.retry_after_s


@pytest.mark.parametrize(
    "messages",
    [[BEGUN, FIRST, RayActorError()], [BEGUN, FIRST, LAST], [BEGUN, FIRST, Ended(320)]],
    ids=["lost", "no end", "a gap"],
)
def test_half_an_answer_is_an_error_and_is_not_spoken_again(messages):
    replica = Replica(messages, [BEGUN, FIRST, LAST, Ended(320)])
    with pytest.raises(FailedError, match="was lost"):
        heard(replica)
    assert len(replica.answers) == 1
    assert replica.cancelled == 1


@pytest.mark.parametrize("before", [[], [BEGUN, FIRST]], ids=["before sound", "amid it"])
def test_what_a_replica_refuses_is_refused_with_the_same_status(before):
    with pytest.raises(NotThereError, match="no such recording") as caught:
        heard(Replica([*before, NotThereError("no such recording", param="ref_audio_path")]))
    assert (caught.value.status, caught.value.param) == (404, "ref_audio_path")
