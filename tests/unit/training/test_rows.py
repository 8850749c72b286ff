import dataclasses

import numpy as np
import pytest
import torch

from training import config
from training.rows import END, Encoded, Feed, held_out, lay_out, pass_order
from training.schedule import Progress, learning_rate

TRAINING = config.load(config.HERE / "tunes.toml").training
CPU = torch.device("cpu")


def corpus(documents: int = 50) -> Encoded:
    """Document n is n + 1, several times, and the end mark; every third one is of the second domain."""
    lengths = np.random.default_rng(1).integers(5, 30, documents)
    pieces = [np.r_[np.full(n, 1 + i, dtype=np.uint16), np.uint16(END)] for i, n in enumerate(lengths)]
    starts = np.cumsum(lengths + 1) - lengths - 1
    domains = (np.arange(documents) % 3 == 2).astype(np.uint8)
    return Encoded(np.concatenate(pieces), starts, lengths + 1, domains, ("a", "b"))


def test_a_row_begins_where_a_document_does_with_the_end_mark_before_it_or_not() -> None:
    encoded = corpus()
    laid = lay_out(encoded, pass_order(encoded, {}, 3, 0), 64)

    marks = set()
    for start in laid.rows:
        row = laid.stream[start : start + 65]
        marks.add(bool(row[0] == END))
        first = int(row[1] if row[0] == END else row[0])
        assert np.count_nonzero(row == first) == encoded.lengths[first - 1] - 1
    assert marks == {True, False}


def test_a_pass_takes_every_document_as_often_as_its_domain_is_repeated() -> None:
    order = pass_order(corpus(90), {"b": 1.5}, seed=3, number=0)

    times = np.bincount(order, minlength=90)
    second = np.arange(90) % 3 == 2
    assert (times[~second] == 1).all()
    assert times[second].sum() == 45
    assert set(times[second].tolist()) == {1, 2}


def test_a_feed_goes_on_from_a_saved_place() -> None:
    first = Feed(corpus(), {}, 32, 3, CPU)
    for _ in range(9):
        first.batch(4)
    later = Feed(corpus(), {}, 32, 3, CPU)
    later.seek(*first.place)

    assert first.place[1] > 0
    assert later.batch(4).equal(first.batch(4))


def test_a_batch_larger_than_a_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than the 1000 of a batch"):
        Feed(corpus(), {}, 32, 3, CPU).batch(1000)


def test_held_out_rows_know_the_domain_of_each_target() -> None:
    encoded = corpus()
    rows = held_out(encoded, 32, 8, seed=1)

    targets = rows.ids[:, 1:]
    told = torch.from_numpy(encoded.domains.astype(np.int64))[targets.clamp(min=1) - 1]
    assert (rows.domains == told)[targets != END].all()


def test_the_schedule_ends_at_whichever_of_steps_and_minutes_comes_first() -> None:
    training = dataclasses.replace(TRAINING, steps=100, minutes=10)

    assert Progress(step=50, seconds=60).share(training) == 0.5
    assert Progress(step=10, seconds=300).share(training) == 0.5
    assert Progress(step=10, seconds=900).share(training) == 1.0


def test_a_schedule_without_minutes_depends_on_steps_alone() -> None:
    training = dataclasses.replace(TRAINING, steps=100, minutes=0)

    assert Progress(step=10, seconds=1e9).share(training) == 0.1


def test_the_learning_rate_warms_up_then_falls_to_nothing() -> None:
    rates = [learning_rate(share / 1000, TRAINING) for share in range(1001)]
    top = rates.index(max(rates))

    assert max(rates) == pytest.approx(TRAINING.learning_rate)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == 0
