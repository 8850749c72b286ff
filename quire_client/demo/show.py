"""The demo as a person sees it: progress while it runs, then the pieces. Plain lines without a terminal."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from quire_client.cli.text import printable, standing, summary
from quire_client.job import Job

WIDTH = 80


def say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style), soft_wrap=True)


class Board:
    """One line for each job; those that have ended are printed above."""

    def __init__(self, console: Console, headings: Mapping[str, str]) -> None:
        self._console = console
        self._headings = headings  # by job id
        self._standings: dict[str, str] = {}
        self._bars = Progress(
            SpinnerColumn(), TextColumn("{task.description:<20}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("tokens  {task.fields[standing]}"), console=console, transient=True,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def update(self, job: Job) -> None:
        """Show a job as the list has it."""
        if not self._console.is_terminal:
            if self._standings.get(job.id) != job.state:
                self._standings[job.id] = job.state
                say(self._console, f"{self._headings[job.id]}: {standing(job)}")
            return
        if job.id not in self._tasks:
            self._tasks[job.id] = self._bars.add_task(self._headings[job.id], standing="", total=None)
        self._bars.update(
            self._tasks[job.id],
            completed=job.progress.tokens,
            total=job.progress.max_tokens or None,
            standing=standing(job),
        )

    def finished(self, job: Job) -> None:
        """Print what a job made."""
        if job.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.id))
        show_job(self._console, self._headings[job.id], job)


def show_job(console: Console, heading: str, job: Job) -> None:
    """Print the pieces of a job that has ended, and why it failed if it did."""
    if job.state != "succeeded":
        reason = f": {job.error.code}, {job.error.message}" if job.error else ""
        say(console, f"{heading}: {job.state}{reason}", style="bold red")
    for piece in job.pieces:
        title = heading if len(job.pieces) == 1 else f"{heading} ({piece.index + 1} of {len(job.pieces)})"
        last = piece is job.pieces[-1]  # the job's time and rate are of all its pieces together
        facts = summary(job) if last else f"{piece.tokens} tokens"
        body = _body(job, piece.text)
        if console.is_terminal:
            frame = Panel(
                body,
                title=Text(title, style="bold"),
                subtitle=Text(facts, style="dim"),
                padding=(1, 3),
                width=min(WIDTH, console.width),
                border_style="cyan",
            )
            console.print(frame)
        else:
            say(console, f"\n--- {title} ---\n\n{body.plain}\n\n[{facts}]\n")


def _body(job: Job, text: str) -> Text:
    """Return a piece after its prompt, where the prompt is a beginning and not a template."""
    free = job.input is not None and job.input.form is None
    beginning = job.input.prompt if job.input and free else ""
    if job.input and job.input.music:
        beginning = job.input.music.opening or ""
    words = text if free else text.strip("\n")
    return Text.assemble((printable(beginning), "dim"), printable(words.rstrip()))


def total(jobs: list[Job]) -> str:
    """Say how much was written, and how fast over all jobs together."""
    tokens = sum(job.usage.completion_tokens for job in jobs)
    pieces = sum(len(job.pieces) for job in jobs)
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.finished_at for job in jobs if job.finished_at]
    said = f"{len(jobs)} jobs, {pieces} pieces, {tokens} tokens"
    seconds = (max(ends) - min(starts)).total_seconds() if starts and ends else 0
    return said + (f" in {seconds:.1f} s: {tokens / seconds:.0f} tokens/s" if seconds > 0 else "")
