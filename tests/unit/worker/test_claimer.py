"""The claimer, one claim at a time."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from quire.jobs import Claimed
from tests.unit.worker.fakes import AWAY, claimed
from tests.waiting import in_background, until
from worker.claimer import Claimer


class Shelf:
    """Jobs to be claimed, and what was asked for."""

    def __init__(self, *jobs: Claimed) -> None:
        self.jobs = list(jobs)
        self.asked: list[int] = []
        self.fails = 0

    def claim(self, k: int) -> list[Claimed]:
        self.asked.append(k)
        if self.fails:
            self.fails -= 1
            raise AWAY
        taken, self.jobs = self.jobs[:k], self.jobs[k:]
        return taken


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(*(claimed() for _ in range(10)))


@pytest.fixture
def started() -> list[Claimed]:
    """The jobs that the claimer has started by itself."""
    return []


@pytest.fixture
def claimer(shelf: Shelf, started: list[Claimed]) -> Claimer:
    """A claimer of four slots, whose thread does not run."""
    return Claimer(shelf.claim, slots=4, idle_look=3600, start=started.append)


def ask(claimer: Claimer, count: int) -> list[Claimed | None]:
    """One claim for so many slots."""
    asking: list[Future[Claimed | None]] = [Future() for _ in range(count)]
    claimer.step(asking)
    return [answer.result(timeout=0) for answer in asking]


def test_all_that_ask_are_joined_into_one_claim(claimer: Claimer, shelf: Shelf) -> None:
    expected = shelf.jobs[:3]

    assert ask(claimer, 3) == expected
    assert shelf.asked == [3]


def test_no_more_are_claimed_than_slots_are_free(claimer: Claimer, shelf: Shelf) -> None:
    answers = ask(claimer, 6)

    assert shelf.asked == [4]
    assert [answer is not None for answer in answers] == [True] * 4 + [False] * 2


def test_whoever_asks_when_no_slot_is_free_gets_nothing(claimer: Claimer, shelf: Shelf) -> None:
    ask(claimer, 4)

    assert ask(claimer, 2) == [None, None]
    assert shelf.asked == [4]  # Postgres is not asked for nothing


def test_a_released_slot_is_claimed_for_again(claimer: Claimer) -> None:
    ask(claimer, 4)

    claimer.release()

    assert [answer is not None for answer in ask(claimer, 2)] == [True, False]


def test_slots_for_which_there_was_no_job_stay_free(claimer: Claimer, shelf: Shelf) -> None:
    shelf.jobs = shelf.jobs[:1]
    ask(claimer, 4)

    ask(claimer, 4)

    assert shelf.asked == [4, 3]


def test_a_claim_that_fails_answers_with_nothing(claimer: Claimer, shelf: Shelf) -> None:
    shelf.fails = 1

    assert ask(claimer, 2) == [None, None]


def test_a_claim_that_fails_leaves_its_slots_free(claimer: Claimer, shelf: Shelf) -> None:
    shelf.fails = 1
    ask(claimer, 4)

    assert None not in ask(claimer, 4)


def test_slots_that_a_job_takes_besides_are_not_claimed_for(claimer: Claimer, shelf: Shelf) -> None:
    ask(claimer, 1)
    claimer.occupy(7)

    assert claimer.full
    assert ask(claimer, 1) == [None]
    claimer.step([])
    assert shelf.asked == [1]

    claimer.occupy(-7)
    assert not claimer.full
    assert None not in ask(claimer, 3)


def test_slots_that_are_being_asked_for_are_not_taken(shelf: Shelf, started: list[Claimed]) -> None:
    seen: list[bool] = []

    def claim(k: int) -> list[Claimed]:
        seen.append(claimer.full)
        return shelf.claim(k)

    claimer = Claimer(claim, slots=4, idle_look=3600, start=started.append)

    claimer.step([])

    assert (seen, claimer.full) == ([False], True)


def test_an_idle_look_starts_what_it_finds_for_every_free_slot(
    claimer: Claimer, shelf: Shelf, started: list[Claimed]
) -> None:
    expected = shelf.jobs[1:4]
    ask(claimer, 1)

    claimer.step([])

    assert started == expected
    assert shelf.asked == [1, 3]


def test_an_idle_look_without_a_free_slot_asks_for_nothing(claimer: Claimer, shelf: Shelf) -> None:
    ask(claimer, 4)

    claimer.step([])

    assert shelf.asked == [4]


def test_an_idle_look_that_fails_starts_nothing(claimer: Claimer, shelf: Shelf, started: list[Claimed]) -> None:
    shelf.fails = 1

    claimer.step([])

    assert started == []


# ---- the thread --------------------------------------------------------------------------------------------


@pytest.fixture
def running(shelf: Shelf, started: list[Claimed]) -> Callable[..., Claimer]:
    """Claimers with a thread, closed at the end."""
    made: list[Claimer] = []

    def run(idle_look: float = 3600) -> Claimer:
        made.append(Claimer(shelf.claim, slots=4, idle_look=idle_look, start=started.append))
        made[-1].start()
        return made[-1]

    yield run
    for claimer in made:
        claimer.close()


def test_a_slot_that_asks_gets_a_job(running: Callable[..., Claimer], shelf: Shelf) -> None:
    first = shelf.jobs[0]

    assert in_background(running().next).result(timeout=20) is first


def test_a_slot_that_asks_when_there_is_no_job_gets_nothing(running: Callable[..., Claimer], shelf: Shelf) -> None:
    shelf.jobs = []

    assert in_background(running().next).result(timeout=20) is None


def test_an_idle_claimer_looks_by_itself(running: Callable[..., Claimer], started: list[Claimed]) -> None:
    running(idle_look=0.01)

    until(lambda: len(started) == 4)


def test_many_slots_at_once_each_get_a_job_of_their_own(running: Callable[..., Claimer]) -> None:
    claimer = running()

    asked = [in_background(claimer.next) for _ in range(4)]

    answers = [answer.result(timeout=20) for answer in asked]

    assert len({answer.id for answer in answers}) == 4


def test_a_closed_claimer_claims_no_more(running: Callable[..., Claimer], shelf: Shelf) -> None:
    claimer = running()
    claimer.close()

    assert claimer.next() is None
    assert shelf.asked == []


def test_closing_twice_is_harmless(running: Callable[..., Claimer]) -> None:
    claimer = running()
    claimer.close()

    claimer.close()

    assert claimer.next() is None
