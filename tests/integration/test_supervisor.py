"""Real processes: what is promised here is promised by the kernel."""

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quire.supervisor import Child, ChildFailed, StopRequested, Supervisor
from quire.supervisor import child as child_module

FOREVER = "import time; time.sleep(600)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "logs") as supervisor:
        yield supervisor


def python(name: str, code: str, **options: object) -> Child:
    return Child(name, [sys.executable, "-c", code], **options)


def wait_until(
    condition: Callable[[], object], seconds: float = 10.0, pause: Callable[[float], None] = time.sleep
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause(0.01)


def alive(pid: int) -> bool:
    """A zombie is not: who reaps orphans is the system's affair."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def pids(path: Path, count: int) -> list[int]:
    wait_until(lambda: path.exists() and len(path.read_text().split()) == count)
    return [int(word) for word in path.read_text().split()]


def test_a_crashed_child_is_started_again_and_its_exit_is_told_first(supervisor: Supervisor) -> None:
    told: list[tuple[str, int]] = []
    supervisor.on_exit = lambda name, pid: told.append((name, pid))
    first = supervisor.start(python("child", FOREVER)).pid

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("child") not in {None, first}, pause=supervisor.pause)

    assert told == [("child", first)]


def test_a_child_that_keeps_failing_is_started_ever_more_slowly(supervisor: Supervisor) -> None:
    supervisor.start(python("child", "import time; print(time.monotonic()); raise SystemExit(1)"))

    wait_until(lambda: len(supervisor.tail("child").splitlines()) >= 4, pause=supervisor.pause)

    starts = [float(line) for line in supervisor.tail("child").splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4


def test_a_child_that_was_healthy_in_between_does_not_count_as_failing(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "HEALTHY_SECONDS", 0.0)
    supervisor.start(python("child", "print('up')"))

    wait_until(lambda: len(supervisor.tail("child").splitlines()) >= 5, pause=supervisor.pause)

    assert not supervisor.fails("child")


def test_a_child_that_exits_at_once_again_and_again_counts_as_failing(supervisor: Supervisor) -> None:
    supervisor.start(python("child", "raise SystemExit(1)"))

    wait_until(lambda: supervisor.fails("child"), pause=supervisor.pause)


def test_a_child_that_refuses_its_configuration_is_not_started_again(supervisor: Supervisor) -> None:
    supervisor.start(python("child", "import os; print('no such model'); raise SystemExit(os.EX_CONFIG)"))

    wait_until(lambda: supervisor.fails("child"), pause=supervisor.pause)
    supervisor.pause(0.5)  # several times the first delay

    assert supervisor.tail("child") == "no such model"


def test_a_failing_exit_hook_does_not_keep_a_child_down(supervisor: Supervisor) -> None:
    def hook(_name: str, _pid: int) -> None:
        raise RuntimeError("no database")

    supervisor.on_exit = hook
    first = supervisor.start(python("child", FOREVER)).pid

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: supervisor.pid("child") not in {None, first}, pause=supervisor.pause)


def test_what_a_crashed_child_started_is_gone_before_it_starts_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    first = supervisor.start(python("child", parent_code(note))).pid
    _, grandchild = pids(note, 2)

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("child") not in {None, first}, pause=supervisor.pause)

    wait_until(lambda: not alive(grandchild))


def test_stop_ends_higher_stages_first_and_everybody(tmp_path: Path) -> None:
    ended: list[str] = []
    with Supervisor(tmp_path) as supervisor:
        supervisor.on_exit = lambda name, _pid: ended.append(name)
        processes = [supervisor.start(python(f"stage-{stage}", FOREVER, stage=stage)) for stage in (0, 2, 1)]

    assert ended == ["stage-2", "stage-1", "stage-0"]
    assert not any(alive(process.pid) for process in processes)


def test_a_child_that_ignores_the_stop_signal_is_killed_after_its_grace(supervisor: Supervisor) -> None:
    process = supervisor.start(python("deaf", DEAF, grace=0.2))
    wait_until(lambda: "up" in supervisor.tail("deaf"))

    supervisor.stop("deaf")

    assert process.returncode == -signal.SIGKILL


def test_a_one_time_child_that_fails_is_reported_with_the_end_of_its_log(supervisor: Supervisor) -> None:
    with pytest.raises(ChildFailed, match=r"(?s)migrate exited with 1.*no such table"):
        supervisor.run(python("migrate", "raise SystemExit('no such table')"), seconds=10)


def test_output_goes_to_a_private_log_and_to_the_terminal_behind_its_name(tmp_path: Path) -> None:
    terminal = io.StringIO()
    with Supervisor(tmp_path, terminal=terminal) as supervisor:
        supervisor.run(python("api", "print('hello')", echo=True), seconds=10)

    assert (tmp_path / "api.log").read_text() == "hello\n"
    assert (tmp_path / "api.log").stat().st_mode & 0o777 == 0o600
    assert terminal.getvalue().split() == ["api", "|", "hello"]


def test_a_full_log_starts_again_and_the_old_one_is_kept(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_BYTES", 10)
    supervisor.start(python("child", f"print('a long line', flush=True); {FOREVER}"))

    wait_until((tmp_path / "logs/child.log.1").exists, pause=supervisor.pause)

    assert (tmp_path / "logs/child.log.1").read_text() == "a long line\n"
    assert (tmp_path / "logs/child.log").read_text() == ""


def test_a_signal_ends_the_next_pause_instead_of_interrupting(supervisor: Supervisor) -> None:
    with supervisor.listening():
        os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(StopRequested):
            supervisor.pause(10)


def parent_code(note: Path) -> str:
    """A process with a child in its own group; both write down their ids."""
    return textwrap.dedent(f"""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open({str(note)!r}, "a") as note:
            note.write(f"{{os.getpid()}} {{child.pid}} ")
        time.sleep(600)
    """)


@contextlib.contextmanager
def supervised(tmp_path: Path, code: str, first: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor in a process of its own, with one child that runs the code."""
    main = textwrap.dedent(f"""
        import contextlib, sys, pathlib
        from quire.supervisor import Child, StopRequested, Supervisor, guard
        {first}
        supervisor = Supervisor(pathlib.Path({str(tmp_path / "logs")!r}))
        with supervisor.listening(), supervisor, contextlib.suppress(StopRequested):
            supervisor.start(Child("child", [sys.executable, "-c", {code!r}]))
            supervisor.pause(600)
    """)
    process = subprocess.Popen([sys.executable, "-c", main], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("first", ["", "guard._prctl = None"], ids=["with the kernel's help", "without it"])
def test_a_killed_supervisor_leaves_no_grandchildren(tmp_path: Path, first: str) -> None:
    note = tmp_path / "pids"
    with supervised(tmp_path, parent_code(note), first) as supervisor:
        family = pids(note, 2)

        supervisor.kill()

        wait_until(lambda: not any(alive(pid) for pid in family), seconds=5)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_once_or_twice_leaves_nobody(tmp_path: Path, times: int) -> None:
    note = tmp_path / "pids"
    with supervised(tmp_path, parent_code(note)) as supervisor:
        family = pids(note, 2)

        for _ in range(times):
            os.killpg(supervisor.pid, signal.SIGINT)  # as a terminal does: to the foreground group
        code = supervisor.wait(timeout=10)

        assert code == 0
        wait_until(lambda: not any(alive(pid) for pid in family))


def test_ctrl_c_while_starting_leaves_nobody(tmp_path: Path) -> None:
    """The signal may come before the first child, between two, or after the last."""
    for delay in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35):
        note = tmp_path / f"pids-{delay}"
        with supervised(tmp_path, parent_code(note)) as supervisor:
            with contextlib.suppress(subprocess.TimeoutExpired):
                supervisor.wait(timeout=delay)
            os.killpg(supervisor.pid, signal.SIGINT)
            supervisor.wait(timeout=10)

        family = [int(word) for word in note.read_text().split()] if note.exists() else []
        wait_until(lambda family=family: not any(alive(pid) for pid in family))
