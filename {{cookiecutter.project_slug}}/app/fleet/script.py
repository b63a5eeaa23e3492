"""A tree of revisions as SQL: each revision is rendered once, and a way through them is cut into phases."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, TextIO

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from app.core.migrations import Tree, alembic_config, render_sql, versions_folder
from app.fleet.errors import RevisionRefused
from app.fleet.sql import IndexStatement, is_transaction_control, split_statements

BASE: Final = "base"


@dataclass(frozen=True, slots=True)
class Phase:
    """What runs together, as SQL that ends by recording `end` in alembic_version.

    Either revisions that fit in one transaction, or the `indexes` of one revision, which are built outside of
    any; `sql` is then the recording alone.
    """

    start: str
    end: str
    sql: str
    indexes: tuple[IndexStatement, ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision and the file it is in; `down` is the one before it."""

    id: str
    down: str | None
    path: Path


@dataclass(frozen=True)
class RevisionTree:
    """The revisions of one tree, in a line from base to head. `versions` may be any folder of revisions."""

    name: Tree
    versions: Path | None = None
    _rendered: dict[str, Phase] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def revisions(self) -> tuple[Revision, ...]:
        """From the first to the head. Raises RevisionRefused when they are no line, or cannot be read."""
        found = self._load()
        if not found:
            raise RevisionRefused(f"the {self.name} tree has no revision")
        following: dict[str | None, list[Revision]] = {}
        for revision in found:
            following.setdefault(revision.down, []).append(revision)
        line: list[Revision] = []
        while next_ones := following.get(line[-1].id if line else None):
            if len(next_ones) > 1:
                names = " and ".join(sorted(revision.path.name for revision in next_ones))
                raise RevisionRefused(f"the {self.name} tree has several heads: {names} follow the same one")
            line.append(next_ones[0])
        return tuple(line)

    @property
    def head(self) -> str:
        """The newest revision."""
        return self.revisions[-1].id

    @property
    def folder(self) -> Path:
        return self.versions or versions_folder(self.name)

    def knows(self, revision: str) -> bool:
        """Whether a revision is in this tree."""
        return any(known.id == revision for known in self.revisions)

    def after(self, start: str) -> Sequence[Revision]:
        """The revisions that follow one, up to the head. Raises KeyError for one that is not in the tree."""
        if start == BASE:
            return self.revisions
        for position, revision in enumerate(self.revisions):
            if revision.id == start:
                return self.revisions[position + 1 :]
        raise KeyError(start)

    def phases(self, start: str) -> list[Phase]:
        """What brings a schema from a revision to the head, in as few transactions as can be."""
        phases: list[Phase] = []
        for following in map(self.phase, self.after(start)):
            last = phases[-1] if phases else None
            if last is None or following.indexes or last.indexes:
                phases.append(following)
            else:
                phases[-1] = Phase(last.start, following.end, f"{last.sql}\n\n{following.sql}")
        return phases

    def phase(self, revision: Revision) -> Phase:
        """A revision's upgrade alone, rendered the first time it is asked for."""
        if revision.id not in self._rendered:
            self._rendered[revision.id] = self._phase(revision)
        return self._rendered[revision.id]

    def render(self, revision: Revision, *, downgrade: bool = False) -> str:
        """Alembic's rendering. Raises whatever the revision raises."""
        start, end = revision.down or BASE, revision.id
        if downgrade:
            start, end = end, start
        with _prints_aside():
            return render_sql(self.name, start, end, versions=self.versions, downgrade=downgrade)

    def _phase(self, revision: Revision) -> Phase:
        start, sql = revision.down or BASE, self.render(revision)
        statements = split_statements(sql)
        if not any(map(is_transaction_control, statements)):
            return Phase(start, revision.id, sql)
        # The lint has seen to it that this is COMMIT, the indexes, BEGIN, the recording.
        indexes = [index for index in map(IndexStatement.parse, statements[1:-2]) if index]
        return Phase(start, revision.id, f"{statements[-1]};", tuple(indexes))

    def _load(self) -> list[Revision]:
        try:
            with warnings.catch_warnings(), _prints_aside():
                # Alembic only warns of a revision that is there twice, and takes one of them.
                warnings.simplefilter("error", UserWarning)
                directory = ScriptDirectory.from_config(alembic_config(self.name, versions=self.versions))
                scripts = list(directory.walk_revisions())
        except TypeError as error:
            raise RevisionRefused(
                f"the {self.name} tree cannot be read{_file_of(error, self.folder)}: {error}; in each file"
                " `revision` must be text, and `down_revision` text or None"
            ) from error
        # Each file is code of the project's own, which may raise anything, also a wish to exit.
        except (Exception, SystemExit) as error:
            at = _file_of(error, self.folder)
            said = (
                error if isinstance(error, CommandError | UserWarning) else f"{type(error).__name__}: {error}"
            )
            raise RevisionRefused(f"the {self.name} tree cannot be read{at}: {said}") from error
        return [self._revision(script.revision, script.down_revision, script.path) for script in scripts]

    def _revision(self, revision: object, down: object, path: str) -> Revision:
        if not isinstance(revision, str):
            raise RevisionRefused(
                f"the {self.name} tree cannot be read ({Path(path).name}): its id is no text"
            )
        if down is not None and not isinstance(down, str):
            raise RevisionRefused(
                f"{self.name} revision {revision} ({Path(path).name}): it merges several, and revisions are a"
                " line; write them one after the other"
            )
        return Revision(revision, down, Path(path))


def _prints_aside() -> redirect_stdout[TextIO]:
    """What a revision prints goes to stderr: on stdout stands an answer that programs read."""
    return redirect_stdout(sys.stderr)


def _file_of(error: BaseException, folder: Path) -> str:
    """The revision that raised it, in brackets; nothing where the whole tree is at fault."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        files.append(Path(error.filename))
    names = [file.name for file in files if file.parent.resolve() == folder.resolve()]
    return f" ({names[-1]})" if names else ""
