"""The error tree, as its drawing and HTTP's users know it."""

import re
from http import HTTPStatus

import pytest

from quire import errors
from quire.errors import FieldProblem, InvalidField, QuireError


def all_errors(root: type[QuireError] = QuireError) -> list[type[QuireError]]:
    """The tree of the kernel; services hang errors of their own into it."""
    ours = [child for child in root.__subclasses__() if child.__module__ == root.__module__]
    return [root, *(error for child in ours for error in all_errors(child))]


def drawn() -> dict[str, str | None]:
    """Each name of the drawing on top of the module, with the status beside it."""
    lines = re.findall(r"[├└]── (\w+)\s+(\d{3})?", errors.__doc__)
    return {name: status or None for name, status in lines}


def test_the_drawing_shows_every_error() -> None:
    assert {error.__name__ for error in all_errors()} == drawn().keys() | {"QuireError"}


@pytest.mark.parametrize("error", [error for error in all_errors() if drawn().get(error.__name__)])
def test_the_drawing_shows_the_status(error: type[QuireError]) -> None:
    assert drawn()[error.__name__] == str(error.status.value)


@pytest.mark.parametrize("error", all_errors())
def test_an_error_speaks_for_itself(error: type[QuireError]) -> None:
    message = str(error())

    assert re.fullmatch(r"[A-Z].*\.", message)
    assert error().detail == message


def test_codes_are_told_apart() -> None:
    codes = [error.code for error in all_errors()]

    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", all_errors())
def test_an_error_that_a_retry_can_help_says_when(error: type[QuireError]) -> None:
    temporary = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

    assert (error.retry_after is not None) == (error.status in temporary or error is errors.IdempotencyKeyInUse)


def test_a_field_problem_names_its_field() -> None:
    error = InvalidField.one("stop.0", "must not be empty")

    assert str(error) == "stop.0: must not be empty"
    assert error.fields == (FieldProblem("stop.0", "must not be empty"),)
