// Package terratest applies examples with Terratest: a second opinion beside the Python tests, through outputs.
//
// It needs an emulator of AWS. In the template's root:
//
//	python -m tests.aws_emulator go -C tests/terratest test ./...
package terratest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/gruntwork-io/terratest/modules/terraform"
)

// What the emulator is not asked, and an account number that is looked up, as references to security groups need.
const provider = `provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = false
  s3_use_path_style           = true
  max_retries                 = 2
}
`

// Every example here takes seconds; those that wait for minutes are left to the Python tests.
var examples = []struct {
	name      string
	output    string
	shape     *regexp.Regexp
	variables map[string]string
}{
	{"github_oidc", "role_arns", regexp.MustCompile(`arn:aws:iam::\d{12}:role/`), nil},
	{"registry", "repository_url", regexp.MustCompile(`\d{12}\.dkr\.ecr\.`), nil},
	{
		"secrets", "arns", regexp.MustCompile(`arn:aws:secretsmanager:`),
		map[string]string{"TF_VAR_session_key": "a-value-that-no-state-holds"},
	},
}

func TestExamples(t *testing.T) {
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Skip("AWS_ENDPOINT_URL is not set: there is no emulator of AWS to apply to")
	}

	for _, example := range examples {
		t.Run(example.name, func(t *testing.T) {
			options := terraform.WithDefaultRetryableErrors(t, &terraform.Options{
				TerraformDir: copyExample(t, example.name),
				EnvVars:      example.variables,
				NoColor:      true,
			})
			defer terraform.Destroy(t, options)
			terraform.InitAndApplyAndIdempotent(t, options)

			value := terraform.OutputJson(t, options, example.output)
			if !example.shape.MatchString(value) {
				t.Errorf("output %s is %s, which does not match %s", example.output, value, example.shape)
			}
		})
	}
}

// copyExample copies the modules and examples, so that nothing is written beside them.
func copyExample(t *testing.T, name string) string {
	t.Helper()

	copied := filepath.Join(t.TempDir(), "terraform")
	if err := os.CopyFS(copied, os.DirFS("../../terraform")); err != nil {
		t.Fatal(err)
	}

	root := filepath.Join(copied, "examples", name)
	if err := os.WriteFile(filepath.Join(root, "terrace_override.tf"), []byte(provider), 0o600); err != nil {
		t.Fatal(err)
	}

	return root
}
