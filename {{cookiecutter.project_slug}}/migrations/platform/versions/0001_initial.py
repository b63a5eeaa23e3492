"""The shared tables: tenants, rate limits, usage and scaling."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("plan", sa.String(), server_default="free", nullable=False),
        sa.Column("placement", sa.String(), server_default="default", nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "state_changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("plan IN ('free', 'pro', 'enterprise')", name=op.f("ck_tenants_plan_known")),
        sa.CheckConstraint("slug ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'", name=op.f("ck_tenants_slug_form")),
        sa.CheckConstraint(
            "state IN ('pending', 'provisioning', 'active', 'suspended', 'deleting', 'deleted')",
            name=op.f("ck_tenants_state_known"),
        ),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("ck_tenants_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenants_slug")),
        schema="platform",
    )
    op.create_index(
        "ix_tenants_created_at_id", "tenants", ["created_at", "id"], unique=False, schema="platform"
    )
    op.create_index("ix_tenants_state", "tenants", ["state"], unique=False, schema="platform")
    op.create_table(
        "usage_metrics",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("response_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "request_bytes >= 0 AND response_bytes >= 0 AND duration_us >= 0",
            name=op.f("ck_usage_metrics_measures_not_negative"),
        ),
        sa.CheckConstraint("status BETWEEN 100 AND 599", name=op.f("ck_usage_metrics_status_range")),
        sa.PrimaryKeyConstraint("id", "occurred_at", name=op.f("pk_usage_metrics")),
        schema="platform",
    )
    op.create_index(
        "ix_usage_metrics_tenant_id_occurred_at",
        "usage_metrics",
        ["tenant_id", "occurred_at"],
        unique=False,
        schema="platform",
    )
    op.create_table(
        "rate_limit_configs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("max_requests", sa.Integer(), nullable=False),
        sa.Column("window_seconds", sa.Integer(), server_default="60", nullable=False),
        sa.Column("burst", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "scope IN ('tenant', 'principal', 'route_class')", name=op.f("ck_rate_limit_configs_scope_known")
        ),
        sa.CheckConstraint(
            "burst IS NULL OR burst BETWEEN 1 AND max_requests",
            name=op.f("ck_rate_limit_configs_burst_range"),
        ),
        sa.CheckConstraint("max_requests > 0", name=op.f("ck_rate_limit_configs_max_requests_positive")),
        sa.CheckConstraint(
            "window_seconds BETWEEN 1 AND 86400", name=op.f("ck_rate_limit_configs_window_seconds_range")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["platform.tenants.id"],
            name=op.f("fk_rate_limit_configs_tenant_id_tenants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limit_configs")),
        sa.UniqueConstraint(
            "tenant_id",
            "scope",
            "subject",
            name=op.f("uq_rate_limit_configs_tenant_id_scope_subject"),
            postgresql_nulls_not_distinct=True,
        ),
        schema="platform",
    )
    op.create_table(
        "scaling_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("capacity_before", sa.Integer(), nullable=False),
        sa.Column("capacity_after", sa.Integer(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(), nullable=False),
        sa.Column("signals", postgresql.JSONB(), nullable=False),
        sa.Column("actuator", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(action = 'scale_up' AND capacity_after > capacity_before)"
            " OR (action = 'scale_down' AND capacity_after < capacity_before)"
            " OR (action = 'hold' AND capacity_after = capacity_before)",
            name=op.f("ck_scaling_events_action_matches_capacity"),
        ),
        sa.CheckConstraint(
            "action IN ('scale_up', 'scale_down', 'hold')", name=op.f("ck_scaling_events_action_known")
        ),
        sa.CheckConstraint(
            "capacity_before >= 0 AND capacity_after >= 0",
            name=op.f("ck_scaling_events_capacity_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["platform.tenants.id"],
            name=op.f("fk_scaling_events_tenant_id_tenants"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scaling_events")),
        schema="platform",
    )
    op.create_index(
        "ix_scaling_events_target_decided_at",
        "scaling_events",
        ["target", "decided_at"],
        unique=False,
        schema="platform",
    )
    op.create_index(
        "ix_scaling_events_tenant_id", "scaling_events", ["tenant_id"], unique=False, schema="platform"
    )

    # The runtime login reads the registry and the limits, appends usage, and can change neither.
    op.execute("GRANT USAGE ON SCHEMA platform TO app_runtime")
    op.execute("GRANT SELECT ON platform.tenants, platform.rate_limit_configs TO app_runtime")
    op.execute("GRANT SELECT, INSERT ON platform.usage_metrics, platform.scaling_events TO app_runtime")


def downgrade() -> None:
    op.execute("REVOKE USAGE ON SCHEMA platform FROM app_runtime")
    op.drop_index("ix_scaling_events_tenant_id", table_name="scaling_events", schema="platform")
    op.drop_index("ix_scaling_events_target_decided_at", table_name="scaling_events", schema="platform")
    op.drop_table("scaling_events", schema="platform")
    op.drop_table("rate_limit_configs", schema="platform")
    op.drop_index("ix_usage_metrics_tenant_id_occurred_at", table_name="usage_metrics", schema="platform")
    op.drop_table("usage_metrics", schema="platform")
    op.drop_index("ix_tenants_state", table_name="tenants", schema="platform")
    op.drop_index("ix_tenants_created_at_id", table_name="tenants", schema="platform")
    op.drop_table("tenants", schema="platform")
