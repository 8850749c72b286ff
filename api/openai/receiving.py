"""Taking in a file: a form whose file goes into sealed parts as it comes, and never as a whole anywhere."""

from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any, cast

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from api.openai.schemas import FileForm
from api.validation import checked_query
from quire.errors import BodyTooLarge, InvalidField, UnsupportedMediaType
from quire.files import Cutter

MULTIPART = "multipart/form-data"
FORM_BYTES = 100_000  # of a form beside its file
FORM_PARTS = 10
LONGEST_NAME = 255


@dataclass(frozen=True)
class Received:
    """A file that was taken in."""

    filename: str
    purpose: str
    size: int
    lasts: timedelta | None


class FormExpected(UnsupportedMediaType):
    """The file must be sent as multipart/form-data."""


def receive(request: Request, cutter: Cutter, most_bytes: int) -> Received:
    """Write the file of a request through the cutter, and read the rest of the form.

    Raises:
        UnsupportedMediaType, BodyTooLarge, InvalidField: see docs/api.md.

    """
    boundary = request.mimetype_params.get("boundary", "").encode("ascii", errors="replace")
    if request.mimetype != MULTIPART or not boundary:
        raise FormExpected
    request.max_content_length = most_bytes + FORM_BYTES
    if (request.content_length or 0) > most_bytes + FORM_BYTES:
        raise BodyTooLarge(f"A file may have {most_bytes:,} bytes.")
    names: list[str] = []

    def open_file(*, filename: str | None, **_: object) -> IO[bytes]:
        if names:
            raise InvalidField.one("file", "Exactly one file is required")
        names.append(filename or "file")
        return cast("IO[bytes]", _Sink(cutter, most_bytes))

    parser = MultiPartParser(cast("Any", open_file), max_form_memory_size=FORM_BYTES, max_form_parts=FORM_PARTS)
    try:
        form, files = parser.parse(request.stream, boundary, request.content_length)
    except ValueError as error:
        raise InvalidField.one("file", f"The form cannot be read: {error}") from None
    except RequestEntityTooLarge:
        raise BodyTooLarge(
            f"A form may have {FORM_PARTS} parts and {FORM_BYTES:,} bytes beside its file."
        ) from None
    if list(files) != ["file"]:
        raise InvalidField.one("file", "Exactly one file is required, in the part of this name")
    wanted = checked_query(FileForm, form)
    cutter.finish()
    return Received(names[0][:LONGEST_NAME], wanted.purpose, cutter.size, wanted.lasts)


class _Sink:
    """Stands for the temporary file that a form's file is usually written to."""

    def __init__(self, cutter: Cutter, most_bytes: int) -> None:
        self._cutter = cutter
        self._most_bytes = most_bytes

    def write(self, data: bytes) -> int:
        if self._cutter.size + len(data) > self._most_bytes:
            raise BodyTooLarge(f"A file may have {self._most_bytes:,} bytes.")
        return self._cutter.write(data)

    def seek(self, *_: object) -> int:
        return 0
