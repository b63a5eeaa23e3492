# The bucket of all states of the account, this stack's own among them.

module "state" {
  source = "../../modules/state"

  name          = var.slug
  region        = var.region
  force_destroy = var.force_destroy
}

# Whoever plans locks; only who applies writes, and a deployment applies the stack service alone.
locals {
  state_policies = {
    for name, writes in { deploy = ["service.tfstate", "service.tfstate.tflock"], plan = ["*.tflock"] } : name => {
      for environment in var.environments : environment => jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid      = "List"
            Effect   = "Allow"
            Action   = "s3:ListBucket"
            Resource = module.state.bucket_arn
          },
          {
            Sid      = "ReadStates"
            Effect   = "Allow"
            Action   = "s3:GetObject"
            Resource = "${module.state.bucket_arn}/${environment}/*"
          },
          {
            Sid      = "Write"
            Effect   = "Allow"
            Action   = "s3:PutObject"
            Resource = [for key in writes : "${module.state.bucket_arn}/${environment}/${key}"]
          },
          {
            Sid      = "Unlock"
            Effect   = "Allow"
            Action   = "s3:DeleteObject"
            Resource = [for key in writes : "${module.state.bucket_arn}/${environment}/${key}" if endswith(key, ".tflock")]
          },
          {
            Sid       = "UseKey"
            Effect    = "Allow"
            Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
            Resource  = module.state.kms_key_arn
            Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
          },
        ]
      })
    }
  }
}
