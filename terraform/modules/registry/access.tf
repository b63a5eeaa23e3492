# What a role needs to push images, and what it needs to pull them.

locals {
  pull_actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  push_actions = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
  scan_actions = ["ecr:DescribeImages", "ecr:DescribeImageScanFindings"]

  access_policies = {
    for access, actions in {
      pull = local.pull_actions
      push = concat(local.pull_actions, local.push_actions, local.scan_actions)
      } : access => jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            # A token is for the registry as a whole; AWS knows no narrower resource for it.
            Sid      = "Login"
            Effect   = "Allow"
            Action   = "ecr:GetAuthorizationToken"
            Resource = "*"
          },
          {
            Sid      = "Images"
            Effect   = "Allow"
            Action   = actions
            Resource = aws_ecr_repository.this.arn
          },
        ]
    })
  }
}
