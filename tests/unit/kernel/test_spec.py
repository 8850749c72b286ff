import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quire.spec import Change, Input, Parameters, Spec

# Each field with values at the edge, inside and out.
EDGES = {
    "n": ([1, 16], [0, 17]),
    "best_of": ([1, 16], [0, 17]),
    "max_tokens": ([1, 100_000], [0, -1]),
    "min_tokens": ([0, 128], [-1, 129]),
    "temperature": ([0, 2], [-0.01, 2.01, float("nan"), float("inf")]),
    "top_k": ([0, 1000], [-1, 1001]),
    "top_p": ([0.001, 1], [0, 1.01, float("nan")]),
    "min_p": ([0, 1], [-0.01, 1.01]),
    "repetition_penalty": ([0.01, 10], [0, 0.009, 10.01, float("inf")]),
    "presence_penalty": ([-2, 2], [-2.01, 2.01]),
    "frequency_penalty": ([-2, 2], [-2.01, 2.01]),
    "logit_bias": ([{}, {"0": -100}, {"999999999": 100}], [{"0": 100.1}, {"-1": 0}, {"01": 0}, {"a": 0}]),
    "stop": ([[], ["x"] * 8, ["x" * 200]], [["x"] * 9, [""], ["x" * 201]]),
    "banned": ([[], ["x"] * 100], [["x"] * 101, [""]]),
    "logprobs": ([0, 5], [-1, 6]),
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, edges in EDGES.items() for value in edges[0]]
)
def test_a_value_in_range_is_taken(field: str, value: object) -> None:
    assert getattr(Parameters(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, edges in EDGES.items() for value in edges[1]]
)
def test_a_value_out_of_range_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Parameters(**{field: value})


def test_every_parameter_has_its_edges_tested() -> None:
    assert EDGES.keys() == Parameters.model_fields.keys()


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="temprature"):
        Parameters(temprature=1)


def test_fewer_draws_than_pieces_are_refused() -> None:
    with pytest.raises(ValidationError, match="best_of must be at least n"):
        Parameters(n=3, best_of=2)


def test_more_tokens_at_least_than_at_most_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_tokens must not be above max_tokens"):
        Parameters(min_tokens=5, max_tokens=4)


def test_too_many_biases_are_refused() -> None:
    with pytest.raises(ValidationError):
        Parameters(logit_bias={str(token): 1 for token in range(301)})


@pytest.mark.parametrize(("given", "draws"), [({}, 1), ({"n": 3}, 3), ({"n": 2, "best_of": 5}, 5)])
def test_draws_are_best_of_or_else_n(given: dict[str, int], draws: int) -> None:
    assert Parameters(**given).draws == draws


def test_parameters_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Parameters().n = 2


@given(st.text(), st.integers(1, 16), st.floats(0, 2), st.lists(st.text(min_size=1, max_size=200), max_size=8))
def test_a_spec_can_be_read_back(prompt: str, n: int, temperature: float, stop: list[str]) -> None:
    spec = Spec(
        input=Input(prompt=prompt, form="poem", theme="x", changes=[Change(what="normalised", count=1)]),
        parameters=Parameters(n=n, temperature=temperature, stop=stop),
    )

    assert Spec.decode(spec.encode()) == spec
