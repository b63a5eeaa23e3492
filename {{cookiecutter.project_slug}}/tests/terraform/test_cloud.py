"""What AWS refuses is one line that repeats nothing of what was sent, and what it throttles is tried again.

AWS is a server here that says what AWS's services say, also what cannot be had from an emulator.
"""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIND_USER = "DescribeUsers"
NO_USER = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>UserNotFound</Code><Message>none</Message></Error>"
    "</ErrorResponse>"
)
Answer = tuple[int, str]


@dataclass
class Service:
    """Answers each operation by its name; keeps what was asked."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, Callable[[str], Answer]] = field(default_factory=dict)

    def answer(self, operation: str, body: str) -> Answer:
        self.asked.append((operation, body))
        return self.answers[operation](body)

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    @property
    def password(self) -> str:
        """What was to be kept, as it was sent."""
        sent = next(body for operation, body in self.asked if operation == "CreateSecret")
        return str(json.loads(json.loads(sent)["SecretString"])["password"])


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            target = self.headers.get("X-Amz-Target", "")
            operation = target.rpartition(".")[2] or body.partition("Action=")[2].partition("&")[0]
            status, text = made.answer(operation, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing to a test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        made.answers[FIND_USER] = lambda _: (404, NO_USER)
        made.answers["DescribeSecret"] = lambda _: fault("ResourceNotFoundException", "no such secret")
        yield made
        server.shutdown()


def fault(code: str, message: str, status: int = 400) -> Answer:
    return status, json.dumps({"__type": code, "message": message})


def cache_user(service: Service, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make cache-user`, in a folder with a project's values."""
    root = project(folder)
    return subprocess.run(
        [sys.executable, "-m", "tools.deploy.secret_values", "cache-user"],
        cwd=root,
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": service.url, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "ENV": "dev",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def project(folder: Path) -> Path:
    """Values of a project, which the template has not, beside the commands that read them."""
    root = folder / "acme"
    shutil.copytree(ROOT / "tools/deploy", root / "tools/deploy")
    (root / "terraform/environments").mkdir(parents=True)
    (root / "terraform/environments/common.tfvars").write_text('slug = "acme"\nregion = "eu-west-1"\n')
    return root


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    return line.removeprefix("error: ")


def test_a_message_that_repeats_the_secret_is_not_shown(service: Service, tmp_path: Path) -> None:
    """Whole, in part, and escaped."""
    for shown in (str, lambda value: value[4:20], json.dumps, lambda value: value.replace('"', "&quot;")):

        def echo(body: str, shown: Callable[[str], str] = shown) -> Answer:
            sent = json.loads(body)["SecretString"]
            return fault("ValidationException", f"Value {shown(sent)} at 'secretString' is not allowed")

        service.asked.clear()
        service.answers["CreateSecret"] = echo
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        said = refused(cache_user(service, folder))
        assert said.startswith("CreateSecret failed: ValidationException: (its message repeats")
        assert service.password not in said


def test_what_aws_says_is_shown(service: Service, tmp_path: Path) -> None:
    service.answers["CreateSecret"] = lambda _: fault("LimitExceededException", "Too many\n secrets.")
    said = refused(cache_user(service, tmp_path))
    assert said == "CreateSecret failed: LimitExceededException: Too many secrets."


def test_a_denial_names_the_permission(service: Service, tmp_path: Path) -> None:
    service.answers["CreateSecret"] = lambda _: fault("AccessDeniedException", "User: arn:… is not", 403)
    said = refused(cache_user(service, tmp_path))
    assert said == "secretsmanager:CreateSecret is not allowed (AccessDeniedException)"
    assert "CreateUser" not in service.operations, "the secret is first"


def test_credentials_that_are_not_valid_any_more_say_so(service: Service, tmp_path: Path) -> None:
    service.answers["DescribeSecret"] = lambda _: fault("ExpiredTokenException", "The token has expired", 403)
    said = refused(cache_user(service, tmp_path))
    assert said.startswith("AWS does not accept the credentials (ExpiredTokenException): log in")


def test_throttling_is_waited_out(service: Service, tmp_path: Path) -> None:
    def throttled(_: str) -> Answer:
        if service.operations.count("CreateSecret") < 3:
            return fault("ThrottlingException", "Rate exceeded")
        return 200, json.dumps({"ARN": "arn", "Name": "acme-dev/cache-user"})

    service.answers["CreateSecret"] = throttled
    service.answers["CreateUser"] = lambda _: (
        200,
        "<CreateUserResponse><CreateUserResult/></CreateUserResponse>",
    )
    finished = cache_user(service, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert service.operations.count("CreateSecret") == 3
    tokens = {
        json.loads(body)["ClientRequestToken"] for name, body in service.asked if name == "CreateSecret"
    }
    assert len(tokens) == 1, "so that AWS makes it once"
    assert service.password not in finished.stderr


def test_a_page_of_a_proxy_is_no_answer_of_aws(service: Service, tmp_path: Path) -> None:
    service.answers[FIND_USER] = lambda _: (200, "<html><body>Please log in to the proxy")
    said = refused(cache_user(service, tmp_path))
    assert said.startswith("AWS did not answer (elasticache describe_users")
