"""Jobs know whether they are responses in the background, whose ends are told as such."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("background", sa.Boolean(), server_default="false", nullable=False))
