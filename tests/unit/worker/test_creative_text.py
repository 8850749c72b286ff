"""Which sequences a text job runs, and which of them it delivers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.pieces import Entry, Logprobs, Piece
from quire.spec import Parameters
from worker.creative import text
from worker.engine import Delta, Request, Sampling, TokenLogprob

PROMPT = (79, 110)


def requests(parameters: Parameters, *written: Piece) -> dict[int, Request]:
    return text.requests(parameters, seed=7, prompt=PROMPT, written=written)


def test_each_piece_is_a_draw_of_its_own() -> None:
    plan = requests(Parameters(n=3))

    assert [(draw, request.sampling.sample) for draw, request in plan.items()] == [(0, 0), (1, 1), (2, 2)]
    assert {request.sampling.seed for request in plan.values()} == {7}


def test_best_of_runs_more_draws_than_it_delivers() -> None:
    assert list(requests(Parameters(n=1, best_of=4))) == [0, 1, 2, 3]


def test_a_fresh_draw_begins_at_the_prompt() -> None:
    request = requests(Parameters())[0]

    assert (request.prompt, request.generated, request.published) == (PROMPT, (), 0)


def test_a_resumed_draw_goes_on_where_its_log_ends() -> None:
    request = requests(Parameters(), Piece(0, (1, 2, 3), "ab"))[0]

    assert (request.generated, request.published) == ((1, 2, 3), 2)


def test_a_finished_piece_is_not_run_again() -> None:
    assert list(requests(Parameters(n=2), Piece(0, (1,), "a", "stop"))) == [1]


def test_when_all_pieces_are_finished_nothing_runs() -> None:
    assert requests(Parameters(), Piece(0, (1,), "a", "length")) == {}


def test_every_parameter_reaches_the_engine() -> None:
    parameters = Parameters(
        max_tokens=9, min_tokens=2, temperature=0.5, top_k=4, top_p=0.9, min_p=0.1, repetition_penalty=1.1,
        presence_penalty=0.2, frequency_penalty=0.3, logit_bias={"5": 1.5}, stop=["x"], banned=["y"], logprobs=2,
    )  # fmt: skip

    assert text.sampling(parameters, seed=7, draw=3) == Sampling(
        seed=7, sample=3, max_tokens=9, min_tokens=2, temperature=0.5, top_k=4, top_p=0.9, min_p=0.1,
        repetition_penalty=1.1, presence_penalty=0.2, frequency_penalty=0.3, logit_bias={5: 1.5}, stop=("x",),
        banned=("y",), logprobs=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "all_kept"),
    [({}, True), ({"n": 3}, True), ({"n": 2, "best_of": 2}, True), ({"best_of": 2}, False)],
)
def test_every_draw_is_kept_unless_there_are_more_than_pieces(parameters: dict[str, int], all_kept: bool) -> None:
    assert text.keeps_all(Parameters(**parameters)) == all_kept


def test_what_a_step_adds_becomes_an_entry() -> None:
    delta = Delta((5,), "a", (TokenLogprob("a", -0.5, (("a", -0.5), ("b", -1.0))),))

    assert text.entry(2, delta) == Entry(2, (5,), "a", logprobs=Logprobs(["a"], [-0.5], [{"a": -0.5, "b": -1.0}]))


def test_without_logprobs_an_entry_has_none() -> None:
    assert text.entry(0, Delta((5,), "a")).logprobs is None


@given(st.dictionaries(st.integers(0, 15), st.floats(-10, 0), min_size=1), st.data())
def test_the_best_draws_are_delivered_best_first(scores: dict[int, float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    draws = {draw: Piece(draw, (draw,), str(draw), "stop") for draw in scores}

    best = text.best(draws, scores, n)

    kept = [int(piece.text) for piece in best]
    assert [piece.index for piece in best] == list(range(n))
    assert [scores[draw] for draw in kept] == sorted(scores.values(), reverse=True)[:n]


def test_of_equal_draws_the_earlier_is_better() -> None:
    draws = {draw: Piece(draw, text=str(draw)) for draw in (2, 0, 1)}

    assert [piece.text for piece in text.best(draws, dict.fromkeys(draws, -1.0), 2)] == ["0", "1"]


def test_a_best_draw_keeps_all_but_its_number() -> None:
    piece = Piece(3, (1, 2), "ab", "length", Logprobs(["a"], [-1.0], [{}]))

    assert text.best({3: piece}, {3: -1.0}, 1) == [Piece(0, (1, 2), "ab", "length", piece.logprobs)]
