"""A revision that cannot run over a fleet is refused before anything is touched, with the reason."""

import pytest

from app.core.migrations import head_revision
from app.fleet.errors import RevisionRefused
from app.fleet.lint import find_faults
from app.fleet.script import RevisionTree
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, FleetDatabase, MakeTree

UNDO = "\ndef downgrade():\n    op.execute('SELECT 1')\n"


def body(*lines: str, undo: str = UNDO) -> str:
    return "\ndef upgrade():\n" + "".join(f"    {line}\n" for line in lines) + undo


BLOCK = "with op.get_context().autocommit_block():"
INDEX = "op.create_index('ix_n', 'resources', ['name'], postgresql_concurrently=True)"

REFUSED = {
    "asks the database": (body("op.get_bind().execute(sa.text('SELECT 1'))"), "get_bind"),
    "inspects the database": (body("sa.inspect(op.get_context().connection)"), "cannot be rendered"),
    "asks for the mode": (
        body("from alembic import context", "context.is_offline_mode()"),
        "is_offline_mode",
    ),
    "raises": (body("raise RuntimeError('not today')"), "not today"),
    "native enum": (
        body("op.add_column('resources', sa.Column('k', sa.Enum('a', 'b', name='kind')))"),
        "native enum",
    ),
    "native enum of the dialect": (
        body("from sqlalchemy.dialects import postgresql", "postgresql.ENUM('a', name='kind')"),
        "native enum",
    ),
    "native enum in SQL": (body("op.execute('CREATE TYPE kind\\n AS ENUM (1)')"), "native enum"),
    "native enum under another name": (
        body(
            "from sqlalchemy import Enum as Choice",
            "op.create_table('n', sa.Column('k', Choice('a', name='kind')))",
        ),
        "native enum",
    ),
    "native enum of a class of its own": (
        body(
            "class Choice(sa.Enum): pass",
            "op.add_column('resources', sa.Column('k', Choice('a', name='kind')))",
        ),
        "native enum",
    ),
    "native enum through a variable": (
        body("choice = sa.Enum", "op.add_column('resources', sa.Column('k', choice('a', name='kind')))"),
        "native enum",
    ),
    "native enum in a block of code": (
        body("op.execute(\"DO $$ BEGIN EXECUTE 'CREATE TYPE kind AS ENUM ()'; END $$\")"),
        "native enum",
    ),
    "serial key": (
        body("op.create_table('n', sa.Column('id', sa.Integer(), primary_key=True))"),
        "sa.Identity()",
    ),
    "serial key, big": (
        body(
            "op.create_table('n', sa.Column('i', sa.BigInteger(), primary_key=True), sa.Column('t', sa.Text))"
        ),
        "UUIDv7",
    ),
    "serial column in SQL": (body("op.execute('alter table resources add n smallserial')"), "SERIAL"),
    "serial column by its other name": (
        body("op.execute('ALTER TABLE resources ADD COLUMN IF NOT EXISTS \"n\" SERIAL8 NOT NULL')"),
        "SERIAL",
    ),
    "serial column in a block of code": (
        body("op.execute('DO $$ BEGIN CREATE TABLE n (id bigserial PRIMARY KEY, t text); END $$')"),
        "SERIAL",
    ),
    "sequence": (body("op.execute(sa.schema.CreateSequence(sa.Sequence('s')))"), "a sequence"),
    "sequence as a default": (
        body("op.alter_column('resources', 'name', server_default=sa.text(\"nextval('s')\"))"),
        "a sequence",
    ),
    "vacuum": (body("op.execute('VACUUM (ANALYZE) resources')"), "autovacuum"),
    "reindex": (body("op.execute('REINDEX INDEX ix_resources_owner_id')"), "of another name"),
    "cluster": (body("op.execute('CLUSTER resources USING pk_resources')"), "CLUSTER"),
    "settings of the server": (body("op.execute('ALTER SYSTEM SET work_mem = 1')"), "of the server"),
    "database": (body("op.execute('CREATE DATABASE other')"), "share"),
    "role": (body("op.execute('create role other')"), "share"),
    "role after a comment": (body("op.execute('/* one */ DROP/**/USER other')"), "share"),
    "role in a block of code in quotes": (
        body("op.execute(\"DO 'BEGIN ALTER USER a LOGIN; END'\")"),
        "share",
    ),
    "role in a block of code": (
        body("op.execute(\"DO $$ BEGIN IF true THEN EXECUTE 'ALTER ROLE a LOGIN'; END IF; END $$\")"),
        "share",
    ),
    "search path by a function": (
        body("op.execute(\"SELECT set_config('search_path', 'public', true)\")"),
        "set_config",
    ),
    "role by a function in a block of code": (
        body("op.execute(\"DO $$ BEGIN PERFORM pg_catalog.set_config('role', 'a', true); END $$\")"),
        "set_config",
    ),
    "search path by a view": (
        body("op.execute(\"UPDATE pg_settings SET setting = 'public' WHERE name = 'search_path'\")"),
        "set_config",
    ),
    "search path by another name": (body("op.execute(\"SET SCHEMA 'public'\")"), "search path"),
    "search path in quotes": (body("op.execute('SET LOCAL \"search_path\" TO public')"), "search path"),
    "role changed in a block of code": (body("op.execute('DO $$ BEGIN SET ROLE a; END $$')"), "role"),
    "everything reset": (body("op.execute('DISCARD ALL')"), "search path"),
    "no downgrade": (body("op.execute('SELECT 1')", undo=""), "no downgrade"),
    "empty downgrade": (
        body("op.execute('SELECT 1')", undo="\ndef downgrade():\n    pass\n"),
        "no downgrade",
    ),
    "irreversible without a reason": (
        body("op.execute('SELECT 1')", undo="\nirreversible = ' '\n"),
        "must say why",
    ),
    "downgrade that asks": (
        body("op.execute('SELECT 1')", undo="\ndef downgrade():\n    raise NotImplementedError\n"),
        "downgrade cannot be rendered",
    ),
    "names a schema": (
        body("op.add_column('resources', sa.Column('c', sa.Text()), schema='public')"),
        "schema",
    ),
    "names the platform": (body("op.execute('DELETE FROM platform.tenants')"), "platform.t"),
    "names the platform in a block of code": (
        body("op.execute('DO $$ BEGIN DELETE FROM platform.\"tenants\"; END $$')"),
        "names a schema",
    ),
    "names a tenant": (body(f"op.execute('DROP TABLE t_{'0' * 32}.resources')"), "names a schema"),
    "names a schema behind a dictionary": (
        body("op.create_table('n', sa.Column('id', sa.Uuid()), **{'schema': 'reporting'})"),
        "names a schema (reporting…)",
    ),
    "leaves": (body("raise SystemExit(0)"), "SystemExit: 0"),
    "changes the search path": (body("op.execute('SET search_path TO public')"), "search path"),
    "changes the role": (body("op.execute('SET LOCAL ROLE postgres')"), "role"),
    "commits": (body("op.execute('COMMIT')"), "transaction"),
    "commits within a script": (body("op.execute('SELECT 1; /* ; */ commit; BEGIN')"), "transaction"),
    "savepoint": (body("op.execute('SAVEPOINT x')"), "transaction"),
    "concurrent index in a transaction": (body(INDEX), "autocommit_block"),
    "reindex in a transaction": (
        body("op.execute('REINDEX TABLE CONCURRENTLY resources')"),
        "autocommit_block",
    ),
    "more than indexes": (
        body("op.execute('SELECT 1')", BLOCK, f"    {INDEX}", undo=ADD_COLUMN.split("\n\n")[1]),
        "nothing else",
    ),
    "something else in the block": (body(BLOCK, "    op.execute('VACUUM resources')"), "nothing else"),
    "an index that is not concurrent": (
        body(BLOCK, "    op.create_index('ix_n', 'resources', ['name'])"),
        "nothing else",
    ),
    "an index without a name": (
        body(BLOCK, "    op.execute('CREATE INDEX CONCURRENTLY ON resources (name)')"),
        "nothing else",
    ),
    "two blocks": (body(BLOCK, f"    {INDEX}", BLOCK, f"    {INDEX}"), "one such block"),
}


@pytest.mark.parametrize("name", ["platform", "tenant"])
def test_the_revisions_of_this_project_pass(name: str) -> None:
    tree = RevisionTree("platform" if name == "platform" else "tenant")
    assert [str(fault) for fault in find_faults(tree)] == []
    assert tree.head == head_revision(tree.name)


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_revision_is_refused_by_file_and_reason(make_tree: MakeTree, case: str) -> None:
    source, reason = REFUSED[case]
    faults = [str(fault) for fault in find_faults(make_tree(source))]
    assert faults, "it was let through"
    assert all(fault.startswith("tenant revision x1 (x1_added.py): ") for fault in faults)
    assert any(reason in fault for fault in faults), faults


@pytest.mark.parametrize(
    "source",
    [
        ADD_COLUMN,
        BUILD_INDEX,
        body("op.execute('DROP TABLE resources')", undo="\nirreversible = 'the rows are gone'\n"),
        body("op.execute(\"COMMENT ON TABLE resources IS 'commit; or not'\")"),
        body("op.execute('DO $$ BEGIN PERFORM 1; END $$')"),
        body("op.add_column('resources', sa.Column('k', sa.Enum('a', name='kind', native_enum=False)))"),
        body("pass", undo="\ndef downgrade():\n    pass\n"),
        body("op.create_table('n', sa.Column('id', sa.BigInteger(), sa.Identity(), primary_key=True))"),
        body("op.create_table('n', sa.Column('id', sa.Integer(), autoincrement=False, primary_key=True))"),
        body(
            "op.create_table('n', sa.Column('serial', sa.Text()), sa.Column('t', sa.Text()),"
            " sa.CheckConstraint('t > serial AND serial IS NOT NULL', name='a'),"
            " sa.UniqueConstraint('t', 'serial', name='b'))",
            "op.add_column('resources', sa.Column('serial', sa.Text()))",
            "op.alter_column('resources', 'serial', nullable=False)",
            "op.alter_column('resources', 'serial', new_column_name='number')",
            "op.alter_column('resources', 'number', new_column_name='serial')",
            "op.drop_column('resources', 'serial')",
        ),
        body("op.execute(\"COMMENT ON TABLE resources IS 'id SERIAL, by CREATE SEQUENCE; set_config()'\")"),
        body("op.execute(\"UPDATE users SET role = 'x' WHERE email = 'VACUUM'\")"),
        body("op.execute(\"SET LOCAL work_mem = '64MB'\")", "op.execute('ANALYZE resources')"),
        body(
            "op.execute('CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = pg_catalog RETURN 1')"
        ),
        body("import enum", "class Kind(enum.Enum): A = 1", "from enum import Enum", "class B(Enum): B = 1"),
    ],
)
def test_a_good_revision_passes(make_tree: MakeTree, source: str) -> None:
    assert find_faults(make_tree(source)) == []


def test_platform_revisions_name_their_schema_and_no_tenant(make_tree: MakeTree) -> None:
    good = body("op.execute('UPDATE platform.tenants SET name = slug')")
    assert find_faults(make_tree(good, name="platform")) == []
    bad = body(f"op.execute('DROP SCHEMA t_{'a' * 32} CASCADE')")
    [fault] = find_faults(make_tree(bad, name="platform"))
    assert "names a schema" in str(fault)


def test_a_platform_revision_may_make_a_sequence_that_it_grants(make_tree: MakeTree) -> None:
    """Its grants are its own; but no column is SERIAL there either."""
    good = body(
        "op.execute('CREATE SEQUENCE platform.s')",
        "op.execute('GRANT USAGE ON SEQUENCE platform.s TO app_runtime')",
    )
    assert find_faults(make_tree(good, name="platform")) == []
    bad = body("op.create_table('n', sa.Column('id', sa.Integer(), primary_key=True), schema='platform')")
    [fault] = find_faults(make_tree(bad, name="platform"))
    assert "sa.Identity()" in str(fault)


def test_several_heads_are_refused(make_tree: MakeTree) -> None:
    tree = make_tree(ADD_COLUMN)
    (tree.folder / "y1_other.py").write_text(
        f"from alembic import op\nrevision = 'y1'\ndown_revision = '{HEAD}'\n{body('pass')}"
    )
    with pytest.raises(RevisionRefused, match=r"several heads: x1_added\.py and y1_other\.py"):
        find_faults(tree)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("this is no Python", "cannot be read"),
        ("import no_such_module_anywhere", "cannot be read"),
        ("no_such_name", r"cannot be read \(y1_other\.py\): NameError"),
        ("import sys\nsys.exit(0)", r"cannot be read \(y1_other\.py\): SystemExit"),
        (f"revision = 5\ndown_revision = '{HEAD}'\n{body('pass')}", "`revision` must be text"),
        (f"revision = 'y1'\ndown_revision = 5\n{body('pass')}", "must be text"),
        (
            f"revision = 'y1'\nname = '\udcff'\ndown_revision = '{HEAD}'\n{body('pass')}",
            r"cannot be read.*y1_other\.py",
        ),
        (f"revision = 'y1'\ndown_revision = 'nowhere'\n{body('pass')}", "cannot be read"),
        (f"revision = 'x1'\ndown_revision = '{HEAD}'\n{body('pass')}", "more than once"),
        (f"revision = 'y1'\ndown_revision = ('x1', '{HEAD}')\n{body('pass')}", "merges several"),
    ],
)
def test_a_tree_that_is_no_line_is_refused(make_tree: MakeTree, source: str, reason: str) -> None:
    tree = make_tree(ADD_COLUMN)
    (tree.folder / "y1_other.py").write_bytes(source.encode(errors="surrogateescape"))
    with pytest.raises(RevisionRefused, match=reason):
        find_faults(tree)


async def test_nothing_is_touched_when_one_revision_is_refused(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(2)
    fleet = database.fleet(make_tree(ADD_COLUMN, REFUSED["native enum"][0], REFUSED["commits"][0]))
    for attempt in (fleet.apply, fleet.plan):
        with pytest.raises(RevisionRefused) as caught:
            await attempt()
        assert "x2_added.py" in str(caught.value)
        assert "x3_added.py" in str(caught.value)
    assert set(await database.revisions(members)) == {(HEAD, HEAD)}
