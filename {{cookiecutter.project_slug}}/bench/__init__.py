"""What the service costs, measured against a baseline in the same run."""
