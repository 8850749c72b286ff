"""Reading a JSON body strictly: what two parsers could read in two ways is refused."""

import json
import re
from typing import Any, NoReturn

from flask import Request

from quire.asking.validation import printable
from quire.errors import BodyTooLarge, FieldProblem, InvalidJSON, UnsupportedMediaType

MAX_DEPTH = 16  # no body of this API nests deeper than three
SURROGATES = re.compile("[\ud800-\udfff]")


class BodyReader:
    """Reads bodies of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def read(self, request: Request) -> dict[str, Any]:
        """Return the body, which must be one JSON object.

        Raises:
            UnsupportedMediaType: it is not sent as application/json in UTF-8.
            BodyTooLarge: it is longer than the limit, whether or not it told its length.
            InvalidJSON: it is not valid JSON, not UTF-8, or no object; or a key stands twice.

        """
        charset = request.mimetype_params.get("charset", "utf-8").lower()
        if request.mimetype != "application/json" or charset not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType
        if (request.content_length or 0) > self.limit or len(data := request.get_data(cache=False)) > self.limit:
            raise BodyTooLarge(f"The body is larger than {self.limit:,} bytes.")
        return parse(data)


def parse(data: bytes) -> dict[str, Any]:
    """Parse one JSON object, as `BodyReader.read` does."""
    try:
        text = data.decode()
        value = DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidJSON(f"The body is not valid UTF-8: byte {error.start}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidJSON(f"The body is not valid JSON: {error.msg} ({where}).") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidJSON("The body holds a number that is too long.") from error
    except RecursionError as error:
        raise InvalidJSON("The body is nested too deeply.") from error
    if not isinstance(value, dict):
        raise InvalidJSON("The body must be a JSON object.")
    if _deeper_than(value, MAX_DEPTH):
        raise InvalidJSON("The body is nested too deeply.")
    return value


def canonical(value: dict[str, Any]) -> bytes:
    """Return the same bytes for bodies that differ only in blanks and in the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if SURROGATES.search(key):
            raise _bad_key(key, "holds half a surrogate pair")
        if key in result:
            raise _bad_key(key, "stands twice")
        result[key] = value
    return result


def _bad_key(key: str, what: str) -> InvalidJSON:
    shown = printable(key[:100])
    return InvalidJSON(f'The key "{shown}" {what}.', fields=(FieldProblem(shown, what),))


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJSON(f"The body is not valid JSON: {name} is no JSON number.")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)  # made once: it is slow to


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(item, levels - 1) for item in inner)
