"""Schedules, their earlier versions, and their occurrences; and which batches are of a schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"
TABLES = {
    "schedules": "SELECT, INSERT, UPDATE, DELETE",
    "schedule_versions": "SELECT, INSERT",
    "occurrences": "SELECT, INSERT",
}


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def stamped(name: str) -> sa.Column[object]:
    default = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=False)


def number(name: str, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=default, nullable=False)


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default="false", nullable=False)


def upgrade() -> None:
    op.add_column("batches", sa.Column("schedule_id", sa.UUID(), nullable=True))
    op.create_index(
        "batches_of_schedule",
        "batches",
        ["schedule_id", "id"],
        postgresql_where=sa.text("schedule_id IS NOT NULL"),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        number("version", "1"),
        text("name"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        *(text(name) for name in ("kind", "expression", "zone")),
        moment("starts_at", nullable=False),
        moment("ends_at"),
        text("catch_up"),
        number("catch_up_most"),
        text("overlap"),
        number("jitter_seconds"),
        sa.Column("publish_by", sa.Boolean(), nullable=False),
        number("lead_seconds", "0"),
        moment("planned_at"),
        flag("paused"),
        moment("next_at"),
        moment("fire_at"),
        number("fired", "0"),
        stamped("created_at"),
        stamped("updated_at"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="schedules_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="schedules_pkey"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "schedules_due", "schedules", ["fire_at"], postgresql_where=sa.text("NOT paused AND fire_at IS NOT NULL")
    )
    op.create_index("schedules_of_tenant", "schedules", ["tenant_id", "id"])
    op.create_index(
        "schedules_of_planned",
        "schedules",
        ["planned_at"],
        postgresql_where=sa.text("publish_by AND next_at IS NOT NULL"),
    )
    op.create_table(
        "schedule_versions",
        sa.Column("schedule_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        stamped("created_at"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name="schedule_versions_schedule_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "version", name="schedule_versions_pkey"),
    )
    op.create_table(
        "occurrences",
        sa.Column("schedule_id", sa.UUID(), nullable=False),
        moment("moment", nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        number("version"),
        number("number"),
        sa.Column("state", sa.String(length=16), nullable=False),
        text("why", nullable=True),
        flag("manual"),
        flag("late"),
        sa.Column("batch_id", sa.UUID(), nullable=True),
        moment("look_at"),
        stamped("fired_at"),
        moment("started_at"),
        sa.CheckConstraint("state IN ('due', 'started', 'skipped', 'failed')", name="occurrences_state_check"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name="occurrences_schedule_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "moment", name="occurrences_pkey"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("occurrences_due", "occurrences", ["look_at"], postgresql_where=sa.text("state = 'due'"))
    for table, granted in TABLES.items():
        op.execute(f"GRANT {granted} ON {table} TO quire_api")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO quire_service")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO quire_api USING (tenant_id = {MINE})")
        op.execute(f"CREATE POLICY service ON {table} TO quire_service USING (true)")
