"""The sample tenant-owned resource: the feature to copy when you add your own."""
