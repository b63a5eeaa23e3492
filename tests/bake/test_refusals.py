"""Bad answers are refused, one clear line for each, and nothing is left behind.

cookiecutter itself adds the traceback of its own exception; the lines of the hook stand beside it.
"""

from collections.abc import Callable

import pytest

from tests.conftest import Bake

REFUSED = [
    ("project_slug", "Acme"),
    ("project_slug", "acme_platform"),
    ("project_slug", "1acme"),
    ("project_slug", "-acme"),
    ("project_slug", "acme-"),
    ("project_slug", "acme--platform"),
    ("project_slug", "ac"),
    ("project_slug", "a" * 22),
    ("project_slug", "internal-tools"),
    ("project_slug", "internal"),
    ("project_slug", "sg-shop"),
    ("project_slug", "aws-tools"),
    ("project_slug", "../acme"),
    ("project_name", ""),
    ("project_name", "x" * 61),
    ("project_name", 'a"b'),
    ("project_name", "a$(id)"),
    ("project_name", "a`id`"),
    ("project_name", "line\nbreak"),
    ("project_name", "{7}"),
    ("project_name", "back\\slash"),
    ("description", "x" * 201),
    ("description", "a\x1b[31m"),
    ("owner", "<script>"),
    ("owner", " padded "),
    ("admin_email", "nobody"),
    ("admin_email", "a@b"),
    ("admin_email", "a@@example.com"),
    ("admin_email", "a b@example.com"),
    ("admin_email", ".a@example.com"),
    ("admin_email", "a@example.local"),
    ("admin_email", "a@-example.com"),
    ("admin_email", "a@example.com\nAPP_ENVIRONMENT=production"),
    ("first_tenant_name", ""),
    ("first_tenant_name", "x" * 101),
    ("first_tenant_name", "a\nAPP_SECRET_KEY=x"),
    ("aws_region", "mars-north-1"),
    ("aws_region", "us-east"),
    ("aws_region", ""),
    ("domain_name", "https://example.com"),
    ("domain_name", "example"),
    ("domain_name", "Example.com"),
    ("domain_name", "example.com/path"),
    ("domain_name", "exam_ple.com"),
    ("domain_name", "10.0.0.1"),
    ("domain_name", "example.localhost"),
]


@pytest.mark.parametrize(("question", "answer"), REFUSED)
def test_a_bad_answer_is_refused_in_one_line(bake: Callable[..., Bake], question: str, answer: str) -> None:
    # A slug follows from the name, so name one when it is the name that is bad.
    good = {} if question == "project_slug" else {"project_slug": "acme"}
    result = bake(**good, **{question: answer})
    assert result.code != 0
    lines = [line for line in result.output.splitlines() if line.startswith(f"{question}: ")]
    assert len(lines) == 1, result.output
    assert "allowed" in lines[0]
    assert list(result.folder.iterdir()) == []


def test_a_template_typed_at_the_prompt_is_refused_not_evaluated(bake: Callable[..., Bake]) -> None:
    """On the command line cookiecutter evaluates an answer before any hook sees it; at the prompt, never."""
    result = bake(typed="{{ 7 * 7 }}\nacme\n" + "\n" * 8)
    assert result.code != 0
    assert "project_name: '{{ 7 * 7 }}' is not possible" in result.output
    assert list(result.folder.iterdir()) == []


def test_every_fault_has_its_line(bake: Callable[..., Bake]) -> None:
    result = bake(project_slug="A", admin_email="x", aws_region="x", domain_name="x")
    named = {line.split(":")[0] for line in result.output.splitlines() if "allowed" in line}
    assert named == {"project_slug", "admin_email", "aws_region", "domain_name"}


@pytest.mark.parametrize("answer", ["maybe", ""])
def test_an_unknown_choice_is_refused(bake: Callable[..., Bake], answer: str) -> None:
    if not answer:
        assert bake(license=answer).code != 0
    assert bake(bootstrap="maybe").code != 0


@pytest.mark.parametrize(
    "answers",
    [
        {"project_slug": "a" * 21},
        {"project_slug": "abc"},
        {"project_slug": "a1-b2-c3"},
        {"project_name": "Ünïcode 東京 😀", "project_slug": "tokyo"},
        {"admin_email": "first.last+tag@sub.example.co.uk"},
        {"aws_region": "us-gov-west-1"},
        {"domain_name": "a-b.c-d.example.io"},
    ],
)
def test_good_answers_are_accepted(bake: Callable[..., Bake], answers: dict[str, str]) -> None:
    result = bake(**answers)
    assert result.code == 0, result.output
    assert (result.project / "project.env").exists()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Acme Platform", "acme-platform"),
        ("Ünï çode", "uni-code"),
        ("Acme,  the  Platform", "acme-the-platform"),
        ("The Very Long Name of a Product", "the-very-long-name-of"),
        ("Twenty Characters Ha Ha", "twenty-characters-ha"),
        ("3D Printing", "d-printing"),
        ("O'Brien's Café #1", "o-brien-s-cafe-1"),
    ],
)
def test_an_ordinary_name_makes_a_slug_that_is_accepted(
    bake: Callable[..., Bake], name: str, slug: str
) -> None:
    result = bake(project_name=name)
    assert result.code == 0, result.output
    assert result.project.name == slug
