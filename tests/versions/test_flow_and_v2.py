"""The whole chain of v2 and of v3 to v5; see `every_version`."""

from every_version import (  # noqa: F401 - tests
    WITH_FLOW_AND_V2,
    test_every_graph_runs_on_cuda,
    test_inspect_doctor_and_bench,
    test_lint_and_engines,
    test_speak,
    test_speaks_with_nothing_but_a_text,
    test_steps_and_guidance,
    test_verify,
)

VERSIONS = WITH_FLOW_AND_V2
