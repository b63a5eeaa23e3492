"""What a tenant's revision may not do is seen in every spelling, and what is harmless is let through."""

from collections.abc import Callable

import asyncpg
import pytest

from app.fleet.refusals import find_refused
from tests.fleet.conftest import FleetDatabase, MakeTree


def in_quotes(sql: str) -> str:
    return sql.replace("'", "''")


# How the same statement may be written.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "over lines": lambda sql: sql.replace(" ", "\n\t"),
    "with comments": lambda sql: "/* a /* b */ c */" + sql.replace(" ", " -- it's; $$\n"),
    "behind another": lambda sql: f"SELECT E'\\''; SELECT $a$ ' $a$; {sql}",
    "in a block": lambda sql: f"DO $$ BEGIN {sql}; END $$",
    "in a block behind a comment": lambda sql: f"DO $$ BEGIN\n -- it's\n {sql}; END $$",
    "in a block under a condition": lambda sql: f"DO $a$ BEGIN IF true THEN {sql}; END IF; END $a$",
    "in a handler": lambda sql: f"DO $$ BEGIN SELECT 1; EXCEPTION WHEN others THEN {sql}; END $$",
    "in a block in quotes": lambda sql: f"DO LANGUAGE plpgsql '<<l>> BEGIN {in_quotes(sql)}; END'",
    "in a block in escapes": lambda sql: f"DO E'BEGIN\\n{in_quotes(sql)}; END'",
    "in a block in quotes over lines": lambda sql: (
        f"DO 'BEGIN {in_quotes(sql)[:9]}' -- it's\n '{in_quotes(sql)[9:]}; END'"
    ),
    "in EXECUTE": lambda sql: f"DO $$ BEGIN EXECUTE /* x */ '{in_quotes(sql)}'; END $$",
    "in EXECUTE of parts": lambda sql: (
        f"DO $$ BEGIN EXECUTE ('{in_quotes(sql[:5])}' || '{in_quotes(sql[5:])}'); END $$"
    ),
    "in EXECUTE of a format": lambda sql: f"DO $$ BEGIN EXECUTE format($f${sql}$f$, 1); END $$",
    "in a loop over EXECUTE": lambda sql: (
        f"DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE $e${sql}$e$ LOOP NULL; END LOOP; END $$"
    ),
    "in a block in EXECUTE in a block": lambda sql: (
        f"DO $a$ BEGIN EXECUTE $b$ DO $c$ BEGIN {sql}; END $c$ $b$; END $a$"
    ),
    "in a function": lambda sql: (
        f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {sql}; END $$"
    ),
    "in a function in SQL": lambda sql: f"CREATE FUNCTION f() RETURNS void AS $$ {sql} $$ LANGUAGE sql",
}
FORBIDDEN = {
    "create type mood as enum ('happy')": "native enum",
    "create table n (id pg_catalog.serial4)": "SERIAL",
    "create table n (id bigserial primary key)": "SERIAL",
    "set local role a": "role",
    "reset role": "role",
    "create role a": "share",
    "create view v as select * from audit_logs": "security_invoker",
    "create or replace view v with (security_barrier) as select 1": "security_invoker",
    "create view v with (security_invoker = false) as select 1": "security_invoker",
    "alter view v reset (security_invoker)": "security_invoker",
    "alter view v set (security_invoker = off)": "security_invoker",
    "alter table v set (security_barrier, security_invoker = 0)": "security_invoker",
    "create materialized view v as select 1": "materialized",
    "create function g() returns int language sql security definer return 1": "SECURITY DEFINER",
    "alter function g() external security definer": "SECURITY DEFINER",
    "create function g() returns int language sql set role = 'a' return 1": "role",
    "create function g() returns int language c as 'a', 'b'": "language",
    "create or replace rule r as on insert to users do instead nothing": "a trigger",
    "alter default privileges grant all on tables to public": "rights",
    "grant update on audit_logs to public": "rights",
    "revoke app_owner from a": "revokes",
    "alter table users owner to a": "owner",
    "alter table users enable row level security": "row-level",
    "alter table users force row level security": "row-level",
    "create policy p on users": "row-level",
    "create extension if not exists hstore": "extension",
    "create schema reporting": "schema",
    "drop schema public cascade": "schema",
    "alter table resources set schema public": "schema",
    "create table reporting.t (a int)": "reporting",
    "create table if not exists \"reporting\" . \"t\" (a int)": "schema",
    "insert into reporting.t values (1)": "reporting",
    "select * from users u join reporting.t on true": "reporting",
    "update only reporting.t set a = 1": "reporting",
    "create index i on reporting.t (a)": "reporting",
    "select reporting.f()": "reporting",
    "create trigger t after insert on users execute function reporting.f()": "reporting",
    "alter table users inherit reporting.t": "reporting",
    "with a as (update reporting.t set x = 1) select 1": "reporting",
    "select * into temp t from users": "temporary",
    "delete from \"platform\" . tenants": "schema",
    "create temp table users (id int)": "temporary",
    "set work_mem = '1GB'": "SET LOCAL",
    "set local standard_conforming_strings = off": "search path",
    "select pg_catalog.set_config ('role', 'a', true)": "set_config",
    "create sequence s": "sequence",
    "copy users to program 'x'": "COPY USERS",
    "create foreign table t (a int) server s": "CREATE FOREIGN",
    "create event trigger e on sql_drop execute function f()": "CREATE EVENT",
    "comment on database a is 'x'": "COMMENT ON",
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_forbidden_is_seen_in_every_spelling(spelling: str) -> None:
    passed = {
        sql: list(find_refused("tenant", SPELLINGS[spelling](sql)))
        for sql, reason in FORBIDDEN.items()
        if reason not in " ".join(find_refused("tenant", SPELLINGS[spelling](sql)))
    }
    assert passed == {}


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DO $$ BEGIN COMMIT; END $$", "transaction"),
        ("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; END $$", "transaction"),
        ("DO $$ DECLARE q text := 'DROP ROLE a'; BEGIN EXECUTE q; END $$", "only known when it runs"),
        ("DO $$ BEGIN EXECUTE concat('DROP ', 'ROLE a'); END $$", "only known when it runs"),
        ("DO $$ BEGIN EXECUTE format('DROP %s a', 'ROLE'); END $$", "only known when it runs"),
        ("DO $$ BEGIN EXECUTE format('ALTER TABLE %I.users ADD a int', 'b'); END $$", "schema"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE 'plpython3u' AS 'x'", "language"),
        ('SET LOCAL U&"r\\006fle" = a', "role"),
        ('CREATE TABLE n (id "serial8", t text)', "SERIAL"),
    ],
)
def test_what_only_a_block_can_do_is_refused(sql: str, reason: str) -> None:
    assert reason in " ".join(find_refused("tenant", sql))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql"
        " BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql"
        " BEGIN ATOMIC UPDATE users SET role = 'a'; END; SELECT 1",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name IS DISTINCT FROM OLD.name THEN NEW.updated_at := now(); END IF; RETURN NEW; END $$;"
        " CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f(); DROP TRIGGER t ON users",
        "CREATE VIEW v WITH (security_invoker = true) AS"
        " SELECT a.id FROM users a JOIN resources b ON a.id = b.owner_id",
        "CREATE OR REPLACE VIEW v (a) WITH (security_barrier, security_invoker) AS SELECT 1",
        "ALTER VIEW v SET (security_invoker = true); ALTER VIEW v RENAME TO w; DROP VIEW w",
        "DO $$ DECLARE tenant text := quote_ident(current_schema()); BEGIN"
        " EXECUTE 'REVOKE UPDATE, DELETE ON notes FROM ' || tenant; END $$",
        "DO $$ BEGIN EXECUTE format('REVOKE UPDATE ON %I FROM %I', 'notes', current_schema()); END $$",
        "REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC",
        "-- CREATE ROLE a\nUPDATE users SET full_name = 'it''s -- SECURITY DEFINER' /* RESET ROLE */",
        "DO $$ BEGIN -- CREATE ROLE a; COMMIT;\n RAISE NOTICE 'SECURITY DEFINER'; END $$",
        "INSERT INTO resources (id, name) SELECT id, extract(epoch FROM u.created_at) FROM users AS u",
        "CREATE INDEX i ON users (lower(email)) WHERE state = 'active'; ANALYZE users; LOCK TABLE users",
        "CREATE TABLE n (id bigint GENERATED ALWAYS AS IDENTITY, role text, public boolean, \"order\" int)",
        "WITH a AS (DELETE FROM jobs RETURNING id) SELECT count(*) FROM a",
        "SET LOCAL lock_timeout = '1s'; SET CONSTRAINTS ALL DEFERRED",
        "DROP TYPE mood; DROP MATERIALIZED VIEW v; DROP SEQUENCE s; DROP RULE r ON users",
        "COMMENT ON COLUMN users.email IS 'CREATE ROLE'; TRUNCATE jobs",
        "ALTER TABLE users ALTER COLUMN state TYPE varchar(9) USING users.state::varchar(9)",
        'ALTER TABLE users ADD COLUMN "displayName" text COLLATE "C"',
    ],
)  # fmt: skip
def test_what_is_harmless_passes(sql: str) -> None:
    assert list(find_refused("tenant", sql)) == []


OF_THE_TENANT = """
def upgrade():
    op.execute("CREATE VIEW recent WITH (security_invoker = true) AS SELECT * FROM audit_logs")
    op.execute(
        "CREATE FUNCTION emails() RETURNS SETOF text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN QUERY SELECT email::text FROM users; END $$"
    )

def downgrade():
    op.execute("DROP FUNCTION emails()")
    op.execute("DROP VIEW recent")
"""


async def test_a_view_or_function_gives_a_tenant_no_more_than_its_tables_do(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    mine, other = await database.add(2)
    assert (await database.fleet(make_tree(OF_THE_TENANT)).apply()).ok
    connection = await asyncpg.connect(database.urls.superuser)
    try:
        await connection.execute(f"SET ROLE {mine.schema}")
        await connection.execute(f"SET search_path TO {mine.schema}")
        assert await connection.fetch("SELECT * FROM recent") == []
        assert await connection.fetch("SELECT emails()") == []
        for forged in ("UPDATE recent SET action = 'forged'", "DELETE FROM recent"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="audit_logs"):
                await connection.execute(forged)
        await connection.execute(f"SET search_path TO {other.schema}")
        # Without a right to the other schema, its tables are not even found.
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch(f"SELECT {mine.schema}.emails()")
    finally:
        await connection.close()
