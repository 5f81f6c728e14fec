"""What a request is refused for: a status, a line for people, and what each dialect makes of it.

A message may reach strangers, so it never names a path of the server's, a class or a library.
"""

from __future__ import annotations

from sovits_runtime.errors import SovitsError


class ConfigError(SovitsError, ValueError):
    """The configuration makes no sense; the message says where and why."""

    exit_code = 2


class Problem(SovitsError):  # noqa: N818 - the base of those that end so
    """A request that is not answered with sound.

    Attributes:
        status: Of HTTP.
        kind: What OpenAI calls such an error.
        param: The field that is wrong, where one is.
        retry_after_s: When to try again, where that may help.
    """

    status = 500
    kind = "server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after_s = retry_after_s


class BadRequestError(Problem):
    """What was asked for makes no sense."""

    status = 400
    kind = "invalid_request_error"


class UnauthorizedError(Problem):
    """No key, or a wrong one."""

    status = 401
    kind = "authentication_error"


class ForbiddenError(Problem):
    """The operator does not allow it."""

    status = 403
    kind = "permission_error"


class NotThereError(Problem):
    """No such voice, file or route."""

    status = 404
    kind = "not_found_error"


class TooLargeError(Problem):
    """More than a limit allows."""

    status = 413
    kind = "invalid_request_error"


class TooManyError(Problem):
    """This client has enough requests under way."""

    status = 429
    kind = "rate_limit_error"


class BusyError(Problem):
    """All clients together have asked for more than is worked off, or the server is going down."""

    status = 503
    kind = "overloaded_error"


class TooLateError(Problem):
    """The deadline has passed."""

    status = 504
    kind = "timeout_error"


class FailedError(Problem):
    """The voice could not say it; the fault is not the client's."""
