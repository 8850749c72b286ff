"""One worker process of the contention part: a lease, a claimer and a writer, and jobs that take no time.

It says "ready", waits for a line, works until there is nothing to claim, and tells what it saw as one JSON object.
"""

import json
import queue
import sys
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from quire import jobs
from quire.database import Database
from quire.jobs import Claimed, Outcome, Report
from quire.store import worker as workers
from quire.store.job import State

LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 1.0
LOOK_SECONDS = 0.02
DONE_LOOKS = 10  # empty claims in a row, with nothing running, after which there is no more
DONE = 0.7  # of its estimate is what a job turns out to need


class Contender:
    def __init__(self, url: str, worker: UUID, model: str, *, slots: int, estimate: int) -> None:
        self._worker = worker
        self._model = model
        self._slots = slots
        self._work = int(estimate * DONE)
        self._databases = {
            name: Database(url, name=f"bench-{name}", pool_size=1) for name in ("lease", "claim", "write")
        }
        self._claimed: queue.Queue[list[Claimed] | None] = queue.Queue()
        self._free = slots
        self._freed = threading.Condition()
        self._stop = threading.Event()
        self.claims: list[list[str]] = []  # ids in the order in which they were claimed
        self.claim_seconds: list[float] = []
        self.commit_seconds: list[float] = []
        self.heartbeat_seconds: list[float] = []

    def run(self) -> None:
        threads = [threading.Thread(target=role) for role in (self._beat, self._write)]
        for thread in threads:
            thread.start()
        self._claim()
        self._claimed.put(None)
        threads[1].join()
        self._stop.set()
        threads[0].join()

    def _claim(self) -> None:
        empty = 0
        while empty < DONE_LOOKS:
            with self._freed:
                self._freed.wait_for(lambda: self._free)
                k = self._free
            begun = time.perf_counter()
            with self._databases["claim"].service() as session:
                found = jobs.claim(session, model=self._model, worker_id=self._worker, numerics="fake", k=k)
            if not found:
                empty += 1
                time.sleep(LOOK_SECONDS)
                continue
            empty = 0
            self.claim_seconds.append(time.perf_counter() - begun)
            self.claims.append([job.id.hex for job in found])
            with self._freed:
                self._free -= len(found)
            self._claimed.put(found)

    def _write(self) -> None:
        while (batch := self._claimed.get()) is not None:
            reports = [self._report(job) for job in batch]
            begun = time.perf_counter()
            with self._databases["write"].service() as session:
                lost = jobs.commit(session, reports)
            self.commit_seconds.append(time.perf_counter() - begun)
            if lost:
                raise RuntimeError(f"{len(lost)} jobs were lost")
            with self._freed:
                self._free += len(batch)
                self._freed.notify()

    def _report(self, job: Claimed) -> Report:
        return Report(job.id, job.fence, (), Outcome(State.SUCCEEDED, self._work, self._work - job.prompt_tokens))

    def _beat(self) -> None:
        row = {"id": self._worker, "lease": LEASE_SECONDS, "draining": False}
        while not self._stop.wait(HEARTBEAT_SECONDS):
            begun = time.perf_counter()
            with self._databases["lease"].service() as session:
                session.execute(workers.RENEW, row)
            self.heartbeat_seconds.append(time.perf_counter() - begun)


def main(arguments: Sequence[str]) -> None:
    url, worker, model, slots, estimate = arguments
    contender = Contender(url, UUID(worker), model, slots=int(slots), estimate=int(estimate))
    print("ready", flush=True)
    sys.stdin.readline()
    contender.run()
    seen = ("claims", "claim_seconds", "commit_seconds", "heartbeat_seconds")
    print(json.dumps({name: getattr(contender, name) for name in seen}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
