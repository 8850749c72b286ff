"""`quire submit` and `quire jobs wait`: from the command line to the last line of the piece."""

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from quire_client.cli.following import Lines, Screen
from quire_client.cli.output import Output
from quire_client.cli.parser import moment
from quire_client.cli.transcript import Transcript
from quire_client.job import Job

Make = Callable[..., Any]

SUMMARY = "quire-verse · seed 7 · 57 tokens · 48 tokens/s · 1.2 s\n"


def accepted(job: Make) -> httpx.Response:
    return httpx.Response(202, json=job("queued", queue={"position": 2}))


def seen(data: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=data, headers={"ETag": '"1"', "Preference-Applied": "wait=30"})


def test_the_id_stands_alone_on_stdout(command: Make, job: Make) -> None:
    ran = command(["submit", "Once upon a time"], accepted(job))

    assert (ran.code, ran.out, ran.err) == (0, "job_1\n", "")
    assert ran.script.bodies == [{"prompt": "Once upon a time"}]


def test_the_answer_is_one_document_when_asked(command: Make, job: Make) -> None:
    assert command("submit x --json", accepted(job)).document["state"] == "queued"


def test_a_dash_reads_the_prompt_as_it_is(command: Make, job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Two lines\nof verse\n")))

    assert command("submit -", accepted(job)).script.bodies == [{"prompt": "Two lines\nof verse\n"}]


def test_a_prompt_that_is_no_text_is_refused(command: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))

    ran = command("submit -")

    assert (ran.code, ran.err) == (2, "error: standard input is not UTF-8: invalid start byte at byte 0\n")


def test_options_become_fields(command: Make, job: Make) -> None:
    line = (
        "submit --form poem --title Harbour -n 2 --max-tokens 60 --temperature 0 --presence-penalty -1.5 "
        "--stop a --stop b --logit-bias 7=-100 --meta shelf=sea --meta row=2 --idempotency-key k1"
    )

    ran = command(line, accepted(job))

    assert ran.script.bodies == [
        {
            "form": "poem", "title": "Harbour", "n": 2, "max_tokens": 60, "temperature": 0.0,
            "presence_penalty": -1.5, "stop": ["a", "b"], "logit_bias": {"7": -100.0},
            "metadata": {"shelf": "sea", "row": "2"},
        }
    ]  # fmt: skip
    assert ran.script.requests[0].headers["Idempotency-Key"] == "k1"


def test_a_time_may_be_a_span_from_now() -> None:
    before = datetime.now().astimezone()

    assert timedelta(hours=2) <= moment("+2h") - before < timedelta(hours=2, minutes=1)


def test_a_time_without_a_zone_is_local() -> None:
    assert moment("2026-11-24T12:00") == datetime(2026, 11, 24, 12).astimezone()


def test_waiting_prints_the_text_to_stdout_and_the_rest_to_stderr(
    command: Make, job: Make, stream: Make, written: Make
) -> None:
    ran = command(
        "submit x --wait",
        accepted(job),
        seen(job("queued", queue={"position": 2})),
        stream(
            ("state", {"state": "queued", "queue": {"position": 2}}),
            "running",
            written("The sea\nis", 3),
            written(" grey", 4),
            "succeeded",
        ),
        seen(job("succeeded", "The sea\nis grey")),
    )

    assert (ran.code, ran.out) == (0, "The sea\nis grey\n")
    assert ran.err == "job_1\nqueued, place 2\nrunning\nsucceeded\n" + SUMMARY


def test_tail_prints_the_text_alone(command: Make, job: Make, stream: Make, written: Make) -> None:
    events = stream("running", written("The sea\n", 2), written("is grey", 4), "succeeded")

    ran = command("tail job_1 --after 1:0", seen(job("running", "The sea")), events)

    assert (ran.code, ran.out, ran.err) == (0, "The sea\nis grey\n", "")
    assert ran.script.requests[1].url.params["after"] == "1:0"


def test_tail_in_json_is_a_line_for_each_event(command: Make, job: Make, stream: Make, written: Make) -> None:
    ran = command("tail job_1 --json", seen(job()), stream("running", written("The sea", 2), "failed"))

    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["event"] for each in told] == ["state", "text", "state"]
    assert (told[1]["id"], told[1]["pieces"][0]["text"]) == ("1:2", "The sea")
    assert ran.code == 1


def test_waiting_in_json_prints_only_the_ended_job(command: Make, job: Make) -> None:
    ran = command("submit x --wait --json", accepted(job), seen(job()), seen(job("succeeded", "The sea")))

    assert (ran.code, ran.err) == (0, "")
    assert ran.document["output"]["pieces"][0]["text"] == "The sea"


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
def test_a_job_that_ends_badly_is_code_1_and_shows_what_it_wrote(command: Make, job: Make, state: str) -> None:
    ran = command("jobs wait job_1", seen(job(state, "The se", error={"code": "worker_lost", "message": "Lost."})))

    assert (ran.code, ran.out) == (1, "The se\n")
    assert ran.err.endswith(f"error: job_1 {state}: worker_lost: Lost.\n")


def test_a_bad_end_in_json_has_the_job_and_the_error(command: Make, job: Make) -> None:
    ran = command("jobs wait job_1 --json", seen(job("failed")))

    assert (ran.code, ran.document["state"]) == (1, "failed")
    assert (ran.problem["exit_code"], ran.problem["job"]) == (1, "job_1")


def test_a_wait_that_takes_too_long_is_code_6(command: Make, job: Make) -> None:
    ran = command("jobs wait job_1 --timeout 0", seen(job()))

    assert ran.code == 6
    assert "quire jobs wait job_1" in ran.err


def test_ctrl_c_leaves_the_job_and_tells_the_way_back(command: Make, job: Make) -> None:
    def interrupted(_request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    ran = command("submit x --wait", accepted(job), interrupted)

    assert ran.code == 130
    assert ran.err.endswith("interrupted: job_1 goes on; come back with: quire jobs wait job_1\n")
    assert [request.method for request in ran.script.requests] == ["POST", "GET"]  # no cancel


def test_ctrl_c_is_json_too(command: Make, job: Make) -> None:
    def interrupted(_request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    ran = command("jobs wait job_1 --json", interrupted)

    assert (ran.problem["exit_code"], ran.problem["job"]) == (130, "job_1")


def test_pieces_are_read_one_after_the_other(job: Make) -> None:
    transcript = Transcript()

    grown = [
        transcript.grow(Job.parse(job("running", "One", "Two"))),
        transcript.grow(Job.parse(job("running", "One more", "Two more"))),
        transcript.grow(Job.parse(job("succeeded", "One more.", "Two more."))),
    ]

    assert grown == ["One", " more", ".\n\n* * *\n\nTwo more."]


def test_a_text_that_took_the_place_of_another_is_told_whole(job: Make) -> None:
    transcript = Transcript()
    transcript.grow(Job.parse(job("running", "A first draw")))

    assert transcript.grow(Job.parse(job("succeeded", "A better one"))) == "\n\n* * *\n\nA better one"


def test_a_terminal_shows_whole_lines_once_and_the_last_at_the_end(job: Make, terminal: Console) -> None:
    out = Output(as_json=False)
    out.stdout = terminal
    screen = Screen(out, terminal)

    screen.show(Job.parse(job("running", "The sea is grey and the harbour sleeps, and all the")))
    screen.show(
        Job.parse(job("succeeded", "The sea is grey and the harbour sleeps, and all the lamps are low;\nso"))
    )
    screen.finish()

    assert terminal.file.getvalue() == (  # type: ignore[attr-defined]
        "The sea is grey and the harbour sleeps, \nand all the lamps are low;\nso\n"
    )


def test_a_terminal_is_not_moved_by_what_a_model_writes(job: Make, terminal: Console) -> None:
    out = Output(as_json=False)
    out.stdout = terminal
    screen = Screen(out, terminal)

    screen.show(Job.parse(job("succeeded", "a\x1b[2Jb [red]c[/red]\x07\n")))

    assert terminal.file.getvalue() == "a[2Jb [red]c[/red]\n"  # type: ignore[attr-defined]


def test_a_file_gets_the_text_as_it_is_while_the_bar_is_on_stderr(
    job: Make, terminal: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(Output(as_json=False), terminal)

    with screen.live:
        screen.show(Job.parse(job("running", "The sea")))
        screen.show(Job.parse(job("succeeded", "The sea\nis grey")))
        screen.finish()

    assert capsys.readouterr().out == "The sea\nis grey\n"
    assert "succeeded" in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_a_job_without_text_prints_no_empty_line(job: Make, capsys: pytest.CaptureFixture[str]) -> None:
    Lines(Output(as_json=False)).show(Job.parse(job("cancelled")))

    assert capsys.readouterr().out == ""


def test_a_tune_is_asked_for_and_its_files_are_saved(command: Make, job: Make, tmp_path: Path) -> None:
    files = [
        {"name": "tune-0.abc", "size": 3},
        {"name": "tune-0.wav", "unavailable": "fluidsynth is not installed there"},
    ]
    listed = httpx.Response(200, json={"object": "list", "data": files})
    tag = {"ETag": f'"{sha256(b"X:1").hexdigest()}"'}
    line = ["submit", "--kind", "music", "--style", "jig", "--key", "G major", "--bars", "16", "--wait"]

    ran = command(
        [*line, "--save", str(tmp_path)],
        accepted(job),
        seen(job("succeeded", "GABc|]")),
        listed,
        httpx.Response(200, content=b"X:1", headers=tag),
        listed,
    )

    assert ran.code == 0, ran.err
    body = json.loads(ran.script.requests[0].content)
    assert body == {"kind": "music", "style": "jig", "key": "G major", "bars": 16}
    assert (tmp_path / "tune-0.abc").read_bytes() == b"X:1"
    assert f"saved {tmp_path / 'tune-0.abc'}" in ran.err
    assert "no tune-0.wav: fluidsynth is not installed there" in ran.err


def test_saving_needs_waiting(command: Make) -> None:
    ran = command("submit --kind music --style jig --save tunes")

    assert ran.code == 2
    assert "--save goes with --wait" in ran.err
