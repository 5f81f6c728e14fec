"""What a request may ask of a voice's version: what means nothing is left out and named, what changes sound refused."""

import pytest

from sovits_runtime.bundle.model_spec import MODEL_SPECS
from sovits_server.core.ask import speech_options
from sovits_server.core.desk import unknown_to
from sovits_server.problems import BadRequestError

ASKED = {"flow_steps": 16, "guidance": 1.3}


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_guidance_of_a_version_without_is_a_bad_request(version):
    spec = MODEL_SPECS[version]
    assert unknown_to(spec, ASKED) == ()
    with pytest.raises(
        BadRequestError, match=rf"only v5dev and v5turbo take it .* is {version}; leave it out"
    ) as error:
        speech_options(ASKED, version=spec)
    assert (error.value.status, error.value.param) == (400, "guidance")


@pytest.mark.parametrize(
    ("version", "asked", "ignored"),
    [
        ("v2", ASKED, ("flow_steps", "guidance")),
        ("v2", {"flow_steps": None}, ()),
        ("v4", ASKED | {"guidance": 0}, ("guidance",)),
        ("v5turbo", ASKED, ()),
    ],
)
def test_what_clients_always_send_is_left_out(version, asked, ignored):
    spec = MODEL_SPECS[version]
    assert unknown_to(spec, asked) == ignored
    left = {name: value for name, value in asked.items() if name not in ignored}
    made = speech_options(left, version=spec)
    assert {name: getattr(made, name) for name in left} == left
