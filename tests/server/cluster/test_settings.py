"""What `serve run` and KubeRay's file may set."""

import pytest
import yaml

pytest.importorskip("ray")

from sovits_server.cluster.settings import read_settings
from sovits_server.problems import ConfigError

KEY = {"SOVITS_SERVE_API_KEY": "k" * 9, "SOVITS_SERVE_HOST": "0.0.0.0"}


def test_words_of_a_command_line_and_values_of_a_file_are_the_same(voices_folder):
    words = {
        "voices": str(voices_folder),
        "replicas": "2",
        "cpus": "0.5",
        "rows": "3",
        "alias": "alloy=alice,ash=Bob",
    }
    values = {**words, "replicas": 2, "cpus": 0.5, "rows": 3, "alias": ["alloy=alice", "ash=Bob"]}
    one, other = read_settings(words), read_settings(values)
    assert (
        (one.replicas, one.most_replicas, one.cpus)
        == (other.replicas, other.most_replicas, other.cpus)
        == (2, 2, 0.5)
    )
    assert one.config() == other.config()
    assert one.config().alias == ("alloy=alice", "ash=Bob")


def test_a_replica_has_the_cores_that_ray_gives_it_and_knows_nothing_of_clients(voices_folder):
    given = {
        "voices": voices_folder,
        "host": "0.0.0.0",
        "api_key": "long enough",
        "client_requests": 1,
        "cpus": 3,
    }
    settings = read_settings(given)
    config = settings.of_a_replica()
    assert (config.threads, config.device, config.cache_mb) == (3, "cpu", 0)
    assert (config.host, config.api_key) == ("127.0.0.1", ())
    assert config.client_requests > 1000
    assert settings.config().client_requests == 1


def test_part_of_a_gpu_is_a_gpu(voices_folder):
    config = read_settings({"voices": voices_folder, "gpus": "0.25", "cpus": "0.5"}).of_a_replica()
    assert (config.device, config.threads, config.at_once) == ("cuda", 1, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replicas": "0"}, "replicas: got '0', expected a whole number from 1 on"),
        ({"replicas": "1.5"}, "replicas: got '1.5'"),
        ({"voices_each": True}, "voices_each: got True"),
        ({"cpus": "nan"}, "cpus: got 'nan', expected a number"),
        ({"gpus": "1.5"}, "gpus: got '1.5', expected a part of one, or a whole number"),
        ({"replica": "2"}, "replica: there is no such setting"),
        ({"host": "0.0.0.0"}, "can be reached from other machines"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_started(voices_folder, given, said):
    with pytest.raises(ConfigError, match=said):
        read_settings({"voices": voices_folder, **given})


def test_the_file_for_kuberay_sets_what_the_application_knows(service, voices_folder, monkeypatch):
    """As a pod has it: the key by its environment, which the image's own variables precede."""
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    served = yaml.safe_load(service["spec"]["serveConfigV2"])
    (application,) = served["applications"]
    settings = read_settings({**application["args"], "voices": str(voices_folder)})
    assert settings.config().api_key[0].get_secret_value() == "k" * 9
    assert settings.of_a_replica().threads == settings.cpus == 2
    cluster = service["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    assert settings.most_replicas <= workers["maxReplicas"]
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], workers)]
    for pod in pods:
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {application["args"]["voices"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }
        assert "SOVITS_SERVE_API_KEY" in {variable["name"] for variable in container["env"]}
    assert float(pods[1]["containers"][0]["resources"]["limits"]["cpu"]) >= settings.cpus
    assert application["import_path"] == "sovits_server.cluster:app"
