# What a role needs to plan and apply the states under a prefix, and no others.

locals {
  access_policies = {
    for prefix in var.access_prefixes : prefix => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          # The names of the states are no secret, and without the list a state that does not exist yet reads as forbidden.
          Sid      = "List"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = aws_s3_bucket.this.arn
        },
        {
          Sid      = "ReadAndWriteStates"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject"]
          Resource = "${aws_s3_bucket.this.arn}/${prefix}*"
        },
        {
          Sid      = "Unlock"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = "${aws_s3_bucket.this.arn}/${prefix}*.tflock"
        },
        {
          Sid       = "UseKey"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = local.kms_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
        },
      ]
    })
  }
}
