"""What all tables share."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, MetaData, SmallInteger, Text, func, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

Identifier = Annotated[UUID, mapped_column(PG_UUID(as_uuid=True), primary_key=True)]
Small = Annotated[int, mapped_column(SmallInteger)]
Big = Annotated[int, mapped_column(BigInteger)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own shape
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        UUID: PG_UUID(as_uuid=True),
    }


def now(session: Session) -> datetime:
    """Postgres's clock, which all processes share."""
    moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return moment
