"""What tenants use: one event per request, written in batches."""
