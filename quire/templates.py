"""Templates: a JSON value whose strings hold `{{name}}`, filled with variables.

A string that is one placeholder and nothing else becomes the variable's value as it is, whatever its type;
`{{name|number}}` reads a text as a JSON number, for cells of CSV. Braces around anything else are text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

HOLE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_.-]{0,63}) *(\| *number *)?\}\}")
LONGEST = 1_000_000  # characters of variables in the texts of one item, as the body of a single job
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


class Unfillable(Exception):
    """A template cannot be filled; `field` is the dotted path of the string at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def fill(template: Any, variables: Mapping[str, Any]) -> Any:
    """Return the template with its placeholders replaced.

    Raises:
        Unfillable: it names a variable that there is none of, asks for a number that is none, or grows too long.

    """
    return _Filling(variables).of(template, "")


def names(template: Any) -> set[str]:
    """Return the variables that a template names."""
    return {match[1] for text in _strings(template) for match in HOLE.finditer(text)}


def _below(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


class _Filling:
    """Fills one template, and counts what it writes: a short template may name a long variable often."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._left = LONGEST

    def of(self, value: Any, field: str) -> Any:
        if isinstance(value, str):
            return self._text(value, field)
        if isinstance(value, dict):
            return {key: self.of(each, _below(field, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.of(each, _below(field, str(index))) for index, each in enumerate(value)]
        return value

    def _text(self, text: str, field: str) -> Any:
        alone = HOLE.fullmatch(text)
        if alone:
            return self._value(alone, field)
        return HOLE.sub(lambda match: self._shown(match, field), text)

    def _shown(self, hole: re.Match[str], field: str) -> str:
        value = self._value(hole, field)
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        self._left -= len(shown)
        if self._left < 0:
            raise Unfillable(field, f"The variables make it longer than {LONGEST:,} characters")
        return shown

    def _value(self, hole: re.Match[str], field: str) -> Any:
        name, number = hole.groups()
        if name not in self._variables:
            raise Unfillable(field, f"There is no variable {name} for the template")
        value = self._variables[name]
        if not number or not isinstance(value, str):
            return value
        if not NUMBER.fullmatch(value.strip()):
            raise Unfillable(field, f"The variable {name} is no number")
        return json.loads(value)


def _strings(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict | list):
        for value in template.values() if isinstance(template, dict) else template:
            yield from _strings(value)
