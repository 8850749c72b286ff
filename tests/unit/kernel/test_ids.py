import uuid
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire import ids

MOMENTS = st.integers(0, 8_000_000_000_000_000).map(lambda us: ids.EPOCH + timedelta(microseconds=us))


def milliseconds(value: uuid.UUID) -> int:
    return value.int >> 80


def test_an_id_is_a_uuid_of_version_7() -> None:
    assert (ids.new_id().version, ids.new_id().variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for now in (1, 2, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr("time.time_ns", lambda now=now: now * 1_000_000)
        made.append(ids.new_id())

    assert made == sorted(made)


def test_two_ids_of_the_same_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 0)

    assert ids.new_id() != ids.new_id()


@given(MOMENTS)
def test_the_first_id_of_a_moment_carries_its_millisecond(moment: datetime) -> None:
    elapsed = moment - ids.EPOCH

    assert milliseconds(ids.first_id_at(moment)) == elapsed // timedelta(milliseconds=1)


@given(MOMENTS)
def test_the_first_id_of_a_moment_is_above_all_ids_of_the_millisecond_before(moment: datetime) -> None:
    first = ids.first_id_at(moment + timedelta(milliseconds=1))
    last_before = ids._uuid7(milliseconds(ids.first_id_at(moment)), (1 << 74) - 1)

    assert last_before < first


@given(st.uuids(), st.sampled_from([ids.JOB, ids.TENANT, ids.KEY]))
def test_what_is_shown_can_be_read_back(value: uuid.UUID, prefix: str) -> None:
    assert ids.parse(prefix, ids.show(prefix, value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job",
        "job_",
        "ten_0190b0a0b0c07d0e8f00112233445566",
        "0190b0a0b0c07d0e8f00112233445566",
        "job_0190b0a0b0c07d0e8f0011223344556",
        "job_0190b0a0b0c07d0e8f001122334455667",
        "job_0190b0a0-b0c0-7d0e-8f00-112233445566",
        "job_zz90b0a0b0c07d0e8f00112233445566",
        "job_0x90b0a0b0c07d0e8f00112233445566",
        "job_0190_b0a0b0c07d0e8f0011223344556",
        "job_ 190b0a0b0c07d0e8f0011223344556 ",
        "job_+190b0a0b0c07d0e8f00112233445566",
        "job_0190B0A0B0C07D0E8F00112233445566",
        "job_\u0660\u0661\u0669\u0660b0a0b0c07d0e8f00112233445566",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    assert ids.parse(ids.JOB, text) is None


@given(st.text(max_size=40))
def test_no_text_makes_reading_fail(text: str) -> None:
    value = ids.parse(ids.JOB, f"job_{text}")

    assert value is None or ids.show(ids.JOB, value) == f"job_{text}"
