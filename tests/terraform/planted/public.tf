resource "aws_lb" "good" {
  internal        = false
  subnets         = ["subnet-1", "subnet-2"]
  security_groups = [aws_security_group.balancer.id]

  enable_deletion_protection = true
}

resource "aws_security_group" "balancer" {
  vpc_id = "vpc-1"
}

resource "aws_vpc_security_group_ingress_rule" "good_web" {
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# caught by public
resource "aws_vpc_security_group_ingress_rule" "bad_port" {
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}

resource "aws_security_group" "database" {
  vpc_id = "vpc-1"
}

# caught by public
resource "aws_vpc_security_group_ingress_rule" "bad_group" {
  security_group_id = aws_security_group.database.id
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# caught by public
resource "aws_security_group_rule" "bad_old_kind" {
  type              = "ingress"
  security_group_id = aws_security_group.database.id
  cidr_blocks       = ["10.0.0.0/8", "0.0.0.0/0"]
  protocol          = "tcp"
  from_port         = 5432
  to_port           = 5432
}

# caught by public
resource "aws_security_group" "bad_inline" {
  vpc_id = "vpc-1"

  ingress {
    cidr_blocks = ["0.0.0.0/0"]
    protocol    = "tcp"
    from_port   = 5432
    to_port     = 5432
  }
}

# caught by public
resource "aws_lb" "bad_network" {
  internal                   = false
  load_balancer_type         = "network"
  subnets                    = ["subnet-1", "subnet-2"]
  enable_deletion_protection = true
}

# caught by public
resource "aws_subnet" "bad" {
  vpc_id                  = "vpc-1"
  cidr_block              = "10.0.0.0/24"
  map_public_ip_on_launch = true
}

# caught by public
resource "aws_ecs_service" "bad" {
  name = "bad"

  network_configuration {
    subnets          = ["subnet-1"]
    assign_public_ip = true
  }
}

# caught by public
resource "aws_launch_template" "bad_public_address" {
  network_interfaces {
    associate_public_ip_address = "true"
  }

  block_device_mappings {
    device_name = "/dev/sdb"

    ebs {
      encrypted = "true"
    }
  }
}

# caught by public
resource "aws_db_instance" "bad_public" {
  instance_class          = "db.t4g.micro"
  publicly_accessible     = true
  storage_encrypted       = true
  deletion_protection     = true
  backup_retention_period = 7
  skip_final_snapshot     = false
}

# Closed, encrypted, and only by TLS.
resource "aws_s3_bucket" "good" {
  bucket = "good"
}

resource "aws_s3_bucket_public_access_block" "good" {
  bucket                  = aws_s3_bucket.good.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "good" {
  bucket = aws_s3_bucket.good.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_policy" "good" {
  bucket = aws_s3_bucket.good.id

  policy = jsonencode({
    Statement = [{
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = "*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# caught by public, encryption, tls, unprotected
resource "aws_s3_bucket" "bad" {
  bucket        = "bad"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "bad_too_little" {
  bucket            = aws_s3_bucket.bad.id
  block_public_acls = true
}

# caught by public
resource "aws_s3_bucket_policy" "bad" {
  bucket = aws_s3_bucket.bad.id

  policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "*" }
      Action    = "s3:GetObject"
      Resource  = "arn:aws:s3:::bad/*"
    }]
  })
}
