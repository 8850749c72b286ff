"""The demo: what it shows, and that nothing stays behind."""

import fcntl
import io
import json
import os
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from quire_client.demo.__main__ import perform
from quire_client.demo.programme import PROGRAMME
from quire_client.demo.show import show_job, total
from quire_client.demo.signals import Signals, Stopped
from quire_client.demo.system import Ready, System, SystemFailedError
from quire_client.job import Job

Make = Callable[..., Any]


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), highlight=False)


def shown(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_piece_is_shown_with_what_made_it(job: Make, pipe: Console) -> None:
    show_job(pipe, "The Harbour", Job.parse(job("succeeded", "\nThe sea is grey\n")))

    assert shown(pipe) == (
        "\n--- The Harbour ---\n\nThe sea is grey\n\n[quire-verse · seed 7 · 57 tokens · 48 tokens/s · 1.2 s]\n\n"
    )


def test_a_terminal_frames_each_piece(job: Make, terminal: Console) -> None:
    show_job(terminal, "Spring", Job.parse(job("succeeded", "One", "Two")))

    assert "Spring (1 of 2)" in shown(terminal)
    assert "Spring (2 of 2)" in shown(terminal)
    assert all(len(line) <= 40 for line in shown(terminal).splitlines())


def test_a_continuation_is_shown_after_its_prompt(job: Make, pipe: Console) -> None:
    asked = {"form": None, "prompt": "The willows lean and"}

    show_job(pipe, "Free", Job.parse(job("succeeded", " weep", input=asked)))

    assert "The willows lean and weep\n" in shown(pipe)


def test_a_piece_cannot_move_the_terminal(job: Make, terminal: Console) -> None:
    show_job(terminal, "Spring", Job.parse(job("succeeded", "a\x1b[2J[bold]b")))

    assert "a[2J[bold]b" in shown(terminal)


def test_a_failed_job_says_why(job: Make, pipe: Console) -> None:
    show_job(pipe, "Spring", Job.parse(job("failed", error={"code": "worker_lost", "message": "Lost."})))

    assert shown(pipe) == "Spring: failed: worker_lost, Lost.\n"


def test_the_total_counts_over_all_jobs_together(job: Make) -> None:
    day = "2026-11-23T20:00"
    times = [(f"{day}:10Z", f"{day}:12Z"), (f"{day}:11Z", f"{day}:14Z")]
    jobs = [Job.parse(job("succeeded", "One", started_at=start, finished_at=end)) for start, end in times]

    assert total(jobs) == "2 jobs, 2 pieces, 114 tokens in 4.0 s: 28 tokens/s"


def test_the_whole_programme_is_submitted_and_shown(job: Make, time: Any, pipe: Console) -> None:
    jobs: dict[str, dict[str, Any]] = {}
    looks = []

    def server(request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path:
            case "POST", "/v1/tenants":
                return httpx.Response(201, json={"id": "ten_1", "name": json.loads(request.content)["name"]})
            case "POST", "/v1/tenants/ten_1/keys":
                return httpx.Response(201, json={"id": "key_1", "prefix": "qk_abc", "secret": "qk_abc_def"})
            case "GET", "/v1/models":
                looks.append(request)
                return httpx.Response(200, json={"data": [{"id": "quire-verse", "workers": len(looks) - 1}]})
            case "POST", "/v1/jobs":
                number = f"job_{len(jobs) + 1}"
                jobs[number] = job("succeeded", f"Text of {number}", id=number)
                return httpx.Response(202, json=job("queued", id=number))
            case "GET", "/v1/jobs":
                return httpx.Response(200, json={"data": list(jobs.values())})
            case _:
                return httpx.Response(200, json=jobs[request.url.path.removeprefix("/v1/jobs/")])

    ended = perform(Ready("http://quire.test", "operator"), pipe, time.clock, httpx.MockTransport(server))

    assert len(looks) == 2  # it waited for a worker
    assert len(ended) == len(PROGRAMME) == 6
    assert all(f"--- {heading} ---" in shown(pipe) for heading in PROGRAMME)
    assert all(f"Text of {number}" in shown(pipe) for number in jobs)


def test_the_demo_does_not_wait_for_ever(job: Make, time: Any, pipe: Console) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": []})
        return httpx.Response(201, json={"id": "x", "name": "x", "secret": "qk"})

    with pytest.raises(SystemFailedError, match="no worker"):
        perform(Ready("http://quire.test", "operator"), pipe, time.clock, httpx.MockTransport(server))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_demo_with_its_code(number: signal.Signals, code: int) -> None:
    with Signals(), pytest.raises(Stopped) as caught:
        signal.raise_signal(number)
    assert caught.value.exit_code == code


def test_a_signal_waits_for_what_must_not_be_cut() -> None:
    done = []

    def start(signals: Signals) -> None:
        with signals.held():
            signal.raise_signal(signal.SIGINT)
            done.append("child recorded")

    with Signals() as signals, pytest.raises(Stopped):
        start(signals)
    assert done == ["child recorded"]


def test_further_signals_do_not_disturb_the_cleaning_up() -> None:
    with Signals() as signals:
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    assert signals.count == 3


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_demos_do_not_share_their_data(tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps([os.getpid(), None]))
        lock.flush()

        system = System(tmp_path, tmp_path / "demo", Signals())
        with pytest.raises(SystemFailedError, match=f"another demo is running here, as process {os.getpid()}"):
            system.start(print)
        system.stop()


def test_a_system_that_never_started_is_stopped_without_ado(tmp_path: Path) -> None:
    system = System(tmp_path, tmp_path / "demo", Signals())

    system.stop()

    assert (system.started, system.tail()) == (False, "")


def test_where_a_model_for_music_is_served_a_tune_is_made_and_saved(
    job: Make, time: Any, pipe: Console, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []
    files = [{"name": "tune-0.abc"}, {"name": "tune-0.wav", "unavailable": "fluidsynth is not installed there"}]

    def server(request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - a route each
        match request.method, request.url.path:
            case "POST", "/v1/tenants":
                return httpx.Response(201, json={"id": "ten_1", "name": "demo"})
            case "POST", "/v1/tenants/ten_1/keys":
                return httpx.Response(201, json={"id": "key_1", "prefix": "qk_abc", "secret": "qk_abc_def"})
            case "GET", "/v1/models":
                return httpx.Response(200, json={"data": [{"id": "quire-tunes", "kind": "music", "workers": 1}]})
            case "POST", "/v1/jobs":
                asked.append(json.loads(request.content))
                return httpx.Response(202, json=job("queued", id=f"job_{len(asked)}"))
            case "GET", "/v1/jobs":
                ended = [job("succeeded", "GABc|]", id=f"job_{n + 1}") for n in range(len(asked))]
                return httpx.Response(200, json={"data": ended})
            case "GET", path if path.endswith("/artifacts"):
                return httpx.Response(200, json={"data": files})
            case "GET", path if path.endswith("tune-0.abc"):
                tag = f'"{sha256(b"X:1").hexdigest()}"'
                return httpx.Response(200, content=b"X:1", headers={"ETag": tag})
            case _:
                number = request.url.path.removeprefix("/v1/jobs/")
                music = asked[int(number.removeprefix("job_")) - 1].get("kind") == "music"
                return httpx.Response(
                    200, json=job("succeeded", "GABc|]", id=number, artifacts=files if music else [])
                )

    transport = httpx.MockTransport(server)
    perform(Ready("http://quire.test", "operator"), pipe, time.clock, transport, files=tmp_path)

    assert [each["style"] for each in asked if each.get("kind") == "music"] == ["jig"]
    assert (tmp_path / "tune-0.abc").read_bytes() == b"X:1"
    assert "no tune-0.wav: fluidsynth is not installed there" in shown(pipe)
