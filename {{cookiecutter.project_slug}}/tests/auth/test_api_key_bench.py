"""The benchmark of a known key runs, and finds it within its budget."""

from fastapi import FastAPI

from bench.api_key import BUDGET_US, measure
from tests.conftest import TestTenant


async def test_a_known_key_costs_no_more_than_its_budget(app: FastAPI, tenant: TestTenant) -> None:
    """Of CPU, so that a busy machine does not matter much; with room for a slow one."""
    token = str(tenant.client.headers["Authorization"])
    key = {"x-api-key": tenant.credentials.api_key}
    variants = {"access token": {"authorization": token}, "API key": key, "API key, changed lately": key}
    costs = {cost.variant: cost for cost in await measure(app, variants, requests=2_000)}
    assert list(costs) == list(variants)
    for name in ("API key", "API key, changed lately"):
        assert 0 < costs[name].cpu_us < 2 * BUDGET_US
