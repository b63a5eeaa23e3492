"""SQL is split where statements end, and revisions are put together in as few transactions as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fleet.script import BASE
from app.fleet.sql import IndexStatement, split_statements
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, MakeTree

PIECES = [
    "SELECT 1",
    "INSERT INTO t VALUES ('a;b', 'it''s; so')",
    'SELECT ";" FROM "a;""b"',
    "DO $$ BEGIN PERFORM 1; PERFORM 2; END $$",
    "DO $x$ BEGIN EXECUTE $y$ SELECT 1; $y$; END $x$",
    r"SELECT E'\';' AS a",
    r"SELECT 'c:\' AS path",
    "SELECT $1",
]
COMMENTS = ["", " -- one; two\n", "/* a; b */", "\n"]


@given(st.lists(st.tuples(st.sampled_from(COMMENTS), st.sampled_from(PIECES)), max_size=6))
def test_a_script_falls_into_the_statements_it_was_made_of(parts: list[tuple[str, str]]) -> None:
    script = ";".join(comment + piece for comment, piece in parts)
    assert split_statements(script) == [piece for _, piece in parts]


@pytest.mark.parametrize(
    ("statement", "sql", "name", "creates"),
    [
        (
            "CREATE INDEX CONCURRENTLY ix_a ON a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_a ON a (b)",
            "ix_a",
            True,
        ),
        (
            'create unique index concurrently if not exists "Ix" ON a (b) WHERE c',
            'create unique INDEX CONCURRENTLY IF NOT EXISTS "Ix" ON a (b) WHERE c',
            "Ix",
            True,
        ),
        ("DROP INDEX CONCURRENTLY Ix_A", "DROP INDEX CONCURRENTLY IF EXISTS Ix_A", "ix_a", False),
        (
            "DROP INDEX CONCURRENTLY platform.ix_a CASCADE",
            "DROP INDEX CONCURRENTLY IF EXISTS platform.ix_a CASCADE",
            "ix_a",
            False,
        ),
    ],
)
def test_an_index_statement_is_made_repeatable(statement: str, sql: str, name: str, creates: bool) -> None:
    assert IndexStatement.parse(statement) == IndexStatement(sql, name, creates)


@pytest.mark.parametrize(
    "statement",
    ["CREATE INDEX ix ON a (b)", "CREATE INDEX CONCURRENTLY ON a (b)", "DROP INDEX ix", "SELECT 1"],
)
def test_other_statements_are_no_concurrent_index(statement: str) -> None:
    assert IndexStatement.parse(statement) is None


def test_neighbours_share_a_transaction_and_concurrent_indexes_stand_alone(make_tree: MakeTree) -> None:
    second = ADD_COLUMN.replace("color", "size")
    tree = make_tree(ADD_COLUMN, second, BUILD_INDEX, ADD_COLUMN.replace("color", "weight"))
    phases = tree.phases(HEAD)
    assert [(phase.start, phase.end, len(phase.indexes)) for phase in phases] == [
        (HEAD, "x2", 0),
        ("x2", "x3", 1),
        ("x3", "x4", 0),
    ]
    assert split_statements(phases[1].sql) == [
        "UPDATE alembic_version SET version_num='x3' WHERE alembic_version.version_num = 'x2'"
    ]
    assert "COMMIT" not in "".join(phase.sql for phase in phases)
    assert tree.phases("x4") == []
    assert tree.phases(BASE)[0].sql.startswith("CREATE TABLE alembic_version")
    with pytest.raises(KeyError):
        tree.phases("elsewhere")


def test_a_revision_is_rendered_once_however_many_starts_there_are(
    make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(ADD_COLUMN, BUILD_INDEX)
    rendered: list[str] = []
    original = type(tree).render

    def counting(self: object, revision: object, *, downgrade: bool = False) -> str:
        rendered.append(revision.id)
        return original(self, revision, downgrade=downgrade)

    monkeypatch.setattr(type(tree), "render", counting)
    for start in (HEAD, "x1", HEAD):
        tree.phases(start)
    assert sorted(rendered) == ["x1", "x2"]
