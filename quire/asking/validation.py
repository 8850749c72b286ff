"""From what was sent to a checked value, or to an error that names every field at fault."""

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from quire.errors import FieldProblem, InvalidField

Checked = TypeVar("Checked", bound=BaseModel)

MAX_PROBLEMS = 20  # a body of a hundred thousand unknown keys needs no answer of that length
MAX_NAME = 100  # characters of a key that somebody else made up
OURS = "value"  # the kind of the errors that `fields.wrong` makes
RULE = re.compile(r"([a-z_]+): ")
KEY_MARK = "[key]"  # pydantic's: the problem is the key of this entry, not its value
NO_EXTRAS = {"extra_forbidden": "Unknown field"}


def checked(model: type[Checked], data: dict[str, Any]) -> Checked:
    """Check a body. Types are strict: "12" and 1.0 and true are no integers.

    Raises:
        InvalidField: with each field at fault, as a dotted path.

    """
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as error:
        raise invalid(model, error) from None


def invalid(model: type[BaseModel], error: ValidationError) -> InvalidField:
    """Return the error that names each field at fault, the first twenty."""
    details = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_PROBLEMS]
    problems = tuple(_problem(model, item["loc"], item["type"], item["msg"]) for item in details)
    first = problems[0]
    return InvalidField(f"{first.field}: {first.message}", fields=problems)


def _problem(model: type[BaseModel], path: tuple[int | str, ...], kind: str, message: str) -> FieldProblem:
    message = NO_EXTRAS.get(kind, message).removeprefix("Value error, ")
    field = ".".join(str(part)[:MAX_NAME] or '""' for part in path if part != KEY_MARK)
    if not path:  # a rule over several fields: its message starts with the one it blames
        field = message.replace(":", " ").split(" ", maxsplit=1)[0]
        message = message.removeprefix(f"{field}: ")
        if field not in model.model_fields:
            raise LookupError(f"a rule of {model.__name__} names no field: {message}")
    elif kind == OURS and (rule := RULE.match(message)):  # such a rule, of one of many jobs
        field, message = f"{field}.{rule[1]}", message[rule.end() :]
    return FieldProblem(printable(field), printable(message))


def printable(text: str) -> str:
    """Return a text that can be stored and shown anywhere: no NUL, no control characters, no lone surrogates."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)
