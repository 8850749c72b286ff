"""Long-form works: jobs of another kind."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Wider than before, so what is there is right. Not checked under the lock that keeps writers out.
KINDS = """
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check,
    ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('text', 'music', 'longform')) NOT VALID
"""
VALIDATE = "ALTER TABLE jobs VALIDATE CONSTRAINT jobs_kind_check"


def upgrade() -> None:
    op.execute(KINDS)
    op.execute(VALIDATE)
