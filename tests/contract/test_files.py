"""/v1/files, as the official OpenAI client sends them."""

import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from flask import Flask
from openai import OpenAI
from sqlalchemy import select, text

from quire.files import PART
from quire.store import File, FilePart
from quire.store import file as files
from quire.testing import Place
from tests.contract.client import Api, fields, problem, shown
from tests.contract.openai import openai_client

LINES = b'{"custom_id": "a"}\n' * 40_000  # 760 kB: three parts


@pytest.fixture
def client(app: Flask, api: Api) -> Iterator[OpenAI]:
    with openai_client(app, api.secret) as client:
        yield client


def upload(client: OpenAI, content: bytes = b"{}\n", name: str = "lines.jsonl", **rest: Any) -> Any:
    return client.files.create(file=(name, content), purpose="batch", **rest)


def form(api: Api, **parts: Any) -> Any:
    return api.post("/v1/files", data=parts, content_type="multipart/form-data")


def rows(place: Place, table: Any) -> int:
    with place.database.service() as session:
        return len(session.scalars(select(table)).all())


def test_a_file_is_stored_listed_read_and_deleted(client: OpenAI, place: Place) -> None:
    stored = upload(client, LINES)
    assert (stored.object, stored.bytes, stored.filename, stored.purpose, stored.status) == (
        "file", len(LINES), "lines.jsonl", "batch", "processed",
    )  # fmt: skip
    assert rows(place, FilePart) == -(-len(LINES) // PART)

    assert client.files.retrieve(stored.id) == stored
    assert client.files.content(stored.id).read() == LINES
    assert [each.id for each in client.files.list()] == [stored.id]
    gone = client.files.delete(stored.id)
    assert (gone.id, gone.deleted) == (stored.id, True)
    assert rows(place, File) == rows(place, FilePart) == 0
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(stored.id)


def test_nothing_of_a_file_lies_in_clear(client: OpenAI, place: Place) -> None:
    upload(client, b"Xanthippe sang " * 100)
    with place.database.service() as session:
        [body] = session.scalars(select(FilePart.body)).all()
    assert b"Xanthippe" not in body


def test_an_empty_file_is_a_file(client: OpenAI) -> None:
    assert client.files.content(upload(client, b"").id).read() == b""


def test_lists_are_paged_both_ways(client: OpenAI) -> None:
    made = [upload(client).id for _ in range(5)]
    assert [each.id for each in client.files.list(limit=2)] == made[::-1]
    assert [each.id for each in client.files.list(limit=2, order="asc", purpose="batch")] == made
    assert client.files.list(purpose="batch_output").data == []


def test_a_file_may_expire(client: OpenAI, place: Place) -> None:
    stored = upload(client, expires_after={"anchor": "created_at", "seconds": 3600})
    assert stored.expires_at == stored.created_at + 3600
    with place.database.service() as session:
        session.execute(text("UPDATE files SET expires_at = clock_timestamp()"))

    with pytest.raises(openai.NotFoundError):
        client.files.content(stored.id)
    assert client.files.list().data == []
    with place.database.service() as session:
        assert files.forget(session, 10) == 1
    assert rows(place, FilePart) == 0


def test_of_a_broken_upload_nothing_is_left(api: Api, place: Place) -> None:
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + LINES
    answer = api.post("/v1/files", data=whole, content_type="multipart/form-data; boundary=b")
    problem(answer, 400, "invalid_field")
    assert rows(place, File) == rows(place, FilePart) == 0


def test_an_upload_whose_process_died_is_removed(place: Place) -> None:
    with place.database.tenant(place.tenant.id) as session:
        session.add(File(id=place.tenant.id, tenant_id=place.tenant.id, filename="", purpose=""))
    with place.database.service() as session:
        assert files.forget(session, 10) == 0
        session.execute(text("UPDATE files SET created_at = created_at - interval '2 hours'"))
        assert files.forget(session, 10) == 1


@pytest.mark.parametrize(
    ("parts", "blamed"),
    [
        ({"purpose": "batch"}, "file"),
        ({"purpose": "batch", "other": (io.BytesIO(b"a"), "a")}, "file"),
        ({"purpose": "fine-tune", "file": (io.BytesIO(b"a"), "a")}, "purpose"),
        ({"file": (io.BytesIO(b"a"), "a")}, "purpose"),
        ({"purpose": "batch", "file": (io.BytesIO(b"a"), "a"), "more": "a"}, "more"),
        (
            {"purpose": "batch", "file": (io.BytesIO(b"a"), "a"), "expires_after[anchor]": "created_at"},
            "seconds",
        ),
        (
            {
                "purpose": "batch", "file": (io.BytesIO(b"a"), "a"), "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "60",
            },
            "expires_after[seconds]",
        ),
    ],
)  # fmt: skip
def test_a_form_that_is_not_right_is_refused_by_name(shared: Any, parts: dict[str, Any], blamed: str) -> None:
    answer = form(shared.api, **parts)
    problem(answer, 400, "invalid_field")
    assert fields(answer) == {blamed}
    assert shown(shared.api.get("/v1/files"))["data"] == []


def test_a_file_has_a_size_and_a_tenant_room_for_so_many(app: Flask, client: OpenAI, place: Place) -> None:
    kept = app.extensions["quire"].files
    kept.most_bytes = 1_000
    upload(client, b"a" * 1_000)
    with pytest.raises(openai.APIStatusError) as refused:
        upload(client, b"a" * 1_001)
    assert refused.value.status_code == 413
    kept._most_stored = 1_500
    with pytest.raises(openai.RateLimitError):
        upload(client, b"a" * 600)
    assert rows(place, File) == 1


def test_only_forms_are_taken(shared: Any) -> None:
    problem(shared.api.post("/v1/files", json={"purpose": "batch"}), 415, "unsupported_media_type")


def test_files_of_others_are_not_there(client: OpenAI, stranger: Api) -> None:
    stored = upload(client).id
    for path in (f"/v1/files/{stored}", f"/v1/files/{stored}/content", "/v1/files/file_1"):
        problem(stranger.get(path), 404, "not_found")
    problem(stranger.delete(f"/v1/files/{stored}"), 404, "not_found")
    assert shown(stranger.get("/v1/files"))["data"] == []
    problem(stranger.get("/v1/files?after=x"), 400, "invalid_cursor")
