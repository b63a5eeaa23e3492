# What the other stacks made, from their states.

data "aws_caller_identity" "current" {}

locals {
  name = "${var.slug}-${var.environment}"
  # As the module state names the account's bucket.
  states = {
    bucket = "${var.slug}-terraform-state-${data.aws_caller_identity.current.account_id}"
    region = var.region
  }
  platform = data.terraform_remote_state.platform.outputs
}

data "terraform_remote_state" "platform" {
  backend = "s3"
  config  = merge(local.states, { key = "${var.environment}/platform.tfstate" })
}

data "aws_ecr_repository" "this" {
  name = var.slug
}
