"""Sessions, single-use tokens, the use and rotation of API keys, invited people, idempotent requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("user_agent", sa.String(), server_default="", nullable=False),
        sa.Column("address", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("char_length(user_agent) <= 300", name=op.f("ck_sessions_user_agent_length")),
        sa.CheckConstraint("char_length(address) <= 64", name=op.f("ck_sessions_address_length")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_sessions_expires_after_creation")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False)
    # The logins of before go on: a family of refresh tokens was a session without a row.
    op.execute(
        "INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at, ended_at)"
        " SELECT family_id, user_id, min(issued_at), max(coalesce(used_at, issued_at)), max(expires_at),"
        " max(revoked_at) FROM refresh_tokens GROUP BY family_id, user_id"
    )
    op.add_column("refresh_tokens", sa.Column("parent_id", sa.Uuid(), nullable=True))
    op.create_index("ix_refresh_tokens_parent_id", "refresh_tokens", ["parent_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_refresh_tokens_parent_id_refresh_tokens"),
        "refresh_tokens", "refresh_tokens", ["parent_id"], ["id"], ondelete="SET NULL",
    )  # fmt: skip
    op.create_foreign_key(
        op.f("fk_refresh_tokens_family_id_sessions"),
        "refresh_tokens", "sessions", ["family_id"], ["id"], ondelete="CASCADE",
    )  # fmt: skip
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('password_reset', 'invitation')", name=op.f("ck_one_time_tokens_purpose_known")
        ),
        sa.CheckConstraint(
            "octet_length(token_hash) = 32", name=op.f("ck_one_time_tokens_token_hash_is_sha256")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_one_time_tokens_expires_after_creation")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_one_time_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_one_time_tokens_token_hash")),
    )
    op.create_index("ix_one_time_tokens_user_id", "one_time_tokens", ["user_id"], unique=False)
    op.create_index("ix_one_time_tokens_expires_at", "one_time_tokens", ["expires_at"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "octet_length(key_hash) = 32", name=op.f("ck_idempotency_keys_key_hash_is_sha256")
        ),
        sa.CheckConstraint(
            "octet_length(request_hash) = 32", name=op.f("ck_idempotency_keys_request_hash_is_sha256")
        ),
        sa.PrimaryKeyConstraint("principal_id", "key_hash", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.add_column("users", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.drop_constraint(op.f("ck_users_state_known"), "users")
    op.create_check_constraint(
        op.f("ck_users_state_known"), "users", "state IN ('active', 'disabled', 'invited')"
    )
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("replaced_by", sa.Uuid(), nullable=True))
    op.create_index("ix_api_keys_replaced_by", "api_keys", ["replaced_by"], unique=False)
    op.create_foreign_key(
        op.f("fk_api_keys_replaced_by_api_keys"),
        "api_keys", "api_keys", ["replaced_by"], ["id"], ondelete="SET NULL",
    )  # fmt: skip


def downgrade() -> None:
    op.drop_constraint(op.f("fk_api_keys_replaced_by_api_keys"), "api_keys")
    op.drop_index("ix_api_keys_replaced_by", table_name="api_keys")
    op.drop_column("api_keys", "replaced_by")
    op.drop_column("api_keys", "last_used_at")
    # Nobody can log in as somebody who never took up the invitation.
    op.execute("UPDATE users SET state = 'disabled' WHERE state = 'invited'")
    op.drop_constraint(op.f("ck_users_state_known"), "users")
    op.create_check_constraint(op.f("ck_users_state_known"), "users", "state IN ('active', 'disabled')")
    op.drop_column("users", "version")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_one_time_tokens_expires_at", table_name="one_time_tokens")
    op.drop_index("ix_one_time_tokens_user_id", table_name="one_time_tokens")
    op.drop_table("one_time_tokens")
    op.drop_constraint(op.f("fk_refresh_tokens_family_id_sessions"), "refresh_tokens")
    op.drop_constraint(op.f("fk_refresh_tokens_parent_id_refresh_tokens"), "refresh_tokens")
    op.drop_index("ix_refresh_tokens_parent_id", table_name="refresh_tokens")
    op.drop_column("refresh_tokens", "parent_id")
    # Where a session is over, so are its tokens, also for what knows of no session.
    op.execute(
        "UPDATE refresh_tokens SET revoked_at = sessions.ended_at FROM sessions"
        " WHERE sessions.id = refresh_tokens.family_id AND sessions.ended_at IS NOT NULL"
    )
    op.drop_index("ix_sessions_expires_at", table_name="sessions")
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.drop_table("sessions")
