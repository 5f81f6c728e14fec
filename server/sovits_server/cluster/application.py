"""The application that `serve run` starts: an ingress, and replicas behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp

from sovits_server.app import Server
from sovits_server.cluster.remote import WORD_S, RemoteDesk
from sovits_server.cluster.replica import VoiceReplica
from sovits_server.cluster.settings import ClusterSettings, read_settings

REPLICAS, INGRESS = "VoiceReplica", "Ingress"
HEALTH_S = 30.0
"""How often a replica that nobody speaks to says a word."""


def app(arguments: Mapping[str, Any]) -> Application:
    """The application of what `serve run` is given.

    Args:
        arguments: `replicas`, `most_replicas`, `cpus`, `gpus` and `voices_each`, see `ClusterSettings`; all others are
            settings of the server.

    Raises:
        ConfigError: One makes no sense.
    """
    settings = read_settings(arguments)
    config = settings.config()
    ingress = serve.deployment(
        serve.ingress(_building(settings))(),
        name=INGRESS,
        max_ongoing_requests=config.max_connections,
        graceful_shutdown_timeout_s=config.drain_s,
        ray_actor_options={"num_cpus": 0},
    )
    return ingress.bind(_replicas(settings))


def _replicas(settings: ClusterSettings) -> Application:
    config = settings.of_a_replica()
    number: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.most_replicas > settings.replicas:
        number = {
            "autoscaling_config": {
                "min_replicas": settings.replicas,
                "max_replicas": settings.most_replicas,
                "target_ongoing_requests": config.at_once,
            }
        }
    replicas = serve.deployment(
        VoiceReplica,
        name=REPLICAS,
        max_ongoing_requests=config.at_once,
        graceful_shutdown_timeout_s=config.drain_s,
        health_check_period_s=HEALTH_S,
        health_check_timeout_s=WORD_S,
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        **number,
    )
    return replicas.bind(settings)


def _building(settings: ClusterSettings) -> Callable[[], ASGIApp]:
    """What makes the ingress's application, in the process that is to be the ingress."""

    def build() -> ASGIApp:
        handle = serve.get_deployment_handle(REPLICAS, app_name=serve.get_replica_context().app_name)
        desk = partial(RemoteDesk, handle=handle, replicas=settings.most_replicas)
        return Server(settings.config(), make_desk=desk).app

    return build


__all__ = ["app"]
