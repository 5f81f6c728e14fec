"""The whole chain of v1, v2Pro and v2ProPlus; see `every_version`."""

from every_version import (  # noqa: F401 - tests
    WITH_SPEAKER_AND_V1,
    test_every_graph_runs_on_cuda,
    test_inspect_doctor_and_bench,
    test_lint_and_engines,
    test_speak,
    test_speaks_with_nothing_but_a_text,
    test_steps_and_guidance,
    test_verify,
)

VERSIONS = WITH_SPEAKER_AND_V1
