"""Which books give way, and when a worker asks."""

from uuid import UUID

from quire.fairness import Waiting, giving_way
from quire.ids import new_id
from quire.store.job import Run
from tests.unit.worker.fakes import claimed
from tests.unit.worker.places import Desk, add
from worker.preemption import Preemption

A, B, C = new_id(), new_id(), new_id()


def run_of(tenant: UUID) -> Run:
    return Run(tenant, 1)


def test_the_books_of_those_served_most_give_way_to_those_served_less() -> None:
    books = {run_of(A): A, run_of(B): B}
    times = {A: 100.0, B: 200.0}

    assert giving_way(books, times, [Waiting(C, 50.0, 1)]) == [run_of(B)]
    assert giving_way(books, times, [Waiting(C, 50.0, 9)]) == [run_of(B), run_of(A)]
    assert giving_way(books, times, [Waiting(C, 150.0, 9)]) == [run_of(B)]
    assert giving_way(books, times, [Waiting(C, 200.0, 9)]) == []
    assert giving_way(books, times, []) == []


def test_a_book_does_not_give_way_to_its_own_lane() -> None:
    assert giving_way({run_of(A): A}, {A: 100.0}, [Waiting(A, 100.0, 9)]) == []


class Bench:
    """Runs books, and remembers which had to go."""

    def __init__(self) -> None:
        self.gone: list[Run] = []

    def books(self) -> dict[Run, UUID]:
        return {run_of(A): A}

    def give_way(self, run: Run) -> None:
        self.gone.append(run)


def test_nobody_asks_while_there_are_free_slots_or_the_interval_lasts() -> None:
    bench, looks = Bench(), []

    def look(tenants: object) -> tuple[list[Waiting], dict[UUID, float]]:
        looks.append(tenants)
        return [Waiting(C, 0.0, 1)], {A: 1.0}

    Preemption(bench, look=look, full=lambda: True, seconds=3600).step()
    Preemption(bench, look=look, full=lambda: False, seconds=0).step()
    assert (looks, bench.gone) == ([], [])

    Preemption(bench, look=look, full=lambda: True, seconds=0).step()
    assert (looks, bench.gone) == ([{A}], [run_of(A)])


def test_a_look_is_not_used_up_while_no_book_may_give_way() -> None:
    bench, offered = Bench(), [{}, {run_of(A): A}]
    bench.books = lambda: offered.pop(0)
    preemption = Preemption(bench, look=lambda _: ([Waiting(C, 0.0, 1)], {A: 1.0}), full=lambda: True, seconds=60)
    preemption._looked -= 60

    preemption.step()
    preemption.step()

    assert bench.gone == [run_of(A)]


def test_a_book_is_charged_as_it_goes_and_each_token_once() -> None:
    desk, job = Desk(), claimed()
    log = desk.open(job)
    work = 0
    log.meter = lambda: work
    for now in (10, 25, 25):
        work = now
        add(log, "Once")
        desk.flush()

    assert [commit[0].turn for commit in desk.postgres.commits] == [10, 15, 0]


def test_what_was_charged_is_not_part_of_the_outcome() -> None:
    from quire.jobs import Outcome
    from quire.store.job import State

    desk, job = Desk(), claimed()
    log = desk.open(job)
    log.meter = lambda: 30
    desk.flush()
    log.meter = lambda: 42
    desk.writer.finish(log, Outcome(State.SUCCEEDED, work=42))
    desk.flush()

    last = desk.postgres.commits[-1][0]
    assert last.outcome is not None
    assert (last.turn, last.outcome.work) == (12, 0)
