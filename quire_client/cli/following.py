"""Wait for a job in front of a person: a bar that moves, and the piece as it grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from quire_client.cli.output import Output
from quire_client.cli.text import printable, standing, summary
from quire_client.cli.transcript import Transcript
from quire_client.client import Quire
from quire_client.errors import WaitTimeoutError
from quire_client.job import Job


class Interrupted(KeyboardInterrupt):
    """The person stopped waiting; the job goes on."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(_come_back(job_id))


def _come_back(job_id: str) -> str:
    return f"{job_id} goes on; come back with: quire jobs wait {job_id}"


def wait(quire: Quire, out: Output, job_id: str, timeout: float | None) -> Job:
    """Follow a job to its end, print it, and return it if it succeeded.

    Raises:
        JobEndedError: it did not; what was written by then is printed.
        WaitTimeoutError: `timeout` seconds have passed.
        Interrupted: Ctrl-C.

    """
    try:
        job = quire.jobs.wait(job_id, timeout) if out.as_json else _follow(quire, out, job_id, timeout)
    except KeyboardInterrupt:
        raise Interrupted(job_id) from None
    except WaitTimeoutError:
        out.note(_come_back(job_id))
        raise
    if out.as_json:
        out.result(job.raw, "")
    elif job.started_at:
        out.note(summary(job))
    return job.raise_for_state()


def save(quire: Quire, out: Output, job_id: str, folder: Path) -> tuple[Path, ...]:
    """Write the files of a job into a folder, and say which; also which could not be made, and why."""
    saved = quire.jobs.save(job_id, folder)
    for path in saved:
        out.note(f"saved {path}")
    for artifact in quire.jobs.artifacts(job_id):
        if artifact.unavailable:
            out.note(f"no {artifact.name}: {artifact.unavailable}")
    return saved


def _follow(quire: Quire, out: Output, job_id: str, timeout: float | None) -> Job:
    with _view(out) as view:
        for job in quire.jobs.watch(job_id, timeout):
            view.show(job)
            last = job
    return last


@contextmanager
def _view(out: Output) -> Iterator["Lines | Screen"]:
    """Draw on stdout if a person sees it, else on stderr if they see that, else not at all."""
    console = next((each for each in (out.stdout, out.stderr) if each.is_terminal), None)
    if console is None:
        yield Lines(out)
        return
    screen = Screen(out, console)
    with screen.live:
        try:
            yield screen
        finally:
            screen.finish()


class Lines:
    """No terminal: the text on stdout as it grows, a line on stderr when the state changes."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._transcript = Transcript()
        self._standing = ""

    def show(self, job: Job) -> None:
        if standing(job) != self._standing:
            self._standing = standing(job)
            self._out.note(self._standing)
        self._out.write(self._transcript.grow(job), end="")
        if job.is_terminal and self._transcript.told:
            self._out.write("")


class Screen:
    """A terminal: whole lines scroll away above, the line being written and the bar stay below."""

    def __init__(self, out: Output, console: Console) -> None:
        self._out = out
        self._console = console
        self._apart = console is not out.stdout  # stdout is a file or a pipe: it gets the text as it is
        self._transcript = Transcript()
        self._line = ""
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("tokens"), TimeElapsedColumn(), console=console,
        )  # fmt: skip
        self._task = self._progress.add_task("queued", total=None)
        # Redirection would send stdout to the console that this draws on, even where stdout is a file.
        self.live = Live(
            self._progress, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def show(self, job: Job) -> None:
        self._progress.update(
            self._task,
            description=standing(job),
            completed=job.progress.tokens,
            total=job.progress.max_tokens or None,
        )
        self._write(self._transcript.grow(job))

    def finish(self) -> None:
        """Let the last line go too."""
        if self._apart and self._transcript.told:
            self._out.write("")
        elif self._line:
            self._console.print(Text(self._line))
        self._line = ""

    def _write(self, text: str) -> None:
        if self._apart:
            self._out.write(text, end="")
            return
        *whole, line = Text(self._line + printable(text)).wrap(self._console, self._console.width) or [Text()]
        for each in whole:
            self._console.print(each)
        self._line = line.plain
        self.live.update(Group(Text(self._line), self._progress))
