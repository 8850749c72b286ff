"""Models, as the workers that loaded them describe them."""

from sqlalchemy import Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Created, Moment
from quire.store.job import Kind


class Model(Base):
    __tablename__ = "models"

    name: Mapped[str] = mapped_column(primary_key=True)
    context_length: Mapped[int]
    vocab_size: Mapped[int]
    numerics: Mapped[str | None]  # null: this build promises nothing about equal bits
    tokenizer: Mapped[str]  # tokenizer.json, so that the API counts tokens exactly without torch
    tokenizer_digest: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default=Kind.TEXT.value)  # of the jobs that it does
    # What its workers can make of a tune, by the one that registered last: kinds of artifacts.
    renders: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    # How it is drawn from where a request does not say: names of parameters, and their values.
    sampling: Mapped[dict[str, float]] = mapped_column(JSONB, server_default="{}")
    virtual_now: Mapped[float] = mapped_column(server_default="0")  # of its lanes: see fairness.py
    created_at: Mapped[Created]
    registered_at: Mapped[Moment] = mapped_column(server_default=text("clock_timestamp()"))


REGISTER = text("""
    INSERT INTO models (name, context_length, vocab_size, numerics, tokenizer, tokenizer_digest, kind, renders,
        sampling)
    VALUES (:name, :context_length, :vocab_size, :numerics, :tokenizer, :tokenizer_digest, :kind,
        CAST(:renders AS text[]), CAST(:sampling AS jsonb))
    ON CONFLICT (name) DO UPDATE SET context_length = excluded.context_length,
        vocab_size = excluded.vocab_size, numerics = excluded.numerics, tokenizer = excluded.tokenizer,
        tokenizer_digest = excluded.tokenizer_digest, kind = excluded.kind, renders = excluded.renders,
        sampling = excluded.sampling,
        registered_at = clock_timestamp()
""")

LIVE_WORKERS = text("""
    SELECT model, count(*) AS workers FROM workers
    WHERE lease_until > clock_timestamp() AND NOT draining GROUP BY model
""")


def live_workers(session: Session) -> dict[str, int]:
    return {row.model: row.workers for row in session.execute(LIVE_WORKERS)}
