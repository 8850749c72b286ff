"""The page docs/api.md, the client and the command line name the same fields."""

import re
from pathlib import Path

import pytest

from quire_client import JobFields
from quire_client.cli.main import parser
from quire_client.cli.submit import fields

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def documented() -> set[str]:
    """Read the names in the first column of the table under "Submitting"."""
    table = PAGE.read_text(encoding="utf-8").split("### Submitting")[1].split("**What happens")[0]
    return {
        name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }


def test_submit_takes_every_field_of_the_page() -> None:
    assert set(JobFields.__annotations__) | {"prompt"} == documented()


@pytest.mark.parametrize("field", sorted(documented()))
def test_the_command_line_has_an_option_for_every_field_of_the_page(field: str) -> None:
    given = {"prompt": ["x"], "logit_bias": ["--logit-bias", "7=-1"], "metadata": ["--meta", "shelf=sea"]}
    given |= {"longform": ["--longform", str(PAGE.parents[1] / "checkpoints/quire-verse/config.json")]}
    given |= {"accidentals": ["--accidentals"], "opening_midi": ["--opening-midi", str(PAGE)]}
    moments = {"not_before": "2026-11-24T12:00:00Z", "deadline": "2026-11-24T12:00:00Z"}
    option = given.get(field) or [f"--{field.replace('_', '-')}", moments.get(field, "1")]

    args = parser().parse_args(["submit", *option])

    asked = {name for name, value in {"prompt": args.prompt, **fields(args)}.items() if value is not None}
    assert asked == {field}
