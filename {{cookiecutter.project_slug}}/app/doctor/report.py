"""What a check found; for people one line each, for machines one JSON object."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    # It could not be looked at, because of another that failed.
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `found` and `todo` hold no secret."""

    check: str
    outcome: Outcome
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what is skipped hangs on something that did, or is not configured."""
        return not any(finding.outcome is Outcome.FAIL for finding in self.findings)

    def as_json(self) -> str:
        return json.dumps({"ok": self.ok, "checks": [asdict(finding) for finding in self.findings]})


def ok(check: str, found: str) -> Finding:
    return Finding(check, Outcome.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    return Finding(check, Outcome.WARN, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    return Finding(check, Outcome.FAIL, found, todo)


def skip(check: str, because: str) -> Finding:
    return Finding(check, Outcome.SKIP, because)
