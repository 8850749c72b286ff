import dataclasses

import numpy as np
import pytest

from training import config
from training.rows import END, Reader, place
from training.schedule import Progress, learning_rate
from training.train import next_batch


def corpus(documents: int = 50) -> np.ndarray:
    lengths = np.random.default_rng(1).integers(5, 30, documents)
    pieces = [np.r_[np.full(n, 1 + i, dtype=np.uint16), np.uint16(END)] for i, n in enumerate(lengths)]
    return np.concatenate(pieces)


def test_a_row_begins_where_a_document_does() -> None:
    tokens = corpus()
    reader = Reader(tokens, seed=3)

    for _ in range(40):
        row = reader.row(64)
        first = row[1] if row[0] == END else row[0]
        whole = int(np.count_nonzero(tokens == first))
        assert len(row) == 64
        assert np.count_nonzero(row == first) == min(whole, 64)


def test_rows_begin_with_and_without_the_end_of_text_mark() -> None:
    reader = Reader(corpus(), seed=3)

    begins = {bool(reader.row(64)[0] == END) for _ in range(40)}

    assert begins == {True, False}


def test_a_reader_goes_on_from_a_saved_cursor() -> None:
    first = Reader(corpus(), seed=3)
    first.batch(4, 64)
    later = Reader(corpus(), seed=3, cursor=first.cursor)

    assert later.batch(4, 64).equal(first.batch(4, 64))


def test_shifted_rows_reach_every_position() -> None:
    draw = np.random.default_rng(1)
    ids = Reader(corpus(), seed=3).batch(4, 32)

    positions = np.concatenate([place(ids, 64, 0.5, draw).positions.numpy() for _ in range(200)])

    assert set(positions.ravel().tolist()) == set(range(64))
    assert (np.diff(positions, axis=1) == 1).all()
    assert (positions[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.08)


def test_the_last_phase_trains_full_length_rows_from_position_zero() -> None:
    settings = config.load()
    late = Progress(step=settings.training.steps - 1)

    batch = next_batch(Reader(corpus(2000), seed=3), settings, late)

    assert batch.ids.shape == (settings.training.last_phase_rows, settings.model.positions)
    assert batch.positions[:, 0].tolist() == [0] * settings.training.last_phase_rows


def test_the_schedule_ends_at_whichever_of_steps_and_minutes_comes_first() -> None:
    training = dataclasses.replace(config.load().training, steps=100, minutes=10)

    assert Progress(step=50, seconds=60).share(training) == 0.5
    assert Progress(step=10, seconds=300).share(training) == 0.5
    assert Progress(step=10, seconds=900).share(training) == 1.0


def test_a_schedule_without_minutes_depends_on_steps_alone() -> None:
    training = dataclasses.replace(config.load().training, steps=100, minutes=0)

    assert Progress(step=10, seconds=1e9).share(training) == 0.1


def test_the_learning_rate_warms_up_then_falls_to_its_final_share() -> None:
    training = config.load().training
    rates = [learning_rate(share / 1000, training) for share in range(1001)]
    top = rates.index(max(rates))

    assert max(rates) == pytest.approx(training.learning_rate, rel=0.1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(training.learning_rate * training.final_rate)
