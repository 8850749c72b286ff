from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from quire.store import IdempotencyKey, Job
from tests.contract.client import Api, fields, problem

JSON = {"content_type": "application/json"}


@pytest.fixture
def api(shared: Any) -> Api:
    return shared.api


@pytest.fixture
def operator(shared: Any) -> Api:
    return shared.operator


@pytest.fixture(autouse=True)
def nothing_is_written(shared: Any) -> Iterator[None]:
    yield
    with shared.place.database.service() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n\t"}, "prompt"),
        ({"prompt": "\x00\x07"}, "prompt"),
        ({"prompt": 12}, "prompt"),
        ({"prompt": ["Once"]}, "prompt"),
        ({"form": "poem", "theme": "the sea"}, "prompt"),
        ({"title": "The Harbour"}, "title"),
        ({"style": "old"}, "style"),
        ({"kind": "dance"}, "kind"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"model": "tiny\x00"}, "model"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": "1"}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.0}, "n"),
        ({"n": None}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 512}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_tokens": 5, "min_tokens": 6}, "min_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": False}, "temperature"),
        ({"top_k": 1001}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"logit_bias": {"257": 1}}, "logit_bias.257"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": [[1, 1]]}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(301)}}, "logit_bias"),
        ({"stop": ""}, "stop.0"),
        ({"stop": ["x" * 201]}, "stop.0"),
        ({"stop": ["x"] * 9}, "stop"),
        ({"stop": ["x", 1]}, "stop.1"),
        ({"stop": ["\ud800"]}, "stop.0"),
        ({"banned": "x"}, "banned"),
        ({"banned": ["x"] * 101}, "banned"),
        ({"logprobs": 6}, "logprobs"),
        ({"truncate": "middle"}, "truncate"),
        ({"priority": 101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "\x00"}}, "metadata.a"),
        ({"metadata": {"a": "\udfff"}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {"k" * 65: "x"}}, "metadata." + "k" * 65),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"not_before": "tomorrow"}, "not_before"),
        ({"not_before": 1795469343}, "not_before"),
        ({"not_before": "2030-01-01"}, "not_before"),
        ({"not_before": "2030-01-01T00:00:00"}, "not_before"),
        ({"not_before": "2030-02-30T00:00:00Z"}, "not_before"),
        ({"not_before": "9999-12-31T23:59:59-23:59"}, "not_before"),
        ({"not_before": "0001-01-01T00:00:00+23:59"}, "not_before"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "deadline"),
        ({"not_before": "2031-01-01T00:00:00Z", "deadline": "2030-01-01T00:00:00Z"}, "deadline"),
    ],
    ids=str,
)
def test_a_bad_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/v1/jobs", json={"prompt": "Once"} | body, headers={"Idempotency-Key": "k"})

    problem(answer, 400, "invalid_field")
    assert field in fields(answer)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"form": "sonnet", "theme": "x"}, "form"),
        ({"form": "poem"}, "theme"),
        ({"form": "poem", "theme": ""}, "theme"),
        ({"form": "poem", "theme": "two\nlines"}, "theme"),
        ({"form": "poem", "theme": "two\u2028lines"}, "theme"),
        ({"form": "poem", "theme": "x" * 201}, "theme"),
        ({"form": "poem", "theme": 1}, "theme"),
        ({"form": "poem", "title": "The Harbour", "style": "old"}, "style"),
    ],
    ids=str,
)
def test_a_bad_form_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/v1/jobs", json=body)

    problem(answer, 400, "invalid_field")
    assert field in fields(answer)


def test_all_bad_fields_are_named_at_once(api: Api) -> None:
    answer = api.submit(n=0, top_k=-1, colour="red")
    assert fields(answer) == {"n", "top_k", "colour"}


def test_a_thousand_bad_fields_get_a_short_answer(api: Api) -> None:
    answer = api.submit(**{f"{number}" * 200: 1 for number in range(1000)})

    problem(answer, 400, "invalid_field")
    assert len(answer.data) < 20_000


def test_an_unknown_model_is_named(api: Api) -> None:
    answer = api.submit(model="no-such-model")

    problem(answer, 400, "unknown_model")
    assert fields(answer) == {"model"}


def test_a_prompt_too_long_says_by_how_much(api: Api) -> None:
    answer = api.submit(prompt="x" * 500, max_tokens=100)

    assert "88 too many" in problem(answer, 400, "prompt_too_long")["detail"]
    assert fields(answer) == {"prompt"}


@pytest.mark.parametrize("field", ["title", "theme"])
def test_a_form_too_long_names_what_to_shorten(api: Api, field: str) -> None:
    answer = api.submit(form="story", **{field: "x" * 200}, max_tokens=400)

    problem(answer, 400, "prompt_too_long")
    assert fields(answer) == {field}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"prompt"',
        b"null",
        b'{"prompt": "Once"} {}',
        b'{"prompt": "Once", "temperature": NaN}',
        b'{"prompt": "Once", "temperature": -Infinity}',
        b'{"prompt": "\xff"}',
        b'\xff\xfe{\x00"\x00',
        b'\xef\xbb\xbf{"prompt": "Once"}',
        b'{"prompt": "Once", "n": ' + b"9" * 5000 + b"}",
        b'{"prompt": "Once", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"prompt": "Once", "metadata": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"prompt": "Once", "\\ud800": 1}',
        b'{"prompt": "Once", "metadata": {"\\udc00": "x"}}',
    ],
    ids=lambda data: repr(data[:40]),
)
def test_a_body_that_is_no_json_object_is_refused(api: Api, data: bytes) -> None:
    problem(api.post("/v1/jobs", data=data, **JSON), 400, "invalid_json")


@pytest.mark.parametrize(
    ("data", "key"), [(b'{"prompt": "a", "prompt": "b"}', "prompt"), (b'{"metadata": {"x": "", "x": ""}}', "x")]
)
def test_a_key_that_stands_twice_is_named(api: Api, data: bytes, key: str) -> None:
    answer = api.post("/v1/jobs", data=data, **JSON)

    problem(answer, 400, "invalid_json")
    assert fields(answer) == {key}


@pytest.mark.parametrize("value", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_out_of_all_range_is_named(api: Api, value: str) -> None:
    answer = api.post("/v1/jobs", data=f'{{"prompt": "Once", "temperature": {value}}}', **JSON)

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"temperature"}


def test_ten_megabytes_are_too_large(api: Api) -> None:
    body = b'{"prompt": "' + b"x" * 10_000_000 + b'"}'
    problem(api.post("/v1/jobs", data=body, **JSON), 413, "body_too_large")


def test_ten_megabytes_without_a_length_are_too_large(api: Api) -> None:
    body = b'{"prompt": "' + b"x" * 10_000_000 + b'"}'
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    problem(api.post("/v1/jobs", data=body, environ_overrides=chunked, **JSON), 413, "body_too_large")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""]
)
def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    answer = api.post("/v1/jobs", data=b'{"prompt": "Once"}', content_type=content_type)
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "key", ["", " ", "two words", "x" * 256, "é", '"open', '""', '"x"y', '"' + "x" * 256 + '"']
)
def test_a_bad_idempotency_key_is_named(api: Api, key: str) -> None:
    answer = api.submit(headers={"Idempotency-Key": key})

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"Idempotency-Key"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("state=done", "state.0"),
        ("kind=dance", "kind"),
        ("model=%00", "model"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2030-01-01T00:00:00", "created_before"),
        ("colour=red", "colour"),
    ],
)
def test_a_bad_filter_is_named(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/v1/jobs?{query}")

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


@pytest.mark.parametrize("cursor", ["", "x", "%00", "%ff", "../..", "a" * 22, "am9iXw", "dGVuXzAx", "é"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tenants"])
def test_a_cursor_from_elsewhere_is_refused(api: Api, operator: Api, path: str, cursor: str) -> None:
    answer = (operator if path == "/v1/tenants" else api).get(f"{path}?after={cursor}")

    problem(answer, 400, "invalid_cursor")
    assert fields(answer) == {"after"}
