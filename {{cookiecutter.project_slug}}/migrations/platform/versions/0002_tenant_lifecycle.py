"""The life of a tenant: isolation, epoch, move and purge in the registry, and operations in steps."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column("isolation", sa.String(), server_default="pooled", nullable=False),
        schema="platform",
    )
    op.add_column(
        "tenants", sa.Column("epoch", sa.BigInteger(), server_default="1", nullable=False), schema="platform"
    )
    op.add_column("tenants", sa.Column("moving_to", sa.String(), nullable=True), schema="platform")
    op.add_column(
        "tenants", sa.Column("purge_after", sa.DateTime(timezone=True), nullable=True), schema="platform"
    )
    op.create_check_constraint(
        op.f("ck_tenants_isolation_known"),
        "tenants",
        "isolation IN ('pooled', 'dedicated')",
        schema="platform",
    )
    op.create_check_constraint(op.f("ck_tenants_epoch_positive"), "tenants", "epoch > 0", schema="platform")
    op.create_table(
        "tenant_operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="running", nullable=False),
        sa.Column("step", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('onboard', 'import', 'move', 'purge')", name=op.f("ck_tenant_operations_kind_known")
        ),
        sa.CheckConstraint(
            "state IN ('running', 'failed', 'succeeded', 'cancelled')",
            name=op.f("ck_tenant_operations_state_known"),
        ),
        sa.CheckConstraint("attempts > 0", name=op.f("ck_tenant_operations_attempts_positive")),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["platform.tenants.id"],
            name=op.f("fk_tenant_operations_tenant_id_tenants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_operations")),
        schema="platform",
    )
    op.create_index(
        "ix_tenant_operations_tenant_id_started_at",
        "tenant_operations",
        ["tenant_id", "started_at"],
        unique=False,
        schema="platform",
    )
    op.create_index(
        "uq_tenant_operations_unfinished",
        "tenant_operations",
        ["tenant_id"],
        unique=True,
        schema="platform",
        postgresql_where=sa.text("state IN ('running', 'failed')"),
    )
    op.execute("GRANT SELECT ON platform.tenant_operations TO app_runtime")


def downgrade() -> None:
    op.drop_table("tenant_operations", schema="platform")
    op.drop_constraint(op.f("ck_tenants_epoch_positive"), "tenants", schema="platform")
    op.drop_constraint(op.f("ck_tenants_isolation_known"), "tenants", schema="platform")
    for column in ("purge_after", "moving_to", "epoch", "isolation"):
        op.drop_column("tenants", column, schema="platform")
