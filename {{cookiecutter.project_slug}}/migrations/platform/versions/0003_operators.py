"""Operators of the platform, and the trail of what they did."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "operators",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="active", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "email = lower(email) AND char_length(email) BETWEEN 3 AND 254",
            name=op.f("ck_operators_email_form"),
        ),
        sa.CheckConstraint("state IN ('active', 'disabled')", name=op.f("ck_operators_state_known")),
        sa.CheckConstraint("epoch > 0", name=op.f("ck_operators_epoch_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operators")),
        sa.UniqueConstraint("email", name=op.f("uq_operators_email")),
        schema="platform",
    )
    op.create_table(
        "operator_actions",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("operator_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("correlation_id", sa.String(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "actor_kind IN ('operator', 'system')", name=op.f("ck_operator_actions_actor_kind_known")
        ),
        sa.CheckConstraint(
            "(actor_kind = 'operator') = (operator_id IS NOT NULL)",
            name=op.f("ck_operator_actions_operator_is_named"),
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_operator_actions_sequence_positive")),
        sa.CheckConstraint(
            "octet_length(hash) = 32 AND octet_length(previous_hash) = 32",
            name=op.f("ck_operator_actions_hashes_are_sha256"),
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_operator_actions")),
        schema="platform",
    )
    op.create_index(
        "ix_operator_actions_tenant_id_sequence",
        "operator_actions",
        ["tenant_id", "sequence"],
        unique=False,
        schema="platform",
    )

    # The runtime login can make no operator and change no password, and can only add to the trail.
    op.execute("GRANT SELECT, UPDATE (last_login_at) ON platform.operators TO app_runtime")
    op.execute("GRANT SELECT, INSERT ON platform.operator_actions TO app_runtime")


def downgrade() -> None:
    op.drop_index("ix_operator_actions_tenant_id_sequence", table_name="operator_actions", schema="platform")
    op.drop_table("operator_actions", schema="platform")
    op.drop_table("operators", schema="platform")
