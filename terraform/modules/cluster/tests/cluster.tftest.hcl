# Plans on a mocked provider: what is made, what each option changes, and what is refused.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:aws-waf-logs-mock" }
  }

  mock_resource "aws_lb" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/acme-staging/0123456789abcdef"
      arn_suffix = "app/acme-staging/0123456789abcdef"
    }
  }

  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/acme-staging/0123456789abcdef/0123" }
  }

  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/acme-staging/1" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::acme-staging-alb-logs-123456789012" }
  }

  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:eu-west-1:123456789012:certificate/made"
      domain_validation_options = [
        { domain_name = "api.example.com", resource_record_name = "_1.api.example.com", resource_record_type = "CNAME", resource_record_value = "_1.acm" },
        { domain_name = "*.example.com", resource_record_name = "_2.example.com", resource_record_type = "CNAME", resource_record_value = "_2.acm" },
      ]
    }
  }

  mock_resource "aws_acm_certificate_validation" {
    defaults = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/made" }
  }

  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/acme-staging" }
  }
}

variables {
  name              = "acme-staging"
  region            = "eu-west-1"
  vpc_id            = "vpc-1"
  public_subnet_ids = ["subnet-a", "subnet-b"]
  dns = {
    zone_id     = "Z1"
    domain_name = "api.example.com"
  }
}

run "defaults_are_safe" {
  command = apply

  assert {
    condition     = aws_lb.this.enable_deletion_protection && aws_lb.this.drop_invalid_header_fields && aws_lb.this.desync_mitigation_mode == "strictest"
    error_message = "the load balancer must be protected, drop invalid headers and mitigate desync attacks"
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled && aws_lb.this.access_logs[0].bucket == aws_s3_bucket.access_logs.id
    error_message = "access logs must be written to the module's bucket"
  }

  assert {
    condition     = aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.https.default_action[0].fixed_response[0].status_code == "404"
    error_message = "HTTPS must need TLS 1.2 and answer 404 to what no service claims"
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS" && aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_301"
    error_message = "HTTP must only redirect"
  }

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation
    error_message = "the module's own key must rotate"
  }

  assert {
    condition = alltrue([
      for group in [aws_cloudwatch_log_group.exec, aws_cloudwatch_log_group.insights, aws_cloudwatch_log_group.waf] :
      group.kms_key_id == aws_kms_key.this[0].arn && group.retention_in_days == 90
    ])
    error_message = "every log group must be encrypted and expire"
  }

  assert {
    condition = alltrue([
      for setting in aws_ecs_cluster.this.setting : setting.value == "enabled" if setting.name == "containerInsights"
    ]) && aws_ecs_cluster.this.configuration[0].execute_command_configuration[0].log_configuration[0].cloud_watch_encryption_enabled
    error_message = "Container Insights and encrypted execute-command logs must be on"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.access_logs.block_public_acls,
      aws_s3_bucket_public_access_block.access_logs.block_public_policy,
      aws_s3_bucket_public_access_block.access_logs.ignore_public_acls,
      aws_s3_bucket_public_access_block.access_logs.restrict_public_buckets,
      !aws_s3_bucket.access_logs.force_destroy,
      aws_s3_bucket_lifecycle_configuration.access_logs.rule[0].expiration[0].days == 90,
    ])
    error_message = "the log bucket must be closed, expire its files and not be emptied by a destroy"
  }

  assert {
    condition = [
      for statement in jsondecode(aws_s3_bucket_policy.access_logs.policy).Statement : statement.Principal if statement.Effect == "Allow"
    ] == [{ Service = "logdelivery.elasticloadbalancing.amazonaws.com" }]
    error_message = "only the load balancer's log delivery may write to the bucket"
  }

  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.load_balancer)) == toset(["everybody-http", "everybody-https"])
    error_message = "only ports 80 and 443 are open"
  }

  assert {
    condition     = toset(keys(aws_route53_record.load_balancer)) == toset(["api.example.com A"])
    error_message = "without IPv6 there is an A record only"
  }

  assert {
    condition     = output.certificate_arn == "arn:aws:acm:eu-west-1:123456789012:certificate/made"
    error_message = "the listener waits for the validated certificate"
  }
}

run "the_firewall_blocks_logs_and_is_attached" {
  command = apply

  assert {
    condition = toset(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [
        for statement in rule.statement : [for group in statement.managed_rule_group_statement : group.name]
      ]
    ])) == toset(["AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesCommonRuleSet"])
    error_message = "AWS's common, bad-input and reputation rules must be there"
  }

  assert {
    condition = anytrue(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [
        for statement in rule.statement : [for rate in statement.rate_based_statement : rate.limit == 2000]
      ]
    ]))
    error_message = "an address must be limited"
  }

  assert {
    condition = flatten([
      for rule in aws_wafv2_web_acl.this.rule : [
        for statement in rule.statement : [
          for group in statement.managed_rule_group_statement : [for override in group.rule_action_override : override.name]
        ]
      ]
    ]) == ["SizeRestrictions_BODY"]
    error_message = "only the body size rule counts instead of blocking"
  }

  assert {
    condition     = aws_wafv2_web_acl_association.this.resource_arn == aws_lb.this.arn && startswith(aws_cloudwatch_log_group.waf.name, "aws-waf-logs-")
    error_message = "the firewall must stand before the load balancer and log where it can"
  }

  assert {
    condition = toset([
      for field in aws_wafv2_web_acl_logging_configuration.this.redacted_fields : field.single_header[0].name
    ]) == toset(["authorization", "cookie", "x-api-key"])
    error_message = "credentials must not be logged"
  }
}

run "a_certificate_of_ones_own_makes_no_dns" {
  command = plan

  variables {
    dns             = null
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/given"
  }

  assert {
    condition     = length(aws_acm_certificate.this) == 0 && length(aws_route53_record.validation) == 0 && length(aws_route53_record.load_balancer) == 0
    error_message = "no certificate and no record may be made"
  }

  assert {
    condition     = aws_lb_listener.https.certificate_arn == "arn:aws:acm:eu-west-1:123456789012:certificate/given"
    error_message = "the listener must use the given certificate"
  }
}

run "ipv6_and_alternative_names_make_their_records" {
  command = plan

  variables {
    ipv6_enabled = true
    ingress_cidr_blocks = {
      office = "203.0.113.0/24"
      six    = "2001:db8::/32"
    }
    dns = {
      zone_id           = "Z1"
      domain_name       = "api.example.com"
      alternative_names = ["*.example.com"]
    }
  }

  assert {
    condition = toset(keys(aws_route53_record.load_balancer)) == toset([
      "api.example.com A", "api.example.com AAAA", "*.example.com A", "*.example.com AAAA",
    ])
    error_message = "each name needs both records"
  }

  assert {
    condition     = aws_lb.this.ip_address_type == "dualstack" && length(aws_route53_record.validation) == 2
    error_message = "the load balancer must have IPv6, and every name its validation"
  }

  assert {
    condition = alltrue([
      aws_vpc_security_group_ingress_rule.load_balancer["office-https"].cidr_ipv4 == "203.0.113.0/24",
      aws_vpc_security_group_ingress_rule.load_balancer["office-https"].cidr_ipv6 == null,
      aws_vpc_security_group_ingress_rule.load_balancer["six-http"].cidr_ipv6 == "2001:db8::/32",
      aws_vpc_security_group_ingress_rule.load_balancer["six-http"].cidr_ipv4 == null,
    ])
    error_message = "each block must be used as what it is"
  }
}

run "everybody_is_let_in_over_ipv6_too" {
  command = plan

  variables {
    ipv6_enabled = true
  }

  assert {
    condition = { for name, rule in aws_vpc_security_group_ingress_rule.load_balancer : name => rule.cidr_ipv6 != null ? rule.cidr_ipv6 : rule.cidr_ipv4 } == {
      everybody-http       = "0.0.0.0/0"
      everybody-https      = "0.0.0.0/0"
      everybody-ipv6-http  = "::/0"
      everybody-ipv6-https = "::/0"
    }
    error_message = "who has the AAAA record must be let in"
  }
}

run "nobody_is_let_in_over_ipv6_unasked" {
  command = plan

  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.load_balancer)) == toset(["everybody-http", "everybody-https"])
    error_message = "without IPv6 there is no rule of it"
  }
}

run "options_reach_what_they_are_for" {
  command = plan

  variables {
    access_logs                        = { retention_days = 400, force_destroy = true }
    container_insights                 = "enhanced"
    deletion_protection                = false
    idle_timeout                       = 30
    kms_key_arn                        = "arn:aws:kms:eu-west-1:123456789012:key/given"
    log_retention_days                 = 365
    ssl_policy                         = "ELBSecurityPolicy-TLS13-1-3-2021-06"
    tags                               = { team = "platform" }
    waf                                = { rate_limit = 500, count_rules = ["NoUserAgent_HEADER"] }
    default_capacity_provider_strategy = { FARGATE = { weight = 1, base = 2 }, FARGATE_SPOT = { weight = 4 } }
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_cloudwatch_log_group.waf.kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/given"
    error_message = "a given key must be used, and none made"
  }

  assert {
    condition     = aws_s3_bucket.access_logs.force_destroy && aws_s3_bucket_lifecycle_configuration.access_logs.rule[0].expiration[0].days == 400
    error_message = "access_logs must reach the bucket"
  }

  assert {
    condition     = !aws_lb.this.enable_deletion_protection && aws_lb.this.idle_timeout == 30 && aws_lb_listener.https.ssl_policy == "ELBSecurityPolicy-TLS13-1-3-2021-06"
    error_message = "the load balancer's options must reach it"
  }

  assert {
    condition     = aws_cloudwatch_log_group.exec.retention_in_days == 365 && alltrue([for setting in aws_ecs_cluster.this.setting : setting.value == "enhanced"])
    error_message = "the cluster's options must reach it"
  }

  assert {
    condition = {
      for strategy in aws_ecs_cluster_capacity_providers.this.default_capacity_provider_strategy :
      strategy.capacity_provider => "${strategy.base} ${strategy.weight}"
    } == { FARGATE = "2 1", FARGATE_SPOT = "0 4" }
    error_message = "the default strategy must reach the cluster"
  }

  assert {
    condition     = aws_lb.this.tags["team"] == "platform" && aws_security_group.load_balancer.tags["team"] == "platform" && aws_ecs_cluster.this.tags["team"] == "platform"
    error_message = "tags must reach what is made"
  }
}
