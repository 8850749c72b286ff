"""Fields as OpenAI's clients send them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from quire.asking.fields import wrong

Prompt = str | tuple[int, ...]  # a text, or the tokens of one
MAX_PROMPTS = 16

_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}


def _prompts(value: Any) -> tuple[Prompt, ...]:
    """Read a string, several, the tokens of one, or those of several."""
    if isinstance(value, str) or _is_tokens(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise wrong("Input should be a string, a list of strings, a list of tokens, or a list of such lists")
    if len(value) > MAX_PROMPTS:
        raise wrong(f"Input should have at most {MAX_PROMPTS} prompts")
    if not (all(isinstance(each, str) for each in value) or all(_is_tokens(each) for each in value)):
        raise wrong("Input should have strings alone, or lists of token ids alone")
    return tuple(each if isinstance(each, str) else tuple(each) for each in value)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int and each >= 0 for each in value)


Prompts = Annotated[
    tuple[Prompt, ...],
    PlainValidator(_prompts),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MAX_PROMPTS},
            _TOKENS,
            {"type": "array", "items": _TOKENS, "minItems": 1, "maxItems": MAX_PROMPTS},
        ]
    }),
]  # fmt: skip


def _input(value: Any) -> str:
    """Read a text, given as it is or as one message of the user's."""
    if isinstance(value, list) and len(value) == 1:
        value = _message(value[0])
    if not isinstance(value, str):
        raise wrong("Input should be a string, or a list with one message of the user that is plain text")
    return value


def _message(value: Any) -> Any:
    """Return the text of a message of the user's; None of any other."""
    if not isinstance(value, dict) or value.get("role") != "user" or value.get("type", "message") != "message":
        return None
    content = value.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        return part.get("text") if part.get("type") == "input_text" else None
    return content


_PART = {
    "type": "object",
    "properties": {"type": {"const": "input_text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
_MESSAGE = {
    "type": "object",
    "properties": {
        "type": {"const": "message"},
        "role": {"const": "user"},
        "content": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": _PART, "minItems": 1, "maxItems": 1}]
        },
    },
    "required": ["role", "content"],
}
ResponseInput = Annotated[
    str,
    PlainValidator(_input),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": _MESSAGE, "minItems": 1, "maxItems": 1},
        ]
    }),
]  # fmt: skip


def without_nulls(body: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null, which to OpenAI's clients is the same as what is not there."""
    return {name: value for name, value in body.items() if value is not None}
