"""docs/operations.md and docker-compose.yml know every setting; what the page says of failures is tested there."""

import re

from quire.settings import REPOSITORY, Settings

PAGE = (REPOSITORY / "docs/operations.md").read_text()


def rows() -> list[list[str]]:
    """The table of failures, its head left out."""
    table = PAGE[PAGE.index("| failure | what happens | test |") :].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in table if line.startswith("| ")]


def all_tests() -> set[str]:
    sources = (path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}


def test_every_failure_names_tests_that_there_are() -> None:
    there = all_tests()

    assert len(rows()) > 20
    for failure, *_, tests in rows():
        named = set(re.findall(r"`(test_\w+)`", tests))
        assert named, failure
        assert named <= there, failure


def test_every_setting_is_on_the_page() -> None:
    missing = [name for name in variables() if f"| `{name}` |" not in PAGE]

    assert missing == []


def test_compose_hands_on_every_setting() -> None:
    # The image's command fixes the API's threads, and so its waiters; metrics are of what serves them.
    fixed = {"QUIRE_MAX_WAITERS", "QUIRE_METRICS_PORT"}
    handed_on = set(re.findall(r"^ +(QUIRE_\w+):", (REPOSITORY / "docker-compose.yml").read_text(), re.MULTILINE))

    assert set(variables()) - handed_on == fixed


def variables() -> list[str]:
    return [f"QUIRE_{name.upper()}" for name in Settings.model_fields]
