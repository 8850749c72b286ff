"""The check of dependencies can fail, and passes unseen only where nobody can be asked."""

import json
import runpy
from collections.abc import Callable

import pytest

from quire.settings import REPOSITORY


@pytest.fixture
def verdict() -> Callable[[str, str], tuple[int, str]]:
    return runpy.run_path(str(REPOSITORY / ".ci" / "audit.py"))["verdict"]


def report(*findings: dict) -> str:
    return json.dumps(
        {"dependencies": [{"name": "flask", "version": "1.0", "vulns": list(findings)}], "fixes": []}
    )


def test_a_known_vulnerability_fails_the_check(verdict: Callable) -> None:
    code, said = verdict(report({"id": "PYSEC-1", "fix_versions": ["1.1"]}), "Found 1 known vulnerability")

    assert code == 1
    assert "flask 1.0: PYSEC-1, fixed in ['1.1']" in said


def test_without_a_finding_it_passes(verdict: Callable) -> None:
    assert verdict(report(), "No known vulnerabilities found") == (
        0,
        "No known vulnerability in 1 of 1 dependencies.",
    )


def test_where_nobody_can_be_asked_it_says_so_and_passes(verdict: Callable) -> None:
    code, said = verdict("", "requests.exceptions.ConnectionError: HTTPSConnectionPool(host=...)")

    assert (code, said) == (0, "The vulnerability service is not reachable: not audited.")


def test_what_the_service_does_not_know_is_not_taken_for_safe(verdict: Callable) -> None:
    unknown = json.dumps({"dependencies": [{"name": "flask", "skip_reason": "not found"}]})

    assert verdict(unknown, "") == (0, "The vulnerability service knows none of the dependencies: not audited.")


@pytest.mark.parametrize("errors", ["", "No module named pip_audit", "ERROR: invalid requirement"])
def test_anything_else_fails_the_check(verdict: Callable, errors: str) -> None:
    assert verdict("", errors)[0] == 1
