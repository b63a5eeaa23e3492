"""When a tenant was suspended, which a deletion that is taken back must not make forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "tenants", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True), schema="platform"
    )
    op.execute("UPDATE platform.tenants SET suspended_at = state_changed_at WHERE state = 'suspended'")


def downgrade() -> None:
    op.drop_column("tenants", "suspended_at", schema="platform")
