"""How each model is drawn from where a request does not say."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("sampling", postgresql.JSONB(), server_default="{}", nullable=False))
