"""From a request to the entries of a batch: a body of JSON, or a form with a file that is never held whole."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from flask import Request
from werkzeug.datastructures import FileStorage

from api.batches.lines import csv_rows, json_lines
from api.batches.requests import BatchOptions, BatchRequest
from api.body import canonical, parse
from quire.asking.entries import SentItem, filled, inline
from quire.asking.validation import checked
from quire.errors import InvalidField

OPTIONS, FILE = "batch", "file"
FORM_BYTES = 1_000_000  # of a form beside its file
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Received:
    """What a batch is to be, its entries, and what tells this request from others."""

    options: BatchOptions
    entries: Iterator[SentItem]
    identity: bytes


def received(request: Request, body: dict[str, Any] | None, most_bytes: int) -> Received:
    """Read a request for a batch; without a body it is a form.

    Raises:
        InvalidField, InvalidJSON, UnsupportedMediaType, BodyTooLarge: see docs/api.md.

    """
    if body is None:
        return _form(request, most_bytes)
    wanted = checked(BatchRequest, body)
    if wanted.rows is not None:
        entries = filled(wanted.template or {}, inline("rows", wanted.rows))
    else:
        entries = inline("items", wanted.items or [])
    return Received(wanted, entries, canonical(body))


def _form(request: Request, most_bytes: int) -> Received:
    request.max_content_length = most_bytes + FORM_BYTES
    request.max_form_memory_size = FORM_BYTES
    file = request.files.get(FILE)  # a temporary file, once it is larger than some 500 kB
    if file is None or set(request.files) != {FILE} or len(request.files.getlist(FILE)) > 1:
        raise InvalidField.one(FILE, "Exactly one file is required, in the part of this name")
    if unknown := set(request.form) - {OPTIONS}:
        raise InvalidField.one(min(unknown)[:100], "Unknown field")
    body = parse(request.form.get(OPTIONS, "{}").encode(errors="surrogatepass"))
    options = checked(BatchOptions, body)
    return Received(options, _entries(file, options), canonical(body) + _digest(file.stream))


def _entries(file: FileStorage, options: BatchOptions) -> Iterator[SentItem]:
    is_csv = file.mimetype == "text/csv" or (file.filename or "").lower().endswith(".csv")
    if is_csv and options.template is None:
        raise InvalidField.one("template", "Rows of CSV need one")
    rows = csv_rows(file.stream) if is_csv else json_lines(file.stream)
    return rows if options.template is None else filled(options.template, rows)


def _digest(stream: IO[bytes]) -> bytes:
    found: Any = hashlib.sha256()
    while data := stream.read(1 << 20):
        found.update(data)
    stream.seek(0)
    digest: bytes = found.digest()
    return digest
