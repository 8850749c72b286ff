"""`quire` as scripts use it: what is on stdout, what on stderr, and the exit code."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire_client import __version__
from quire_client.cli import local
from quire_client.cli.exits import MEANINGS
from quire_client.cli.main import Outside, main

Make = Callable[..., Any]

STAYS = {"x-should-retry": "false", "x-request-id": "req_9"}
TENANT = {"id": "ten_1", "name": "reader", "weight": 1.0}
KEY = {"id": "key_1", "tenant_id": "ten_1", "prefix": "qk_abc", "scopes": ["jobs:read", "jobs:write"]}
USAGE = {
    "object": "usage",
    "data": [{
        "day": "2026-11-23", "model": "quire-verse", "jobs": 2,
        "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, "reserved_tokens": 5,
    }],
    "today": {"day": "2026-11-23", "used_tokens": 30, "max_tokens_per_day": 100, "remaining_tokens": 70},
}  # fmt: skip


def page(*items: object, cursor: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"data": items, "has_more": cursor is not None, "next_cursor": cursor})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(400, headers=STAYS), 2),
        (httpx.Response(401, headers=STAYS), 3),
        (httpx.Response(403, headers=STAYS), 3),
        (httpx.Response(404, headers=STAYS), 4),
        (httpx.Response(409, headers=STAYS), 2),
        (httpx.Response(410, headers=STAYS), 4),
        (httpx.Response(429, headers=STAYS), 5),
        (httpx.Response(500, headers=STAYS), 5),
        (httpx.Response(503, headers=STAYS), 5),
        (httpx.Response(200, text="<html>"), 5),
        (httpx.UnsupportedProtocol("no"), 5),
    ],
)
def test_each_kind_of_error_has_its_exit_code(command: Make, answer: Any, code: int) -> None:
    ran = command("jobs show job_1", answer)

    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")


def test_the_help_lists_all_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert all(f"{code:<4} {meaning}" in shown for code, meaning in MEANINGS.items())


@pytest.mark.parametrize(
    "line", ["submit", "jobs", "jobs list", "models list", "tenant create", "key revoke", "admin stuck"]
)
def test_every_command_has_a_help(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with pytest.raises(SystemExit) as left:
        main([*line.split(), "-h"])
    assert left.value.code == 0
    assert f"usage: quire {line}" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"quire {__version__}\n"


@pytest.mark.parametrize(
    "line",
    ["", "frobnicate", "jobs", "submit", "submit x --temperature nan", "submit x --deadline tomorrow",
     "submit x --meta sea", "submit x --logit-bias a=1", "submit x --timeout 5", "jobs list --limit 3 --all",
     "--url ftp://x jobs list", "jobs wait job_1 --timeout -1", "submit x --no-such-field 1"],
)  # fmt: skip
def test_a_wrong_command_line_is_code_2_and_sends_nothing(command: Make, line: str) -> None:
    ran = command(line)

    assert (ran.code, ran.out, ran.script.requests) == (2, "", [])


def test_a_missing_key_is_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list"]) == 3
    assert "QUIRE_API_KEY" in capsys.readouterr().err


def test_an_error_shows_its_fields_and_the_request(command: Make) -> None:
    problem = {"detail": "Two fields are wrong", "fields": [{"field": "top_k", "message": "too large"}]}

    ran = command("submit x", httpx.Response(400, json=problem, headers=STAYS))

    assert ran.err == "error: Two fields are wrong\n  top_k: too large\n  request req_9\n"


@pytest.mark.parametrize("line", ["--json jobs show job_1", "jobs --json show job_1", "jobs show job_1 --json"])
def test_errors_are_json_on_stderr_when_asked(command: Make, line: str) -> None:
    ran = command(line, httpx.Response(404, json={"detail": "No such job", "code": "not_found"}, headers=STAYS))

    assert ran.out == ""
    assert ran.problem == {
        "kind": "NotFoundError",
        "message": "No such job",
        "status": 404,
        "code": "not_found",
        "fields": [],
        "request_id": "req_9",
        "retry_after": None,
        "exit_code": 4,
    }


def test_wrong_usage_is_json_too(command: Make) -> None:
    assert command("--json frobnicate").problem["exit_code"] == 2


def test_a_list_is_json_lines(command: Make, job: Make) -> None:
    ran = command("jobs list --json", page(job(id="job_2"), job(id="job_1")))

    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["job_2", "job_1"]


def test_a_list_off_a_terminal_is_lines_with_tabs(command: Make, job: Make) -> None:
    ran = command("jobs list", page(job("queued", queue={"position": 3}, created_at=None)))

    assert ran.out == "job_1\tqueued, place 3\tquire-verse\t57/128\t-\n"


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"queue": {"position": 1000, "more": True}}, "queued, place 1000+"),
        ({"queue": {"position": 7, "more": False}, "blocked_by": "busy"}, "queued, place 7"),
        ({"queue": {"position": None}, "blocked_by": "not_before"}, "queued, held: not_before"),
        ({"queue": {"position": None}}, "queued"),
    ],
)
def test_a_queued_job_is_shown_with_its_place(command: Make, job: Make, changes: Any, standing: str) -> None:
    ran = command("jobs list", page(job("queued", **changes)))

    assert ran.out.split("\t")[1] == standing


def test_show_says_why_a_job_waits_and_when_it_will_start(command: Make, job: Make) -> None:
    eta = {"p50": "2026-11-23T20:15:04.000000Z", "p90": "2026-11-23T20:17:04.000000Z"}
    data = job("queued", queue={"position": 7, "more": False, "eta": eta}, blocked_by="fairness")

    out = command("jobs show job_1", httpx.Response(200, json=data)).out

    assert re.search(r"^waits because +it is the turn of others$", out, re.MULTILINE)
    assert re.search(r"^will start +about [0-9: -]+04; nine times in ten by [0-9: -]+04$", out, re.MULTILINE)


def test_a_reason_of_a_newer_server_is_shown_as_it_is(command: Make, job: Make) -> None:
    data = job("queued", blocked_by="full_moon")

    assert "full_moon" in command("jobs show job_1", httpx.Response(200, json=data)).out


def test_a_list_ends_at_its_limit_though_there_are_more(command: Make, job: Make) -> None:
    ran = command("jobs list --limit 1", page(job(), cursor="c1"))

    assert len(ran.out.splitlines()) == 1
    assert ran.script.requests[0].url.params["limit"] == "1"


def test_all_of_a_list_is_every_page(command: Make, job: Make) -> None:
    ran = command("jobs list --all --state failed --state expired", page(job(), cursor="c1"), page(job()))

    assert len(ran.out.splitlines()) == 2
    assert ran.script.requests[0].url.params.get_list("state") == ["failed", "expired"]


def test_show_prints_the_job_as_json_as_it_came(command: Make, job: Make) -> None:
    data = job("succeeded", "The sea", colour="blue")

    assert command("jobs show job_1 --json", httpx.Response(200, json=data)).document == data


def test_show_prints_what_is_known_and_the_text(command: Make, job: Make) -> None:
    out = command("jobs show job_1", httpx.Response(200, json=job("succeeded", "The sea"))).out

    assert "title     The Harbour" in out
    assert "changes   line_endings (2)" in out
    assert "deadline" not in out
    assert out.endswith("\n\nThe sea\n")


def test_show_prints_the_beginning_of_a_prompt_and_every_piece(command: Make, job: Make) -> None:
    asked = {"form": None, "prompt": "Once\nupon " + 20 * "a time "}

    out = command("jobs show job_1", httpx.Response(200, json=job("succeeded", "One", "Two", input=asked))).out

    assert "prompt    Once upon a time a time a time a time a time a time a time …\n" in out
    assert out.endswith("\n\nOne\n\n* * *\n\nTwo\n")


def test_output_is_the_text_and_nothing_else(command: Make) -> None:
    ran = command("jobs output job_1 --piece 1", httpx.Response(200, text="The \x1b[31msea"))

    assert (ran.code, ran.out, ran.err) == (0, "The \x1b[31msea\n", "")
    assert ran.script.requests[0].url.query == b"piece=1"


def test_a_finished_book_is_continued_by_a_job_whose_id_is_printed(command: Make, job: Make) -> None:
    ran = command("jobs continue job_9 --parts 2 --words 300", httpx.Response(202, json=job("queued")))

    assert ran.out == "job_1\n"
    (request,) = ran.script.requests
    assert request.url.path == "/v1/jobs/job_9/continue"
    assert ran.script.bodies == [{"parts": 2, "words": 300}]
    assert command("jobs continue job_9 --parts 2 --words 3 --tokens 3").code == 2


def test_cancel_and_delete_say_what_happened(command: Make, job: Make) -> None:
    assert command("jobs cancel job_1", httpx.Response(200, json=job("cancelled"))).out == "cancelled\n"
    assert command("jobs delete job_1", httpx.Response(204)).out == "deleted\n"
    assert command("jobs delete job_1 --json", httpx.Response(204)).document == {"id": "job_1", "deleted": True}


def test_a_new_tenants_id_stands_alone_on_stdout(command: Make) -> None:
    ran = command("tenant create reader --max-queued 5", httpx.Response(201, json=TENANT))

    assert ran.out == "ten_1\n"
    assert ran.err == "give it a key with: quire key create ten_1\n"
    assert ran.script.bodies == [{"name": "reader", "max_queued": 5}]


def test_a_tenant_is_changed_by_what_is_named(command: Make) -> None:
    ran = command("tenant set ten_1 --max-running none --max-queued 7 --pause", httpx.Response(200, json=TENANT))

    assert ran.script.bodies == [{"max_running": None, "max_queued": 7, "paused": True}]
    assert "state              active" in ran.out


def test_a_change_of_nothing_is_refused_before_it_is_sent(command: Make) -> None:
    assert command("tenant set ten_1").code == 2


def test_usage_is_a_line_for_each_day_and_model(command: Make) -> None:
    ran = command("usage --first-day 2026-11-01", httpx.Response(200, json=USAGE))

    assert ran.out == "2026-11-23\tquire-verse\t2\t10\t20\t5\n"
    assert ran.err == "70 of 100 tokens are left today\n"
    assert command("usage --json --tenant ten_1", httpx.Response(200, json=USAGE)).document == USAGE


def test_a_new_keys_secret_stands_alone_on_stdout(command: Make) -> None:
    ran = command("key create ten_1 --scope jobs:read", httpx.Response(201, json=KEY | {"secret": "qk_abc_def"}))

    assert ran.out == "qk_abc_def\n"
    assert "key_1" in ran.err
    assert ran.script.bodies == [{"scopes": ["jobs:read"]}]


def test_operators_lists_and_views(command: Make) -> None:
    assert command("tenants list", page(TENANT)).out == "ten_1\treader\t1\t-\t-\tactive\t-\n"
    assert command("key list ten_1", page(KEY)).out == "key_1\t-\tqk_abc\tjobs:read jobs:write\t-\t-\n"
    assert command("tenant show ten_1 --json", httpx.Response(200, json=TENANT)).document == TENANT
    assert command("key revoke ten_1 key_1", httpx.Response(204)).out == "revoked\n"


def test_workers_are_listed_with_what_is_left_of_their_leases(command: Make) -> None:
    worker = {
        "id": "wrk_1", "model": "quire-verse", "host": "attic", "pid": 7, "slots": 32, "running": 3, "live": True,
        "draining": True, "lease_seconds": 9.4, "numerics": None, "started_at": None,
    }  # fmt: skip
    lapsed = worker | {"live": False, "lease_seconds": -61.2}

    ran = command("admin workers", page(worker, cursor="c1"), page(lapsed))

    first, second = ran.out.splitlines()
    assert first == "wrk_1\tquire-verse\tattic\t7\t3/32\t9 s, draining\t-\t-"
    assert "\tlapsed 61 s ago\t" in second
    assert ran.script.requests[1].url.params["after"] == "c1"
    assert ran.script.requests[0].headers["Authorization"] == "Bearer operator"


def test_stuck_jobs_are_listed_with_why(command: Make) -> None:
    stuck = {
        "id": "job_1", "tenant_id": "ten_1", "model": "quire-verse", "state": "running",
        "why": ["orphaned", "crashed"], "since": None, "attempts": 2, "worker_id": "wrk_1",
    }  # fmt: skip

    ran = command("admin stuck --seconds 30", page(stuck))

    assert ran.out == "job_1\tten_1\tquire-verse\trunning\torphaned crashed\t-\t2\twrk_1\n"
    assert ran.script.requests[0].url.params["seconds"] == "30"
    assert command("admin stuck --json", page(stuck)).document == stuck


def test_models_are_listed(command: Make) -> None:
    model = {"id": "quire-verse", "default": True, "workers": 1, "context_length": 512, "vocab_size": 4096}

    assert command("models list", page(model)).out == "quire-verse\tdefault\t1\t512\t4096\t-\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("up --data here --port 0", ["quire.local", "--data", "here", "--port", "0"]),
        ("up -h", ["quire.local", "-h"]),
        ("doctor --workers 4 --json", ["quire.doctor", "--workers", "4", "--json"]),
        ("audit --ready-file here", ["quire.audit", "--ready-file", "here"]),
        ("models pull gpt2 --json", ["worker.models", "pull", "gpt2", "--json"]),
        ("model check ./folder", ["worker.models", "check", "./folder"]),
    ],
)
def test_local_commands_hand_everything_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, words: list[str]
) -> None:
    monkeypatch.setattr(local, "checkout", lambda *_: tmp_path)
    monkeypatch.setenv("PYTHONPATH", "before")
    called = []

    def execute(argv: Any, environment: Any) -> int:
        called.append((argv, environment["PYTHONPATH"]))
        return 7

    assert main(line.split(), Outside(execute=execute)) == 7
    assert called == [([sys.executable, "-P", "-m", *words], f"{tmp_path}:before")]


def test_without_a_checkout_a_local_command_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "__file__", str(tmp_path / "a" / "b" / "local.py"))
    monkeypatch.chdir(tmp_path)

    assert main(["up"]) == 2
    assert "runs out of a checkout" in capsys.readouterr().err


def test_a_checkout_is_found_by_the_module_it_has(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "models.py").touch()

    assert local.checkout("worker.models", [tmp_path / "elsewhere", tmp_path]) == tmp_path


def test_ctrl_c_is_code_130_without_a_traceback(command: Make) -> None:
    def interrupted(_request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    ran = command("jobs list", interrupted)

    assert (ran.code, ran.out, ran.err) == (130, "", "interrupted: by the keyboard\n")
