# What a reader needs: the secrets it is for, and the key for them alone.

locals {
  read_policies = {
    for reader, names in var.readers : reader => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Read"
          Effect   = "Allow"
          Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
          Resource = [for name in sort(tolist(names)) : aws_secretsmanager_secret.this[name].arn]
        },
        {
          Sid      = "Decrypt"
          Effect   = "Allow"
          Action   = "kms:Decrypt"
          Resource = local.kms_key_arn
          Condition = {
            StringEquals = {
              "kms:EncryptionContext:SecretARN" = [for name in sort(tolist(names)) : aws_secretsmanager_secret.this[name].arn]
              "kms:ViaService"                  = "secretsmanager.${var.region}.amazonaws.com"
            }
          }
        },
      ]
    })
  }
}
