"""What a command prints: results on stdout, everything else on stderr, JSON when asked."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quire_client.cli.exits import Exit
from quire_client.cli.text import printable
from quire_client.errors import APIError

Item = TypeVar("Item")


class Output:
    """With `as_json`, stdout carries JSON and nothing else, and stderr only errors, as JSON too."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a text may hold what the encoding cannot say
                stream.reconfigure(errors="replace")
        self.stdout = Console(highlight=False)
        self.stderr = Console(stderr=True, highlight=False)

    def result(self, raw: object, human: str) -> None:
        """Print the one result of a command."""
        self.write(json.dumps(raw) if self.as_json else self._shown(human))

    def write(self, line: str, end: str = "\n") -> None:
        """Put text on stdout as it is."""
        sys.stdout.write(line + end)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell people something that is not the result."""
        if not self.as_json:
            self.stderr.print(Text(printable(text), style="dim"), soft_wrap=True)

    def facts(self, raw: object, rows: Mapping[str, object]) -> None:
        """Print one thing as name and value a line."""
        lines = [(name, "-" if value is None else str(value)) for name, value in rows.items()]
        width = max(len(name) for name, _ in lines)
        self.result(raw, "\n".join(f"{name:<{width}}  {value}" for name, value in lines))

    def rows(
        self,
        items: Iterable[Item],
        *,
        raw: Callable[[Item], object],
        columns: Sequence[str],
        cells: Callable[[Item], Sequence[object]],
    ) -> None:
        """Print a list: JSON lines, a table on a terminal, else lines with tabs and no head."""
        if self.as_json:
            for item in items:
                self.write(json.dumps(raw(item)))
        elif self.stdout.is_terminal:
            table = Table(*columns, box=None, header_style="bold", pad_edge=False)
            for item in items:
                table.add_row(*(Text(printable(_cell(value)), overflow="fold") for value in cells(item)))
            self.stdout.print(table)
        else:
            for item in items:
                self.write("\t".join(_cell(value) for value in cells(item)))

    def error(self, error: BaseException, code: Exit) -> None:
        if self.as_json:
            sys.stderr.write(json.dumps({"error": _described(error) | {"exit_code": int(code)}}) + "\n")
            return
        word = "interrupted: " if code == Exit.INTERRUPTED else "error: "
        self.stderr.print(Text.assemble((word, "bold red"), printable(str(error))), soft_wrap=True)
        if isinstance(error, APIError):
            for problem in error.fields:
                if problem.message not in error.detail:
                    line = "" if problem.line is None else f"line {problem.line}: "
                    self.note(f"  {line}{problem.field}: {problem.message}")
            if error.request_id:
                self.note(f"  request {error.request_id}")

    def _shown(self, text: str) -> str:
        return printable(text) if self.stdout.is_terminal else text


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _described(error: BaseException) -> dict[str, object]:
    described: dict[str, object] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, APIError):
        described |= {
            "status": error.status,
            "code": error.code,
            "fields": [asdict(each) for each in error.fields],
            "request_id": error.request_id,
            "retry_after": error.retry_after,
        }
    job_id = getattr(error, "job_id", None)
    return described | ({"job": job_id} if job_id else {})
