"""What is known of a batch beside itself that was asked for in OpenAI's form."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from quire.store.base import Base


class OpenAIBatch(Base):
    __tablename__ = "openai_batches"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[UUID]
    endpoint: Mapped[str]
    input_file_id: Mapped[UUID]  # which may have been deleted since
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)  # of lines, for which it was refused
