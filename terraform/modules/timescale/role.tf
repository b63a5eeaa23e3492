# What the instance may do: take its volume, read its secret, set its name, ask to be replaced, and take sessions.

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
}

resource "aws_iam_role" "this" {
  count = local.server_count

  name        = local.identifier
  description = "Instance of ${local.identifier}"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "this" {
  count = local.server_count

  name = local.identifier
  role = aws_iam_role.this[0].name
  tags = var.tags
}

# Sessions instead of SSH: no port, no key, and each one is recorded by CloudTrail.
resource "aws_iam_role_policy_attachment" "session" {
  count = local.server_count

  role       = aws_iam_role.this[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "this" {
  #checkov:skip=CKV_AWS_290:Describing volumes has no resource-level permission; everything that writes names its resource
  #checkov:skip=CKV_AWS_355:Describing volumes has no resource-level permission; everything that writes names its resource
  count = local.server_count

  name = "run-database"
  role = aws_iam_role.this[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # EC2 offers no resource-level permission for it.
          Sid      = "FindVolume"
          Effect   = "Allow"
          Action   = "ec2:DescribeVolumes"
          Resource = "*"
        },
        {
          # There is no right to detach: only a volume that was let go of can be taken.
          Sid       = "TakeVolume"
          Effect    = "Allow"
          Action    = "ec2:AttachVolume"
          Resource  = "arn:${local.partition}:ec2:${var.region}:${local.account_id}:volume/*"
          Condition = { StringEquals = { "aws:ResourceTag/${local.volume_tag}" = local.identifier } }
        },
        {
          Sid       = "TakeVolumeToInstance"
          Effect    = "Allow"
          Action    = "ec2:AttachVolume"
          Resource  = "arn:${local.partition}:ec2:${var.region}:${local.account_id}:instance/*"
          Condition = { StringEquals = { "aws:ResourceTag/${local.instance_tag}" = local.identifier } }
        },
        {
          # EC2 opens the volume with a grant that it makes in the instance's name.
          Sid       = "OpenVolume"
          Effect    = "Allow"
          Action    = "kms:CreateGrant"
          Resource  = [local.kms_key_arn]
          Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
        },
        {
          Sid       = "UseKeyOfVolume"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
          Resource  = [local.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "ec2.${var.region}.amazonaws.com" } }
        },
        {
          Sid      = "ReadLogin"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = [var.secret_arn]
        },
        {
          Sid      = "SetOwnName"
          Effect   = "Allow"
          Action   = "route53:ChangeResourceRecordSets"
          Resource = ["arn:${local.partition}:route53:::hostedzone/${local.zone_id}"]
          Condition = {
            "ForAllValues:StringEquals" = {
              "route53:ChangeResourceRecordSetsActions"               = ["UPSERT"]
              "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [local.record_name]
              "route53:ChangeResourceRecordSetsRecordTypes"           = ["A"]
            }
          }
        },
        {
          Sid      = "AskForReplacement"
          Effect   = "Allow"
          Action   = "autoscaling:SetInstanceHealth"
          Resource = [local.group_arn]
        },
      ],
      var.secret_kms_key_arn == null ? [] : [{
        Sid       = "OpenLogin"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = [var.secret_kms_key_arn]
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
      }],
    )
  })
}
