"""Alembic's entry for both trees: `platform` (shared tables, once) and `tenant` (one copy per tenant).

`app.core.migrations` decides the tree, the schema and the connection; nothing is read from an ini file.
"""

from alembic import context

import app.access.models
import app.audit.models
import app.auth.models
import app.core.idempotency
import app.jobs.models
import app.limits.models
import app.operators.models
import app.resources.models
import app.scaling.models
import app.tenants.models
import app.usage.models
import app.users.models  # noqa: F401  # each import registers its tables
from app.core.database import PLATFORM_SCHEMA, PlatformBase, TenantBase

attributes = context.config.attributes
is_platform = attributes["tree"] == "platform"
# Which schema to compare: None is the one that search_path names.
schema = PLATFORM_SCHEMA if is_platform else None
options = {
    "target_metadata": PlatformBase.metadata if is_platform else TenantBase.metadata,
    "version_table_schema": PLATFORM_SCHEMA if is_platform else attributes.get("schema"),
    "include_schemas": is_platform,
    "include_name": lambda name, kind, _: kind != "schema" or name == schema,
    "compare_type": True,
    "compare_server_default": True,
}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, **options)
    context.run_migrations()
else:
    context.configure(connection=attributes["connection"], **options)
    with context.begin_transaction():
        context.run_migrations()
