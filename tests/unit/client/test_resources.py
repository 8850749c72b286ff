"""What each resource sends, and what it makes of the answer."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire_client import UnexpectedAnswerError

Make = Callable[..., Any]

TENANT = {"id": "ten_1", "object": "tenant", "name": "reader", "weight": 2.0, "max_queued": 10}
KEY = {"id": "key_1", "object": "key", "tenant_id": "ten_1", "prefix": "qk_abc", "scopes": ["jobs:read"]}
USAGE = {
    "object": "usage",
    "data": [{
        "day": "2026-11-23", "model": "quire-verse", "jobs": 2,
        "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "reserved_tokens": 5,
    }],
    "today": {"day": "2026-11-23", "used_tokens": 30, "max_tokens_per_day": 100, "remaining_tokens": 70},
}  # fmt: skip


def page(*items: object, cursor: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"data": list(items), "has_more": cursor is not None, "next_cursor": cursor})


def test_submit_sends_only_what_was_given(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(202, json=job("queued")))

    connect(server).jobs.submit(form="poem", title="The Harbour", seed=None, temperature=0.0, stop="\n\n")

    assert server.bodies == [{"form": "poem", "title": "The Harbour", "temperature": 0.0, "stop": "\n\n"}]
    assert server.requests[0].headers["Content-Type"] == "application/json"


def test_submit_takes_a_key_of_the_callers_own(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(202, json=job("queued")))

    connect(server).jobs.submit("Once", idempotency_key="shelf-7")

    assert server.requests[0].headers["Idempotency-Key"] == "shelf-7"


def test_submit_sends_times_with_their_zone(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(202, json=job("queued")))
    noon = datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=8)))

    connect(server).jobs.submit("Once", not_before=noon)

    assert server.bodies[0]["not_before"] == "2026-11-24T12:00:00+08:00"


def test_submit_refuses_a_time_without_a_zone(connect: Make, script: Make) -> None:
    with pytest.raises(ValueError, match="deadline: 2026-11-24 12:00:00 has no time zone"):
        connect(script()).jobs.submit("Once", deadline=datetime(2026, 11, 24, 12))  # noqa: DTZ001


def test_submit_hands_a_broken_surrogate_on_to_the_server(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(202, json=job("queued")))

    connect(server).jobs.submit("a\ud800b")

    assert b"\\ud800" in server.requests[0].content


def test_the_list_follows_the_cursor_through_all_pages(connect: Make, script: Make, job: Make) -> None:
    server = script(page(job(id="job_3"), job(id="job_2"), cursor="c1"), page(job(id="job_1")))

    found = [each.id for each in connect(server).jobs.list(state="running", limit=2)]

    assert found == ["job_3", "job_2", "job_1"]
    assert [request.url.query for request in server.requests] == [
        b"state=running&limit=2",
        b"state=running&limit=2&after=c1",
    ]


def test_the_list_fetches_no_page_before_it_is_needed(connect: Make, script: Make, job: Make) -> None:
    server = script(page(job(), cursor="c1"))

    next(connect(server).jobs.list())

    assert len(server.requests) == 1


def test_the_list_takes_several_states_and_times(connect: Make, script: Make) -> None:
    server = script(page())
    since = datetime(2026, 11, 1, tzinfo=UTC)

    list(connect(server).jobs.list(state=["queued", "running"], created_after=since))

    params = server.requests[0].url.params
    assert params.get_list("state") == ["queued", "running"]
    assert params["created_after"] == "2026-11-01T00:00:00+00:00"


def test_a_page_tells_where_the_next_one_starts(connect: Make, script: Make, job: Make) -> None:
    found = connect(script(page(job(), cursor="c1"))).jobs.page(limit=1)

    assert (len(found.data), found.has_more, found.next_cursor) == (1, True, "c1")


def test_cancel_and_delete_name_the_job_in_the_path(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(200, json=job("cancelled")), httpx.Response(204))
    quire = connect(server)

    assert quire.jobs.cancel("job_1").state == "cancelled"
    quire.jobs.delete("job_1")

    sent = [(request.method, request.url.path) for request in server.requests]
    assert sent == [("POST", "/v1/jobs/job_1/cancel"), ("DELETE", "/v1/jobs/job_1")]


def test_an_id_cannot_leave_its_place_in_the_path(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(200, json=job()))

    connect(server).jobs.get("../tenants?x")

    assert server.requests[0].url.raw_path == b"/v1/jobs/..%2Ftenants%3Fx"


@pytest.mark.parametrize(("piece", "query"), [(None, b""), (0, b"piece=0")])
def test_output_is_the_text_as_it_is(connect: Make, script: Make, piece: int | None, query: bytes) -> None:
    server = script(httpx.Response(200, text=" Das Meer — 海\n"))

    assert connect(server).jobs.output("job_1", piece) == " Das Meer — 海\n"
    assert server.requests[0].url.query == query


def test_models_are_listed_with_the_api_key(connect: Make, script: Make) -> None:
    server = script(page({"id": "quire-verse", "context_length": 512, "workers": 2, "default": True}))

    (model,) = connect(server).models.list()

    assert (model.id, model.context_length, model.workers, model.default) == ("quire-verse", 512, 2, True)
    assert server.requests[0].headers["Authorization"] == "Bearer qk_test"


def test_tenants_need_the_operators_token(connect: Make, script: Make) -> None:
    server = script(httpx.Response(201, json=TENANT), httpx.Response(200, json=TENANT), page(TENANT))
    quire = connect(server)

    made = quire.tenants.create("reader", weight=2.0)
    assert quire.tenants.get("ten_1") == made
    assert list(quire.tenants.list()) == [made]

    assert server.requests[0].content == b'{"name": "reader", "weight": 2.0}'
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer operator"}


def test_a_change_sends_what_was_named_and_null_for_no_limit(connect: Make, script: Make) -> None:
    server = script(httpx.Response(200, json=TENANT | {"paused": True}))

    changed = connect(server).tenants.change("ten_1", max_running=None, paused=True)

    assert changed.paused
    assert (server.requests[0].method, server.bodies) == ("PATCH", [{"max_running": None, "paused": True}])


def test_usage_is_read_by_day(connect: Make, script: Make) -> None:
    server = script(httpx.Response(200, json=USAGE), httpx.Response(200, json=USAGE))
    quire = connect(server)

    mine = quire.accounts.usage(first_day=date(2026, 11, 1))
    assert quire.tenants.usage("ten_1") == mine

    assert (mine.lines[0].day, mine.lines[0].total_tokens, mine.remaining_tokens) == (date(2026, 11, 23), 30, 70)
    assert [str(request.url.path) for request in server.requests] == ["/v1/usage", "/v1/tenants/ten_1/usage"]
    assert server.requests[0].url.query == b"first_day=2026-11-01"


def test_many_jobs_go_in_one_request_with_one_key(connect: Make, script: Make) -> None:
    server = script(
        httpx.Response(503), httpx.Response(202, json={"object": "bulk", "count": 2, "jobs": ["job_1", "job_2"]})
    )

    assert connect(server).jobs.submit_many([{"prompt": "a", "seed": None}, {"prompt": "b"}]) == ("job_1", "job_2")

    assert server.bodies[1] == {"jobs": [{"prompt": "a"}, {"prompt": "b"}]}
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 1


def test_the_tenants_come_page_by_page(connect: Make, script: Make) -> None:
    server = script(page(TENANT, cursor="c1"), page(TENANT | {"id": "ten_2"}))

    assert [tenant.id for tenant in connect(server).tenants.list()] == ["ten_1", "ten_2"]
    assert server.requests[1].url.params["after"] == "c1"


def test_a_key_tells_its_secret_once_and_never_in_a_log(connect: Make, script: Make) -> None:
    server = script(httpx.Response(201, json=KEY | {"secret": "qk_abc_hidden"}), page(KEY))
    quire = connect(server)

    made = quire.keys.create("ten_1", scopes=["jobs:read"])
    (listed,) = quire.keys.list("ten_1")

    assert made.secret == "qk_abc_hidden"
    assert "hidden" not in repr(made)
    assert listed.secret is None
    assert listed.scopes == ("jobs:read",)


def test_a_key_is_revoked_under_its_tenant(connect: Make, script: Make) -> None:
    server = script(httpx.Response(204))

    connect(server).keys.revoke("ten_1", "key_1")

    assert server.requests[0].url.path == "/v1/tenants/ten_1/keys/key_1"


FILES = [
    {
        "name": "tune-0.abc",
        "piece": 0,
        "media_type": "text/vnd.abc",
        "size": 3,
        "sha256": sha256(b"X:1").hexdigest(),
    },
    {"name": "../../tune-0.mid", "piece": 0, "media_type": "audio/midi", "size": 4, "sha256": "…"},
    {"name": "tune-0.svg", "piece": 0, "media_type": "image/svg+xml", "size": 0, "unavailable": "no verovio"},
]


def content(data: bytes) -> httpx.Response:
    return httpx.Response(200, content=data, headers={"ETag": f'"{sha256(data).hexdigest()}"'})


def test_files_of_a_job_are_told(connect: Make, script: Make) -> None:
    server = script(httpx.Response(200, json={"object": "list", "data": FILES}))

    abc, _, svg = connect(server).jobs.artifacts("job_1")

    assert server.requests[0].url.path == "/v1/jobs/job_1/artifacts"
    assert (abc.name, abc.size, abc.unavailable) == ("tune-0.abc", 3, None)
    assert svg.unavailable == "no verovio"


def test_a_file_that_arrives_damaged_is_refused(connect: Make, script: Make) -> None:
    server = script(httpx.Response(200, content=b"X:2", headers={"ETag": f'"{sha256(b"X:1").hexdigest()}"'}))

    with pytest.raises(UnexpectedAnswerError, match="damaged"):
        connect(server).jobs.download("job_1", "tune-0.abc")


def test_files_are_saved_inside_the_folder_whatever_they_are_called(
    connect: Make, script: Make, tmp_path: Path
) -> None:
    listed = httpx.Response(200, json={"object": "list", "data": FILES})
    server = script(listed, content(b"X:1"), content(b"MThd"))

    saved = connect(server).jobs.save("job_1", tmp_path / "tunes")

    assert saved == (tmp_path / "tunes" / "tune-0.abc", tmp_path / "tunes" / "tune-0.mid")
    assert [path.read_bytes() for path in saved] == [b"X:1", b"MThd"]


def test_a_melody_is_sent_in_base64(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(202, json=job("queued")))

    connect(server).jobs.submit(kind="music", style="jig", opening_midi=b"MThd")

    assert server.bodies == [{"kind": "music", "style": "jig", "opening_midi": "TVRoZA=="}]
