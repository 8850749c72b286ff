"""Templates: a JSON value whose strings hold `{{name}}`, filled with variables.

A string that is one placeholder and nothing else becomes the variable's value as it is, whatever its type;
`{{name|number}}` reads a text as a JSON number, for cells of CSV. Braces around anything else are text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

HOLE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_.-]{0,63}) *(\| *number *)?\}\}")
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


class Unfillable(Exception):
    """A template cannot be filled; `field` is the dotted path of the string at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def fill(template: Any, variables: Mapping[str, Any], field: str = "") -> Any:
    """Return the template with its placeholders replaced.

    Raises:
        Unfillable: it names a variable that there is none of, or asks for a number that is none.

    """
    if isinstance(template, str):
        return _text(template, variables, field)
    if isinstance(template, dict):
        return {key: fill(value, variables, _below(field, key)) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, variables, _below(field, str(index))) for index, value in enumerate(template)]
    return template


def names(template: Any) -> set[str]:
    """Return the variables that a template names."""
    return {match[1] for text in _strings(template) for match in HOLE.finditer(text)}


def _below(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


def _text(text: str, variables: Mapping[str, Any], field: str) -> Any:
    alone = HOLE.fullmatch(text)
    if alone:
        return _value(alone, variables, field)
    return HOLE.sub(lambda match: _shown(_value(match, variables, field)), text)


def _value(hole: re.Match[str], variables: Mapping[str, Any], field: str) -> Any:
    name, number = hole.groups()
    if name not in variables:
        raise Unfillable(field, f"There is no variable {name} for the template")
    value = variables[name]
    if not number or not isinstance(value, str):
        return value
    if not NUMBER.fullmatch(value.strip()):
        raise Unfillable(field, f"The variable {name} is no number")
    return json.loads(value)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _strings(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict | list):
        for value in template.values() if isinstance(template, dict) else template:
            yield from _strings(value)
