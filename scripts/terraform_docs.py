"""Writes the tables of inputs and outputs into the READMEs of the Terraform modules, from their declarations.

`--check` writes nothing and fails when a README is behind.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2

MODULES = Path(__file__).resolve().parents[1] / "terraform" / "modules"
BEGIN, END = "<!-- inputs and outputs -->", "<!-- end -->"
# Values arrive as they are written in HCL.
OPTIONS = hcl2.SerializationOptions(
    with_comments=False, wrap_objects=True, wrap_tuples=True, explicit_blocks=False, preserve_heredocs=False
)


class DocumentationError(Exception):
    """A README or a declaration cannot be used; the text names it."""


def main(arguments: list[str]) -> int:
    """Exit code 1 when a README is behind, or cannot be written."""
    check = "--check" in arguments
    behind = []
    try:
        for module in sorted(path.parent for path in MODULES.glob("*/README.md")):
            readme = module / "README.md"
            text = readme.read_text()
            filled = fill(text, tables(module), readme)
            if filled != text:
                behind.append(str(readme.relative_to(MODULES.parents[1])))
                if not check:
                    readme.write_text(filled)
    except DocumentationError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    for name in behind:
        print(f"behind, run `make terraform-docs`: {name}" if check else f"written: {name}")
    return 1 if behind and check else 0


def fill(text: str, between: str, readme: Path) -> str:
    """Raises DocumentationError when the place for the tables is not marked, once and in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DocumentationError(f"{readme} needs one line `{BEGIN}` and, below it, one `{END}`")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{between}\n{END}{rest.split(END)[1]}"


def tables(module: Path) -> str:
    """Required inputs first, then by name. Raises DocumentationError for one without a description."""
    inputs = sorted(declarations(module, "variable"), key=lambda item: ("default" in item[1], item[0]))
    outputs = sorted(declarations(module, "output"))
    rows = ["## Inputs", "", "| name | what | type | default |", "|---|---|---|---|"]
    for name, body in inputs:
        default = code(written(body["default"])) if "default" in body else "required"
        kind = code(written(body.get("type", "any")))
        rows.append(f"| `{name}` | {description(name, body)} | {kind} | {default} |")
    rows += ["", "## Outputs", "", "| name | what |", "|---|---|"]
    rows += [f"| `{name}` | {description(name, body)} |" for name, body in outputs]
    return "\n".join(rows) + "\n"


def declarations(module: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(module.glob("*.tf")):
        try:
            content: dict[str, Any] = hcl2.loads(path.read_text(), serialization_options=OPTIONS)
        except Exception as fault:
            raise DocumentationError(f"{path} cannot be read: {fault}") from fault
        for block in content.get(kind, []):
            for name, body in block.items():
                yield name.strip('"'), body


def description(name: str, body: dict[str, Any]) -> str:
    text = " ".join(written(body.get("description", "")).strip('"').replace("\\n", " ").split())
    if not text:
        raise DocumentationError(f"`{name}` has no description")
    return text.replace('\\"', '"').replace("|", "\\|").replace("<", "&lt;")


def written(value: Any) -> str:
    """The HCL of a value, without the template braces that the parser puts around an expression."""
    match = re.fullmatch(r"\$\{(.*)\}", str(value), re.DOTALL)
    if match:
        return match[1]
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def code(text: str) -> str:
    """In one line, and safe in a cell."""
    return f"`{' '.join(text.split())}`".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
