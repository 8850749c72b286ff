"""A book has an entry in the ledger for each day on which it is written."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEY = "ALTER TABLE ledger DROP CONSTRAINT ledger_pkey, ADD CONSTRAINT ledger_pkey PRIMARY KEY (job_id, day)"


def upgrade() -> None:
    op.execute(KEY)
