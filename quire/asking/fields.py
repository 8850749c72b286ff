"""Types of single fields that several requests share. Their messages are shown to whoever sent the field."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from quire.preparation import CONTROLS, SURROGATES, prepare

RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Far inside what Postgres, UUIDv7 and arithmetic on time zones can take.
FIRST_YEAR, LAST_YEAR = 2000, 2999
LINE = 200  # characters


def wrong(message: str) -> PydanticCustomError:
    """Return the error of a value; the message must hold no braces."""
    return PydanticCustomError("value", message)


def _moment(value: Any) -> datetime:
    """Read an RFC 3339 time with its zone, and return it in UTC."""
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        raise wrong("Input should be an RFC 3339 time with its zone, as 2026-11-23T20:15:04Z")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise wrong("Input is no date and time that exists") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise wrong(f"The year should be from {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC)


def _any_string(value: Any) -> str:
    """Take a string with whatever is in it: it is going to be prepared, and the changes told."""
    if not isinstance(value, str):
        raise wrong("Input should be a valid string")
    return value


def _prompt(value: Any) -> str:
    text = _any_string(value)
    if not prepare(text).text.strip():
        raise wrong("Input should not be blank")
    return text


def _line(value: Any) -> str:
    text = prepare(_any_string(value)).text
    if not text.strip():
        raise wrong("Input should not be blank")
    if "\n" in text:
        raise wrong("Input should be one line")
    if len(text) > LINE:
        raise wrong(f"Input should have at most {LINE} characters")
    return str(value)


def whole(value: str) -> str:
    if SURROGATES.search(value):
        raise wrong("Input should be valid Unicode: it holds half a surrogate pair")
    return value


def _storable(value: str) -> str:
    if "\x00" in whole(value):
        raise wrong("Input should not hold the character NUL")
    return value


def _name(value: str) -> str:
    if CONTROLS.search(_storable(value)) or "\n" in value:
        raise wrong("Input should not hold control characters")
    if not value.strip():
        raise wrong("Input should not be blank")
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Prompt = Annotated[str, PlainValidator(_prompt), WithJsonSchema({"type": "string", "minLength": 1})]
Line = Annotated[str, PlainValidator(_line), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LINE})]
Sequence = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(whole)]
OneOrMore = BeforeValidator(
    _as_list, json_schema_input_type=Sequence | Annotated[list[Sequence], Field(max_length=8)]
)
Rhyme = Annotated[str, Field(pattern=r"^(none|[A-Z]{2,64})$")]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
MetadataKey = Annotated[str, Field(max_length=64), AfterValidator(_storable)]
MetadataValue = Annotated[str, Field(max_length=512), AfterValidator(_storable)]
