"""The `Prefer` header (RFC 7240): how long an answer may be held back."""

import re

from flask import Request

WAIT = re.compile(
    r'\s*wait\s*=\s*(?:"([0-9]{1,9})"|([0-9]{1,9}))\s*(?:;.*)?', re.IGNORECASE | re.ASCII | re.DOTALL
)
NAMES_WAIT = re.compile(r"\s*wait\s*(?:[=;]|$)", re.IGNORECASE)


def wait_seconds(request: Request) -> int:
    """Return the seconds of the first `wait`; 0 where there is none, or none that can be read.

    A preference that is malformed or unknown is ignored, as the RFC has it; `respond-async` asks for what
    this API does anyway.
    """
    for preference in request.headers.get("Prefer", "").split(","):
        if NAMES_WAIT.match(preference):
            found = WAIT.fullmatch(preference)
            return int(found[1] or found[2]) if found else 0
    return 0
