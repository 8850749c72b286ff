"""What the operator looks at: workers, and jobs that are stuck."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from quire_client.connection import Connection, read
from quire_client.shape import Json
from quire_client.values import Page, StuckJob, Worker

Value = TypeVar("Value")


class Admin:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def workers(self) -> Iterator[Worker]:
        """Yield every worker, those with a lapsed lease too."""
        return self._pages("workers", Worker.parse)

    def stuck(self, *, seconds: int | None = None) -> Iterator[StuckJob]:
        """Yield every job that is stuck, the oldest first; `seconds` is what counts as long."""
        return self._pages("stuck", StuckJob.parse, seconds=seconds)

    def _pages(self, what: str, parse: Callable[[Json], Value], **params: int | None) -> Iterator[Value]:
        cursor = None
        while True:
            response = self._connection.send(
                "GET", "admin", what, operator=True, params={"limit": 100, "after": cursor, **params}
            )
            page = read(response, lambda data: Page.parse(data, parse))
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return
