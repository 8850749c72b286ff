"""Artifacts: listed, read whole and in part, by their tenant alone, and sealed where they lie."""

import hashlib

import pytest
from sqlalchemy import text

from quire.artifacts import PART
from quire.testing import Place
from tests.contract.client import Api, problem, shown
from tests.contract.tunes import FILES, MODEL, SOUND, add_tunes, finished_tune, tune
from tests.contract.working import FakeWorker

TAG = f'"{hashlib.sha256(SOUND).hexdigest()}"'


@pytest.fixture
def job(api: Api, place: Place) -> str:
    return finished_tune(api, place)


def sound(job: str) -> str:
    return f"/v1/jobs/{job}/artifacts/tune-0.wav"


def test_each_file_is_listed_with_what_it_is(api: Api, job: str) -> None:
    listed = shown(api.get(f"/v1/jobs/{job}/artifacts"))["data"]

    assert listed == api.job(job)["artifacts"]
    assert [(each["name"], each["media_type"], each["size"]) for each in listed] == [
        ("tune-0.abc", "text/vnd.abc", len(FILES[0].content)),
        ("tune-0.mid", "audio/midi", 8),
        ("tune-0.svg", "image/svg+xml", 0),
        ("tune-0.wav", "audio/wav", len(SOUND)),
    ]
    assert listed[3]["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert (listed[2]["sha256"], listed[2]["unavailable"]) == (None, "verovio is not installed there.")


def test_a_file_is_read_whole(api: Api, job: str) -> None:
    answer = api.get(sound(job))

    assert (answer.status_code, answer.data) == (200, SOUND)
    assert answer.mimetype == "audio/wav"
    assert answer.headers["ETag"] == TAG
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tune-0.wav"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        (f"bytes={PART - 3}-{PART + 3}", PART - 3, PART + 4),
        (f"bytes={PART}-", PART, len(SOUND)),
        ("bytes=-5", len(SOUND) - 5, len(SOUND)),
        ("bytes=7-99999999", 7, len(SOUND)),
    ],
)
def test_a_range_of_it_is_read(api: Api, job: str, asked: str, start: int, end: int) -> None:
    answer = api.get(sound(job), headers={"Range": asked})

    assert (answer.status_code, answer.data) == (206, SOUND[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(SOUND)}"
    assert answer.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=-", "nonsense"])
def test_what_is_no_single_range_is_answered_with_the_whole(api: Api, job: str, asked: str) -> None:
    assert api.get(sound(job), headers={"Range": asked}).status_code == 200


@pytest.mark.parametrize("asked", [f"bytes={len(SOUND)}-", "bytes=-0"])
def test_a_range_behind_the_end_is_416(api: Api, job: str, asked: str) -> None:
    answer = api.get(sound(job), headers={"Range": asked})

    problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(SOUND)}"


def test_a_range_of_what_has_changed_is_the_whole(api: Api, job: str) -> None:
    part = {"Range": "bytes=0-4"}

    assert api.get(sound(job), headers=part | {"If-Range": TAG}).status_code == 206
    assert api.get(sound(job), headers=part | {"If-Range": '"other"'}).status_code == 200


def test_what_the_client_has_is_not_sent_again(api: Api, job: str) -> None:
    answer = api.get(sound(job), headers={"If-None-Match": TAG})

    assert (answer.status_code, answer.data) == (304, b"")


def test_head_tells_all_but_the_bytes(api: Api, job: str) -> None:
    answer = api.request("HEAD", sound(job))

    assert (answer.status_code, answer.data) == (200, b"")
    assert (answer.headers["Content-Length"], answer.headers["ETag"]) == (str(len(SOUND)), TAG)


def test_another_tenants_files_are_not_there(stranger: Api, job: str) -> None:
    problem(stranger.get(f"/v1/jobs/{job}/artifacts"), 404)
    problem(stranger.get(sound(job)), 404)


def test_a_name_that_nothing_has_is_not_there(api: Api, job: str) -> None:
    problem(api.get(f"/v1/jobs/{job}/artifacts/tune-9.wav"), 404)
    problem(api.get(f"/v1/jobs/{job}/artifacts/..%2f..%2fetc"), 404)


def test_what_could_not_be_made_says_why(api: Api, job: str) -> None:
    answer = api.get(f"/v1/jobs/{job}/artifacts/tune-0.svg")

    assert "verovio is not installed there" in problem(answer, 409, "conflict")["detail"]


def test_before_the_end_there_is_nothing(api: Api, place: Place) -> None:
    add_tunes(place)
    running = tune(api)["id"]
    worker = FakeWorker(place, MODEL)
    worker.claim()
    worker.keep(running, *FILES)

    assert shown(api.get(f"/v1/jobs/{running}/artifacts"))["data"] == []
    problem(api.get(sound(running)), 409, "conflict")


def test_files_lie_sealed(place: Place, job: str) -> None:
    with place.database.service() as session:
        bodies = session.scalars(text("SELECT body FROM artifact_parts")).all()
        digests = session.scalars(text("SELECT digest FROM artifacts WHERE digest IS NOT NULL")).all()

    everything = b"".join([*bodies, *digests])
    assert len(bodies) == 4
    assert SOUND[:64] not in everything
    assert b"A Tune" not in everything
    assert hashlib.sha256(SOUND).digest() not in everything


def test_a_part_that_was_moved_does_not_open(api: Api, place: Place, job: str) -> None:
    with place.database.service() as session:
        swap = "UPDATE artifact_parts SET body = (SELECT body FROM artifact_parts WHERE name LIKE '%.mid')"
        session.execute(text(f"{swap} WHERE name LIKE '%.wav' AND part = 0"))

    problem(api.get(sound(job)), 500, "undecryptable")


def test_with_the_job_its_files_are_gone(api: Api, place: Place, job: str) -> None:
    assert api.delete(f"/v1/jobs/{job}").status_code == 204

    with place.database.service() as session:
        assert session.scalar(text("SELECT (SELECT count(*) FROM artifacts) + count(*) FROM artifact_parts")) == 0
    problem(api.get(sound(job)), 404)


def test_a_run_that_was_lost_keeps_nothing(api: Api, place: Place) -> None:
    add_tunes(place)
    running = tune(api)["id"]
    worker = FakeWorker(place, MODEL)
    worker.claim()
    api.post(f"/v1/jobs/{running}/cancel")

    with pytest.raises(AssertionError):
        worker.keep(running, *FILES)
    assert shown(api.get(f"/v1/jobs/{running}/artifacts"))["data"] == []
