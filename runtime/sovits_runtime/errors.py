"""Errors that sovits-export raises on purpose.

Every message says in one line what was received, what was expected and what to do next. The command line prints that
line and exits with `exit_code`; anything that is not a `SovitsError` is a defect and shows its traceback.
"""


class SovitsError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class CheckpointError(SovitsError, ValueError):
    """A checkpoint file or model folder is damaged, unsafe, of the wrong kind or of an unsupported version."""


class BundleError(SovitsError, ValueError):
    """A bundle is incomplete, changed, or of a schema this version cannot read."""


class ShapeError(SovitsError, ValueError):
    """An array has the wrong dtype, rank or size for the graph it is given to."""


class BackendError(SovitsError, RuntimeError):
    """A backend is not installed, cannot run on this machine, or failed."""


class AudioError(SovitsError, ValueError):
    """An audio file cannot be read, or its content cannot serve as a reference."""


class TextError(SovitsError, ValueError):
    """Text or phones cannot be turned into model input."""


class NothingToSay(TextError):  # noqa: N818 - reads better where it is caught
    """A text holds nothing that can be read aloud."""


class GenerationError(SovitsError, RuntimeError):
    """The model produced no usable speech (empty, ended at once, or ran away) within the allowed retries."""


class VerificationError(SovitsError):
    """A bundle's output differs from the recorded PyTorch values by more than the stated limit."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
