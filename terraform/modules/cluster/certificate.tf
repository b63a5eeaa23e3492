# The certificate and the records of the load balancer, in a zone of the account; or a certificate that exists.

locals {
  certificate_arn = var.dns == null ? var.certificate_arn : aws_acm_certificate_validation.this[0].certificate_arn
  domain_names    = var.dns == null ? toset([]) : setunion([var.dns.domain_name], var.dns.alternative_names)
  record_types    = var.ipv6_enabled ? ["A", "AAAA"] : ["A"]
}

resource "aws_acm_certificate" "this" {
  count = var.dns == null ? 0 : 1

  domain_name               = var.dns.domain_name
  subject_alternative_names = setsubtract(var.dns.alternative_names, [var.dns.domain_name])
  validation_method         = "DNS"
  tags                      = var.tags

  # A listener holds the old one until it has the new one.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  # By name, which is known before the certificate is; a wildcard shares the record of its domain.
  for_each = local.domain_names

  zone_id         = var.dns.zone_id
  name            = local.validations[each.key].resource_record_name
  type            = local.validations[each.key].resource_record_type
  records         = [local.validations[each.key].resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

locals {
  validations = {
    for option in try(aws_acm_certificate.this[0].domain_validation_options, []) : option.domain_name => option
  }
}

resource "aws_acm_certificate_validation" "this" {
  count = var.dns == null ? 0 : 1

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

resource "aws_route53_record" "load_balancer" {
  for_each = {
    for pair in setproduct(local.domain_names, local.record_types) : "${pair[0]} ${pair[1]}" => { name = pair[0], type = pair[1] }
  }

  zone_id = var.dns.zone_id
  name    = each.value.name
  type    = each.value.type

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
