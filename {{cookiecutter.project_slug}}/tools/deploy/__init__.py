"""What `make tf-…`, `make secrets` and `make task` run: Terraform's stacks and one-off work in AWS."""
