"""What docs/operations.md says of failures is tested where it says."""

import re

from quire.settings import REPOSITORY

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
