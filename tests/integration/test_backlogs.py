"""The limit of waiting jobs, far from it, where jobs are not counted at each submission."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from quire import jobs, testing
from quire.errors import QuotaExceeded
from quire.jobs import Backlogs, admission
from quire.quotas import Quotas
from quire.store import job_counts
from quire.testing import Place
from tests.integration import steps

MARGIN = 4


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlogs(clock: Clock) -> Backlogs:
    return Backlogs(clock)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What was counted, each time that something was."""
    monkeypatch.setattr(admission, "MARGIN", MARGIN)
    counts: list[int] = []
    count = job_counts.queued_of

    def noting(*arguments: object) -> int:
        counts.append(count(*arguments))
        return counts[-1]

    monkeypatch.setattr(job_counts, "queued_of", noting)
    return counts


def submit(place: Place, backlogs: Backlogs, max_queued: int) -> bool:
    """Whether one more job was let in."""
    new = testing.submission(place.tenant)
    with place.database.tenant(place.tenant.id) as session:
        try:
            jobs.submit(session, new, once=None, quotas=Quotas(max_queued, None), backlogs=backlogs)
        except QuotaExceeded:
            return False
    return True


def test_far_from_the_limit_jobs_are_counted_once(place: Place, backlogs: Backlogs, counted: list[int]) -> None:
    accepted = [submit(place, backlogs, 100) for _ in range(10)]

    assert (accepted, counted) == ([True] * 10, [0])


def test_a_count_is_believed_for_a_second(
    place: Place, backlogs: Backlogs, counted: list[int], clock: Clock
) -> None:
    submit(place, backlogs, 100)
    clock.now += 1.1

    submit(place, backlogs, 100)

    assert counted == [0, 1]


def test_what_was_added_since_the_count_takes_part_in_it(
    place: Place, backlogs: Backlogs, counted: list[int]
) -> None:
    accepted = [submit(place, backlogs, MARGIN + 3) for _ in range(MARGIN + 5)]

    assert sum(accepted) == MARGIN + 3


def test_what_other_processes_add_within_the_margin_takes_part_in_it(
    place: Place, backlogs: Backlogs, counted: list[int], clock: Clock
) -> None:
    another = Backlogs(clock)
    submit(place, backlogs, MARGIN + 3)
    for _ in range(MARGIN):
        submit(place, another, MARGIN + 3)

    accepted = [submit(place, backlogs, MARGIN + 3) for _ in range(5)]

    assert sum(accepted) == 2


def test_the_limit_holds_for_submissions_at_once(place: Place, counted: list[int]) -> None:
    backlogs = Backlogs()
    with ThreadPoolExecutor(4) as pool:
        accepted = list(pool.map(lambda _: submit(place, backlogs, 15), range(40)))

    assert sum(accepted) == 15


def test_a_tenant_whose_jobs_have_started_may_submit_again(
    place: Place, backlogs: Backlogs, counted: list[int], clock: Clock
) -> None:
    while submit(place, backlogs, MARGIN + 3):
        pass
    steps.claim(place, steps.worker(place), 2)

    assert [submit(place, backlogs, MARGIN + 3) for _ in range(3)] == [True, True, False]
