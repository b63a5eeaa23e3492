"""The tenants of the platform: registry, onboarding, first tenant."""

from app.tenants.registry import TenantRegistry

__all__ = ["TenantRegistry"]
