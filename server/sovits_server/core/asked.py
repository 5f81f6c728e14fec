"""Reading what a client sent: query, JSON or form, within limits of size and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from sovits_server.core.ask import Fields
from sovits_server.core.connection import ClientGoneError
from sovits_server.problems import BadRequestError, TooLargeError

BODY_S = 30.0
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        TooLargeError: It is larger.
        BadRequestError: It does not come.
        ClientGoneError: Nobody sends it any more.
    """
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed[:20]) > most:
        raise TooLargeError(f"the request has {claimed[:20]} bytes, expected at most {most}")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for block in request.stream():
                body += block
                if len(body) > most:
                    raise TooLargeError(f"the request has more than {most} bytes")
    except TimeoutError:
        raise BadRequestError(f"the request was not sent within {BODY_S:g} s") from None
    except ClientDisconnect:
        raise ClientGoneError from None
    return bytes(body)


def read_json(content: str | bytes) -> dict[str, Any]:
    """An object of JSON, which is UTF-8 whatever a header says.

    Raises:
        BadRequestError: It is none, or its numbers or its depth are beyond what Python reads.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"expected JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise BadRequestError(f"expected a JSON object, got {type(value).__name__}")
    return value


async def read_fields(request: Request, most: int) -> Fields:
    """What a client sent, whichever way; what the body says counts more than the query.

    Raises:
        BadRequestError: It cannot be read.
        TooLargeError: It is too large.
    """
    values: dict[str, Any] = dict(request.query_params)
    repeated = request.query_params.getlist("aux_ref_audio_paths")
    if len(repeated) > 1:
        values["aux_ref_audio_paths"] = repeated
    values.pop("api_key", None)
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        content = await read_body(request, most)
        if kind in FORMS and content.lstrip()[:1] != b"{":  # curl -d calls JSON a form
            form = await read_form(request, content)
            values.update({name: value for name, value in form.items() if isinstance(value, str)})
        elif content.strip():
            values.update(read_json(content))
    return Fields(values)


async def read_form(request: Request, content: bytes) -> FormData:
    """Fields and files of a form.

    Args:
        request: Its headers say what kind of form it is.
        content: Its body.

    Raises:
        BadRequestError: It is damaged.
    """
    sent = False

    async def receive() -> Mapping[str, Any]:
        nonlocal sent
        block, sent = (b"" if sent else content), True
        return {"type": "http.request", "body": block, "more_body": False}

    whole = Request(request.scope, receive)  # type: ignore[arg-type]
    try:
        return await whole.form(max_files=4, max_fields=64, max_part_size=len(content) + 1)
    except (MultiPartException, ValueError, KeyError, UnicodeError) as error:
        raise BadRequestError(f"the form cannot be read: {str(error)[:200]}") from None
    except Exception as error:  # starlette turns what it cannot read into an answer of its own
        detail = getattr(error, "detail", None)
        if detail is None:
            raise
        raise BadRequestError(f"the form cannot be read: {str(detail)[:200]}") from None
