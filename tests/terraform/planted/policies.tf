resource "aws_iam_role" "good" {
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# caught by public
resource "aws_iam_role" "bad_for_anybody" {
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "good" {
  role = aws_iam_role.good.id

  policy = jsonencode({
    Statement = [
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      { Effect = "Allow", Action = "s3:*", Resource = "arn:aws:s3:::good/*" },
      { Effect = "Deny", Action = "*", Resource = "*" },
    ]
  })
}

# caught by wide_policies
resource "aws_iam_role_policy" "bad" {
  role = aws_iam_role.good.id

  policy = jsonencode({
    Statement = { Effect = "Allow", Action = "*", Resource = "*" }
  })
}

# caught by wide_policies
resource "aws_iam_policy" "bad_service" {
  policy = jsonencode({
    Statement = [{ Effect = "Allow", Action = ["logs:PutLogEvents", "s3:*"], Resource = ["*"] }]
  })
}

# caught by wide_policies
resource "aws_iam_policy" "bad_all_but" {
  policy = jsonencode({
    Statement = [{ Effect = "Allow", NotAction = "iam:*", Resource = "*" }]
  })
}

# caught by wide_policies
resource "aws_iam_role_policy_attachment" "bad" {
  role       = aws_iam_role.good.id
  policy_arn = "arn:aws:iam::aws:policy/AdministratorAccess"
}

# Not known before an apply, but for its constants.
# caught by wide_policies
data "aws_iam_policy_document" "bad" {
  statement {
    actions   = ["dynamodb:*"]
    resources = ["*"]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.good.arn]
  }
}

resource "aws_iam_policy" "good_document" {
  policy = data.aws_iam_policy_document.bad.json
}
