"""The whole chain of v2, v3 and v4; see `every_version`."""

from every_version import (  # noqa: F401 - tests
    WITH_FLOW_AND_V2,
    test_every_graph_runs_on_cuda,
    test_inspect_doctor_and_bench,
    test_lint_and_engines,
    test_speak,
    test_verify,
)

VERSIONS = WITH_FLOW_AND_V2
