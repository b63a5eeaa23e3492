"""Resources over HTTP: strangers first, then what the owner can do, then what is refused."""

import uuid
from typing import Any

import pytest

from tests.conftest import TestTenant

PATH = "/v1/resources"


async def test_create_and_read_back(tenant: TestTenant) -> None:
    created = await tenant.client.post(PATH, json={"name": "a", "data": {"x": [1, 2.5, None, "ü"]}})
    assert created.status_code == 201, created.text
    read = await tenant.client.get(created.headers["location"])
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, created.json(), '"1"')
