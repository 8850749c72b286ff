"""Which workers a job has lost, so that a job that kills workers costs its neighbours no attempt."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("lost_workers", postgresql.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_index(
        "jobs_lost_workers",
        "jobs",
        ["lost_workers"],
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(lost_workers) > 0"),
    )
