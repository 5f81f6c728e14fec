"""Two replicas on two cores, by `serve run`: one is killed amid a stream; a third voice comes by multiplexing."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml

pytest.importorskip("ray")

import ray
from live_server import running

from sovits_server.voices import read_profile, write_profile

pytestmark = pytest.mark.slow
BATCH = 12
LONG = "This sentence is one of very many that are all alike, and each of them takes its time. " * BATCH


@pytest.fixture(scope="module")
def three_voices(tiny_bundle, voices_folder, folder):
    """Three voices of three bundles: replicas have bundles open, not profiles."""
    place = folder / "voices"
    place.mkdir()
    shutil.copytree(tiny_bundle.parent / "shared", place / "shared", copy_function=os.link)
    alice = read_profile(voices_folder / "alice.toml")
    for name in ("one", "two", "three"):
        bundle = shutil.copytree(tiny_bundle, place / f"{name}-bundle", copy_function=os.link)
        voice = type(alice)(name=name, bundle=bundle, references=alice.references[:1], language="en")
        write_profile(voice, place / f"{name}.toml")
    return place


@pytest.fixture(scope="module")
def cluster(service, three_voices, folder):
    """The application of the file for KubeRay, on this machine."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("wants two cores")
    served = yaml.safe_load(service["spec"]["serveConfigV2"])
    port = free_port()
    served["http_options"] = {"host": "127.0.0.1", "port": port}
    served["applications"][0]["args"] = {
        "voices": str(three_voices),
        "default_voice": "one",
        "replicas": 2,
        "cpus": 1,
        "voices_each": 2,
        "max_seconds": 2,
        "cache_mb": 0,
    }
    config = folder / "serve.yaml"
    config.write_text(yaml.safe_dump(served))
    log = folder / "serve.log"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [Path(sys.executable).with_name("serve"), "run", "--address", "local", config]
    with log.open("w") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    base = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is None and ready(base), 240, log)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def until(condition, seconds, log):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.3)


def ready(base):
    try:
        return httpx.get(f"{base}/ready").status_code == 200
    except httpx.HTTPError:
        return False


def spoken(base, voice, text="Hello there.", **more):
    body = {"input": text, "voice": voice, "response_format": "raw", "seed": 1, **more}
    return httpx.post(f"{base}/v1/audio/speech", json=body, timeout=120)


class Stream(threading.Thread):
    """A client that listens to a long text."""

    def __init__(self, base, voice):
        super().__init__()
        self.base, self.voice = base, voice
        self.begun, self.replica, self.size, self.error = threading.Event(), "", 0, None
        self.start()

    def run(self):
        body = {"input": LONG, "voice": self.voice, "response_format": "raw", "seed": 1}
        try:
            with httpx.stream("POST", f"{self.base}/v1/audio/speech", json=body, timeout=240) as answer:
                assert answer.status_code == 200
                self.replica = answer.headers["x-replica"]
                for block in answer.iter_raw():
                    self.size += len(block)
                    self.begun.set()
        except Exception as error:
            self.error = error
        self.begun.set()


def test_a_cluster_says_what_one_process_says(cluster, configure, three_voices):
    with running(configure(voices=three_voices, default_voice="one", max_seconds=2)) as live:
        own = spoken(live.base, "two")
    there = spoken(cluster, "two")
    assert there.status_code == 200, there.text
    assert there.content == own.content
    assert there.headers["x-sample-rate"] == own.headers["x-sample-rate"]
    refused = spoken(cluster, "two", speed=9)
    assert refused.status_code == 400
    unknown = httpx.get(
        f"{cluster}/tts", params={"text": "Hi.", "text_lang": "en", "ref_audio_path": "no.wav"}
    )
    assert unknown.status_code == 400
    assert "no recording 'no.wav'" in unknown.json()["message"]


def test_a_third_voice_is_opened_where_two_are_open_and_asked_for_there_again(cluster):
    answers = [spoken(cluster, voice) for voice in ("one", "two", "three")]
    assert [answer.status_code for answer in answers] == [200] * 3
    time.sleep(1)  # until the ingress knows who has which
    again = {spoken(cluster, "three").headers["x-replica"] for _ in range(4)}
    assert again == {answers[-1].headers["x-replica"]}


def test_a_replica_that_is_killed_takes_its_streams_along_and_no_other(cluster):
    streams = []
    while len({stream.replica for stream in streams}) < 2:
        assert len(streams) < 8
        streams.append(Stream(cluster, "one"))
        assert streams[-1].begun.wait(60)
    assert not any(stream.error for stream in streams)
    victim = streams[0].replica
    kill(victim)
    after = [spoken(cluster, voice) for voice in ("one", "two", "three")]
    for stream in streams:
        stream.join(240)
    lost = [stream for stream in streams if stream.replica == victim]
    others = [stream for stream in streams if stream.replica != victim]
    assert all(isinstance(stream.error, httpx.RemoteProtocolError | httpx.ReadError) for stream in lost)
    assert [stream.error for stream in others] == [None] * len(others)
    whole = spoken(cluster, "one", LONG)
    assert {stream.size for stream in others} == {len(whole.content)}
    assert all(0 < stream.size < len(whole.content) for stream in lost)
    assert [answer.status_code for answer in after] == [200] * 3
    assert victim not in {answer.headers["x-replica"] for answer in (*after, whole)}


def kill(replica):
    """Ends a replica's process at once, as SIGKILL does."""
    ray.init(address="auto", namespace="serve", log_to_driver=False)
    try:
        (name,) = (
            actor["name"]
            for actor in ray.util.list_named_actors(all_namespaces=True)
            if replica in actor["name"]
        )
        ray.kill(ray.get_actor(name))
    finally:
        ray.shutdown()
