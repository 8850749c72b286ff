"""Templates: what becomes of their placeholders, and where that ends."""

from typing import Any

import pytest

from quire.templates import LONGEST, Unfillable, fill


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{{n}}", 3),
        ("{{n}} men", "3 men"),
        ({"a": ["{{ title }}!"]}, {"a": ["Sea!"]}),
        ("{{cell|number}}", 4),
        ("{ {n}} {{ 1 }}", "{ {n}} {{ 1 }}"),
    ],
)
def test_placeholders_become_their_variables(template: Any, filled: Any) -> None:
    assert fill(template, {"n": 3, "title": "Sea", "cell": "4"}) == filled


@pytest.mark.parametrize(
    "template",
    [
        {"a": {"b": ["x", "{{long}}" * 11]}},
        {"a": {"b": ["x{{long}}" for _ in range(11)]}},  # no one of them is too long
    ],
)
def test_what_grows_too_long_is_refused_by_name(template: Any) -> None:
    with pytest.raises(Unfillable, match=f"longer than {LONGEST:,} characters") as caught:
        fill(template, {"long": "x" * (LONGEST // 10)})

    assert caught.value.field.startswith("a.b.")


def test_a_long_variable_by_itself_is_not_copied_and_not_refused() -> None:
    long = "x" * (LONGEST + 1)

    assert fill("{{long}}", {"long": long}) is long
