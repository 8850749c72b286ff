"""Books on real processes: what is killed under them, and under their readers, changes nothing that is read."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.clients import Account
from chaos.oracle import make_checkpoint
from chaos.readers import Audience
from chaos.system import WORKERS, Choices, System, running
from chaos.works import BOOK
from quire_client import Quire

pytestmark = pytest.mark.acceptance

SECONDS = 200.0
READERS = 200
WINDOW = 32
PART = 5 * WINDOW  # tokens
BODY: dict[str, Any] = {
    "kind": "longform",
    "temperature": 0.8,
    "longform": {
        "title": BOOK, "premise": "A voyage to the north.", "parts": 2, "tokens": PART, "window": WINDOW,
    },
}  # fmt: skip
CLAIMS = """
SELECT count(*) FROM chaos.steps WHERE job_id = %s::uuid AND new_state = 'running' AND old_state = 'queued'
"""
LOGGED = "SELECT coalesce(sum(tokens), 0) FROM chunks WHERE job_id = %s::uuid"
ENDS = "SELECT state, attempts, numerics_changed, error FROM jobs WHERE id = %s::uuid"


@dataclass(frozen=True)
class Shelf:
    """A system, a tenant of it, and the books that are written there."""

    system: System
    account: Account

    def _ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.account.api_key}"}
        answer = httpx.request(
            method, f"{self.system.url}/v1/jobs{path}", headers=headers, timeout=SECONDS, **body
        )
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def begin(self, seed: int) -> str:
        return str(self._ask("POST", "", json=BODY | {"seed": seed})["id"])

    def number(self, statement: str, book: str) -> int:
        rows = self.system.ask(statement, book.removeprefix("job_"))
        return int(str(rows[0][0])) if rows else -1

    def written(self, book: str) -> int:
        return self.number(LOGGED, book)

    def await_text(self, book: str, tokens: int) -> None:
        self.system.until(lambda: self.written(book) >= tokens, SECONDS, f"{tokens} tokens of the book")

    def worker_of(self, book: str) -> str | None:
        return next((worker for worker in WORKERS if book in self.system.running_on(worker)), None)

    def end(self, book: str) -> tuple[object, ...]:
        """Wait for its end; returns state, attempts, whether its numerics changed, and its error."""
        self.system.until(lambda: self.system.has_ended(book), SECONDS, "the book to end")
        return self.system.ask(ENDS, book.removeprefix("job_"))[0]

    def look(self, book: str) -> dict[str, Any]:
        return self._ask("GET", f"/{book}")

    def texts(self, book: str) -> list[str]:
        return [str(piece["text"]) for piece in self.look(book)["output"]["pieces"]]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder: Path = tmp_path_factory.mktemp("books")
    make_checkpoint(folder / "model")
    choices = Choices(str(folder / "model"), lease=2.0, heartbeat=0.4)
    with running(folder / "system", choices) as system:
        yield Shelf(system, system.add_tenant("reader"))


def test_a_book_whose_worker_is_killed_three_times_and_drained_once_is_the_undisturbed_one(shelf: Shelf) -> None:
    chance = random.Random(5)
    left_alone = shelf.begin(seed=7)
    assert shelf.end(left_alone)[0] == "succeeded"
    book, written = shelf.begin(seed=7), 0
    faults = ["kill", "kill", "kill", "drain"]
    chance.shuffle(faults)

    for fault in faults:
        shelf.await_text(book, written + 1)
        shelf.system.processes.pause(chance.uniform(0.0, 1.0))
        victim = shelf.worker_of(book)
        assert victim is not None
        if fault == "kill":
            shelf.system.processes.strike(victim)
        else:
            shelf.system.drain(victim)
            shelf.system.processes.bring_up(victim)
        written = shelf.written(book)

    assert shelf.end(book) == ("succeeded", 0, False, None)
    assert shelf.number(CLAIMS, book) == 1 + len(faults)
    assert shelf.written(book) >= 8 * WINDOW
    assert shelf.texts(book) == shelf.texts(left_alone)


def test_every_reader_sees_every_event_once_through_the_deaths_of_worker_api_and_valkey(shelf: Shelf) -> None:
    shelf.system.restore()
    chance = random.Random(6)
    book = shelf.begin(seed=8)
    audience = Audience(
        shelf.system.port, book, shelf.account.api_key, [chance.uniform(0.0, 8.0) for _ in range(READERS)]
    )
    audience.start()
    faults = ["worker", "api-1", "valkey"]
    chance.shuffle(faults)

    written = 0
    for fault in faults:
        shelf.await_text(book, written + 1)
        shelf.system.processes.pause(chance.uniform(0.0, 1.0))
        victim = shelf.worker_of(book) if fault == "worker" else fault
        assert victim is not None
        shelf.system.processes.strike(victim)
        written = shelf.written(book)

    assert shelf.end(book)[0] == "succeeded"
    shelf.system.until(audience.done, SECONDS, "the readers to see the end")
    (ids,) = {tuple(reader.ids) for reader in audience.readers}
    assert len(set(ids)) == len(ids) > len(faults)
    stored = dict(enumerate(shelf.texts(book)))
    assert all(reader.pieces == stored for reader in audience.readers)
    assert sum(reader.truncated for reader in audience.readers) == 0
    assert sum(reader.connections for reader in audience.readers) > READERS


def test_a_book_that_uses_up_its_day_waits_and_goes_on_to_the_same_text_when_the_limit_is_raised(
    shelf: Shelf,
) -> None:
    shelf.system.restore()
    with Quire(shelf.system.url, admin_token=shelf.system.admin_token) as operator:
        tenant = operator.tenants.create("thrifty", max_tokens_per_day=5 * WINDOW).id
        thrifty = Shelf(shelf.system, Account("thrifty", operator.keys.create(tenant).secret or ""))
        book = thrifty.begin(seed=8)
        shelf.system.until(lambda: thrifty.look(book)["blocked_by"] == "quota", SECONDS, "the day to be used up")
        assert 0 < thrifty.written(book) < 2 * PART

        operator.tenants.change(tenant, max_tokens_per_day=None)

    assert thrifty.end(book)[:2] == ("succeeded", 0)
    unlimited = shelf.begin(seed=8)
    shelf.end(unlimited)
    assert thrifty.texts(book) == shelf.texts(unlimited)
