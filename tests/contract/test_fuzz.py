"""Whatever is sent, the answer is a job or a problem that names a field, and never a 5xx."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import responses
from quire.asking.request import ASKED, JobRequest
from tests.contract.client import problem

CALM = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(codec=None, categories=None), max_size=30)  # surrogates and NUL as well
numbers = st.integers(-(2**70), 2**70) | st.integers(-3, 30) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
plausible: dict[str, st.SearchStrategy[Any]] = {
    "prompt": texts,
    "model": st.sampled_from(["tiny", "unknown"]),
    "form": st.sampled_from(["story", "poem", "article", "verse", "七绝", "词"]),
    "title": texts,
    "theme": texts,
    "style": texts,
    "rhyme": st.sampled_from(["none", "ABAB", "XAXA", "AB", "ABC", "abab"]),
    "meter": st.sampled_from(["iambic tetrameter", "ballad meter", "free"]),
    "truncate": st.sampled_from(["start", "end"]),
    "seed": st.integers(-1, 2**53),
    "logit_bias": st.dictionaries(st.integers(-1, 300).map(str), st.floats(-101, 101), max_size=3),
    "stop": texts | st.lists(texts, max_size=3),
    "banned": st.lists(texts, max_size=3),
    "not_before": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "deadline": st.datetimes().map(lambda moment: moment.isoformat() + "+05:30"),
    "metadata": st.dictionaries(texts, texts, max_size=3),
}
fields = {name: plausible.get(name, numbers) | values for name in JobRequest.model_fields}
OF_FORMS = ("title", "style", "n", *ASKED)
bodies = st.fixed_dictionaries(
    {"prompt": texts},
    optional={**{name: field for name, field in fields.items() if name != "prompt"}, "colour": values},
) | st.fixed_dictionaries(
    {"form": plausible["form"], "theme": texts},
    optional={name: fields[name] for name in ("title", "style", "n", *ASKED)},
)


@CALM
@given(body=bodies)
def test_any_object_gets_a_job_or_a_named_field(shared: Any, body: dict[str, Any]) -> None:
    answer = shared.api.post("/v1/jobs", data=json.dumps(body), content_type="application/json")

    if answer.status_code == 202:
        responses.Job.model_validate_json(answer.data)
    else:
        assert problem(answer, 400)["fields"]


@CALM
@given(data=st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_a_problem(shared: Any, data: bytes) -> None:
    problem(shared.api.post("/v1/jobs", data=data, content_type="application/json"), 400)


@CALM
@given(
    query=st.dictionaries(
        st.sampled_from(["state", "kind", "model", "created_after", "created_before", "limit", "after", "x"]),
        texts,
    ),
    path=st.sampled_from(["/v1/jobs", "/v1/tenants", "/v1/jobs/job_0/output"]),
)
def test_any_query_gets_an_answer(shared: Any, query: dict[str, str], path: str) -> None:
    clean = {name: value.encode(errors="replace") for name, value in query.items()}
    who = shared.operator if path == "/v1/tenants" else shared.api
    assert who.get(path, query_string=clean).status_code in {200, 400, 404}


@CALM
@given(
    name=st.sampled_from(["Authorization", "Idempotency-Key", "If-None-Match", "Prefer", "X-Request-Id"]),
    value=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
)
def test_any_header_gets_an_answer(shared: Any, name: str, value: str) -> None:
    answer = shared.api.submit(headers={name: value})
    assert answer.status_code in {202, 400, 401}


@CALM
@given(job=texts.filter(lambda text: "/" not in text and text not in {"", ".", ".."}))
def test_any_id_is_answered(shared: Any, job: str) -> None:
    from urllib.parse import quote

    answer = shared.api.get("/v1/jobs/" + quote(job.encode(errors="replace"), safe=""))
    problem(answer, 404, "not_found")
