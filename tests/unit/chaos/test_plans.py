"""What a seed decides: the faults and their times, and what the clients mean to do."""

from itertools import pairwise

from chaos import works
from chaos.checker import CANCELLED, DEADLINE, ENDS, HELD, PLAIN
from chaos.faults import FAULTS
from chaos.intents import intents
from chaos.schedule import Kind, plan

KINDS = [Kind("one", 2.0), Kind("two", 5.0), Kind("three", 1.0)]


def test_a_seed_always_gives_the_same_plan() -> None:
    assert plan(KINDS, 7, 60.0) == plan(KINDS, 7, 60.0)


def test_another_seed_gives_another_plan() -> None:
    assert plan(KINDS, 7, 60.0) != plan(KINDS, 8, 60.0)


def test_every_fault_comes_once_however_short_the_run() -> None:
    planned = plan(KINDS, 7, 1.0)

    assert sorted(fault.name for fault in planned) == ["one", "three", "two"]


def test_a_fault_is_left_its_time_before_the_next() -> None:
    seconds = {kind.name: kind.seconds for kind in KINDS}

    planned = plan(KINDS, 7, 300.0)

    assert len(planned) > 50
    assert all(after.at - fault.at >= seconds[fault.name] for fault, after in pairwise(planned))


def test_no_fault_comes_after_the_end_but_those_of_the_first_round() -> None:
    assert plan(KINDS, 7, 300.0)[-1].at < 300.0


def test_without_faults_there_is_nothing_to_plan() -> None:
    assert plan([], 7, 60.0) == []


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_seed_always_gives_the_same_intents() -> None:
    assert intents(1, "client", 50) == intents(1, "client", 50)


def test_clients_of_one_seed_mean_different_things() -> None:
    one, other = intents(1, "one", 50), intents(1, "other", 50)

    assert [intent.work for intent in one] != [intent.work for intent in other]


def test_a_client_uses_every_key_once() -> None:
    assert len({intent.key for intent in intents(1, "client", 500)}) == 500


def test_many_intents_hold_something_of_every_kind() -> None:
    many = intents(1, "client", 1000)

    assert {intent.kind for intent in many} == {PLAIN, CANCELLED, DEADLINE, HELD} <= set(ENDS)
    assert any(intent.again for intent in many)
    assert any(intent.read for intent in many)
    assert any(works.ALL[intent.work].n > 1 for intent in many)
    assert any(works.ALL[intent.work].prompt == works.SLOW for intent in many)


def test_where_all_are_slow_none_is_not() -> None:
    assert {works.ALL[intent.work].prompt for intent in intents(1, "client", 50, slow=1.0)} == {works.SLOW}


def test_a_job_has_about_32_tokens() -> None:
    tokens = [work.max_tokens * work.n for work in works.ORDINARY]

    assert 28 <= sum(tokens) / len(tokens) <= 36
