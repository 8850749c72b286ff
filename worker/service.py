"""One worker process, put together: engine, lease, claimer, writer and runner, with their connections."""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from os import EX_SOFTWARE
from types import MappingProxyType
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from quire import jobs, tenants
from quire.artifacts import Made, sealed
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.fairness import Waiting
from quire.jobs import Claimed, Report
from quire.messages import READ, Notices
from quire.settings import Settings
from quire.store import blame, turns
from quire.store import model as models
from quire.store.job import Kind, Run
from worker.claimer import Claimer
from worker.creative.constrained.making import Constraints, vocabulary_of
from worker.engine import Engine, ModelRefused
from worker.lease import Lease
from worker.novelist import Novelist
from worker.preemption import Preemption
from worker.rendering.tools import find_tools
from worker.runner import MakesMusic, Runner
from worker.writer import Writer

log = logging.getLogger(__name__)


class Service:
    """Built before Celery starts its pool, started with it, drained when it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        kind: Kind = Kind.TEXT,
        sampling: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._model, _ = settings.served_model
        self._kind = kind  # of the jobs that the model is for
        self._sampling = sampling  # where a request does not say
        self._tools = find_tools(settings.soundfont)
        self._settings = settings
        self._engine = engine
        # One connection for each of the three that talk to Postgres, so that none waits for another.
        self._databases = {
            name: Database(settings.sqlalchemy_url, name=f"quire-worker-{name}", pool_size=1)
            for name in ("lease", "claimer", "writer")
        }
        self._ring = KeyRing.parse(settings.master_keys.get_secret_value())
        self._unsure = False  # whether the last claim's answer was lost
        self._notices = Notices(settings.redis_url.get_secret_value())
        self._readers = Notices(settings.redis_url.get_secret_value(), READ)
        self._stopping = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="readers", daemon=True)
        self._lease = Lease(
            self._databases["lease"],
            model=self._model,
            slots=engine.slots,
            numerics=engine.numerics,
            seconds=settings.lease_seconds,
            heartbeat=settings.heartbeat_seconds,
        )
        self._claimer = Claimer(
            self._claim,
            slots=engine.slots,
            idle_look=settings.idle_look_seconds,
            start=self._serve,
        )
        self._writer = Writer(
            self._commit,
            flush_seconds=settings.flush_seconds,
            notify=self._notices.send,
            on_lost=self._lose,
        )
        self.runner = Runner(
            engine=engine,
            encode=engine.tokenizer.encode,
            constrain=Constraints(vocabulary_of(engine)).of,
            claimer=self._claimer,
            writer=self._writer,
            ring=self._ring,
            max_attempts=settings.max_attempts,
            mark_alone=self._mark_alone,
            on_dead=lambda: os._exit(EX_SOFTWARE),
            novelist=Novelist(engine.tokenizer, context=engine.context_length, vocabulary=engine.vocab_size),
            studio=self._studio() if self._kind is Kind.MUSIC else None,
        )
        self._preemption = Preemption(
            self.runner, look=self._waiting, full=lambda: self._claimer.full, seconds=settings.preempt_seconds
        )

    def start(self) -> None:
        """Make the model and this worker known, and begin to take jobs.

        Raises:
            UndecryptableError: the key ring does not open what the tenants have.

        """
        with self._databases["lease"].service() as session:
            tenants.check_ring(session, self._ring)
        self._register_model()
        self._engine.start()
        self._lease.start()
        self._writer.start()
        self._claimer.start()
        self._listener.start()
        log.info(
            "worker ready", extra={"action": "worker_ready", "model": self._model, "slots": self._engine.slots}
        )

    def drain(self) -> None:
        """Take no more jobs, and put the running ones back with what they have written. Returns at once."""
        threading.Thread(target=self._drain, name="drain").start()

    def stop(self) -> None:
        """Commit what is left, and end the lease."""
        self._drain()
        self._stopping.set()
        self._engine.stop()
        self._writer.close(timeout=self._settings.drain_seconds)
        self._lease.leave()
        self._notices.close()
        self._listener.join(timeout=2)
        self._readers.close()
        for database in self._databases.values():
            database.close()
        log.info("worker stopped", extra={"action": "worker_stopped"})

    def _drain(self) -> None:
        self._lease.drain()
        self._claimer.close()
        self.runner.drain()

    def _listen(self) -> None:
        self._readers.listen(self._writer.attend, self._stopping)

    def _register_model(self) -> None:
        tokenizer = self._engine.tokenizer.serialise()
        row = {
            "name": self._model,
            "context_length": self._engine.context_length,
            "vocab_size": self._engine.vocab_size,
            "numerics": self._engine.numerics,
            "tokenizer": tokenizer,
            "tokenizer_digest": hashlib.sha256(tokenizer.encode()).hexdigest(),
            "kind": self._kind.value,
            "renders": self._tools.renders if self._kind is Kind.MUSIC else [],
            "sampling": json.dumps(dict(self._sampling)),
        }
        with self._databases["lease"].service() as session:
            session.execute(models.REGISTER, row)

    def _studio(self) -> MakesMusic:
        """Build what does music jobs.

        Raises:
            ModelRefused: what it needs is not installed, or the model cannot write tunes.

        """
        try:
            # Only here: a worker that writes texts does without what is imported for music.
            from worker.creative.tunes import Vocabulary  # noqa: PLC0415
            from worker.studio import Studio  # noqa: PLC0415
        except ImportError as error:
            raise ModelRefused(f"{self._model} makes music, which needs the extra `music`: {error}") from error
        tokenizer = self._engine.tokenizer
        try:
            vocabulary = Vocabulary(tokenizer.texts, size=self._engine.vocab_size, end_ids=tokenizer.end_ids)
        except ValueError as error:
            raise ModelRefused(f"{self._model} cannot make music: {error}") from error
        return Studio(
            encode=tokenizer.encode,
            vocabulary=vocabulary,
            tools=self._tools,
            save=self._keep,
            retries=self._settings.tune_retries,
            places=os.cpu_count() or 1,
        )

    def _keep(self, job: Claimed, key: DataKey, made: Sequence[Made]) -> bool:
        with self._databases["writer"].service() as session:
            files = [sealed(each, job_id=job.id, tenant_id=job.tenant_id, key=key) for each in made]
            return jobs.keep_artifacts(session, job.run, files)

    def _claim(self, k: int) -> list[Claimed]:
        # A claim whose answer was lost may have happened: what it took is put back before the next.
        known, self._unsure = self._writer.runs() if self._unsure else None, True
        with self._databases["claimer"].service() as session:
            if known is not None:
                jobs.put_back_unknown(session, self._lease.id, known)
            claimed = jobs.claim(
                session, model=self._model, worker_id=self._lease.id, numerics=self._engine.numerics, k=k
            )
        self._unsure = False
        for job in claimed:
            self._writer.open(job)
        return claimed

    # The claimer and the writer are made before the runner that they call.
    def _serve(self, job: Claimed) -> None:
        self.runner.serve_on_thread(job)

    def _lose(self, run: Run) -> None:
        self.runner.lose(run)

    def _commit(self, reports: Sequence[Report]) -> set[Run]:
        with self._databases["writer"].service() as session:
            lost = jobs.commit(session, reports)
        self._preemption.step()
        return lost

    def _waiting(self, tenants_of_books: Collection[UUID]) -> tuple[Sequence[Waiting], Mapping[UUID, float]]:
        try:
            with self._databases["writer"].service() as session:
                own = turns.virtual_times(session, self._model, tenants_of_books)
                return turns.waiting(session, self._model, self._engine.slots), own
        except SQLAlchemyError as error:
            log.warning("no look at who waits", extra={"action": "look_failed", "error": str(error)})
            return (), {}

    def _mark_alone(self, job: Claimed) -> bool:
        try:
            with self._databases["claimer"].service() as session:
                return blame.mark_alone(session, job.id, job.fence)
        except SQLAlchemyError:
            log.warning("not marked alone", extra={"action": "mark_failed", "job": str(job.id)}, exc_info=True)
            return False
