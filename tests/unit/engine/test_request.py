import pytest

from worker.engine.request import Request, Sampling, check_request


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 101.0),
        ("frequency_penalty", float("nan")),
        ("max_tokens", 0),
        ("min_tokens", 129),
        ("sample", -1),
        ("retry", -1),
        ("stop", ("",)),
        ("banned", ("a", "")),
        ("logprobs", 6),
        ("logit_bias", {1: 101.0}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{"seed": 1, field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": ()}, "prompt is empty"),
        ({"prompt": (400,)}, "token ids must be below 400"),
        ({"prompt": (-1,)}, "token ids must be below 400"),
        ({"generated": (999,)}, "token ids must be below 400"),
        ({"sampling": Sampling(seed=0, max_tokens=10, logit_bias={400: 1.0})}, "token ids must be below 400"),
        ({"prompt": (1,) * 91}, "exceed the context of 100"),
        ({"prompt": (1,) * 80}, "exceed the engine's budget of 80"),
        ({"generated": (1,) * 11}, "more than max_tokens of 10"),
        ({"published": -1}, "published"),
    ],
)
def test_a_request_that_cannot_run_is_refused_with_the_reason(fields: dict[str, object], message: str) -> None:
    request = Request(**{"prompt": (1, 2), "sampling": Sampling(seed=0, max_tokens=10), **fields})

    with pytest.raises(ValueError, match=message):
        check_request(request, vocabulary=400, context=100, token_budget=80)


def test_a_request_has_a_scope_of_all_and_no_deadline_or_constraint_unless_it_says_so() -> None:
    request = Request(prompt=(1,), sampling=Sampling(seed=0))

    assert (request.scope, request.deadline, request.constraint) == ("", None, None)


def test_a_request_that_just_fits_is_accepted() -> None:
    request = Request(prompt=(1,) * 70, sampling=Sampling(seed=0, max_tokens=10), generated=(399,) * 10)

    assert check_request(request, vocabulary=400, context=100, token_budget=80) is None
