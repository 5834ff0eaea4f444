package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"authferry/internal/config/document"
)

// TestSealByEnvironment: a container's seal key is given as its other secrets are.
func TestSealByEnvironment(t *testing.T) {
	const key = "# public key: age1...\nAGE-SECRET-KEY-CANARY\n"
	for _, test := range []struct{ name, variable, value, want string }{
		{"the key itself", "AUTHFERRY_SEAL", key, "env:AUTHFERRY_SEAL"},
		{"a file with it", "AUTHFERRY_SEAL_FILE", "$DIR/key", "file:$DIR/key"},
		{"where it is", "AUTHFERRY_SEAL", "file:$DIR/key", "file:$DIR/key"},
		{"a file with where it is", "AUTHFERRY_SEAL_FILE", "$DIR/place", "env:KEY"},
		{"a variable of ours", "AUTHFERRY_SEAL", "env:AUTHFERRY_KEY", "env:AUTHFERRY_KEY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := environmentTest(t, map[string]string{"key": key, "place": "env:KEY\n"},
				map[string]string{test.variable: test.value, "AUTHFERRY_KEY": key})
			unknown := test.want != "env:AUTHFERRY_KEY" // then nothing says what AUTHFERRY_KEY is for
			if unknown {
				if err == nil || strings.Contains(err.Error(), "CANARY") || strings.Count(err.Error(), "\n") != 0 {
					t.Fatalf("%v", err)
				}
				if err := os.Unsetenv("AUTHFERRY_KEY"); err != nil {
					t.Fatal(err)
				}
				c, err = Load(document.InEnvironment)
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(test.want, "$DIR", filepath.Dir(strings.TrimPrefix(c.Seal, "file:"))); c.Seal != want {
				t.Errorf("seal is %q, want %q", c.Seal, want)
			}
		})
	}
}

// TestContainerExamples: what the examples for containers set is known, and
// makes a configuration once the files are there.
func TestContainerExamples(t *testing.T) {
	pair := regexp.MustCompile(`(?m)(AUTHFERRY_[A-Z0-9_]+)(?:: *|\n +value: *)"?([^"\n]+)"?$`)
	for _, example := range []string{"../../packaging/docker/compose.example.yaml", "../../packaging/docker/kubernetes.example.yaml"} {
		t.Run(filepath.Base(example), func(t *testing.T) {
			source, err := os.ReadFile(example)
			if err != nil {
				t.Fatal(err)
			}
			found := pair.FindAllStringSubmatch(string(source), -1)
			if n := strings.Count(string(source), "AUTHFERRY_"); n != len(found) || n < 4 {
				t.Fatalf("understood %d of %d variables", len(found), n)
			}
			variables := map[string]string{}
			for _, m := range found {
				variables[m[1]] = m[2]
				if strings.HasSuffix(m[1], document.AsFile) {
					variables[m[1]] = "$DIR/" + filepath.Base(m[2])
				}
			}
			c, err := environmentTest(t, map[string]string{
				"gmail_client_secret": "CANARY", "seal": "AGE-SECRET-KEY-1", "authferry_seal": "AGE-SECRET-KEY-1",
			}, variables)
			if err != nil {
				t.Fatal(err)
			}
			if p := c.Settings.Providers["gmail"]; len(c.Listen) != 2 || p.ClientSecret.Reveal() != "CANARY" || !strings.HasPrefix(c.Seal, "file:") {
				t.Errorf("%+v", c)
			}
		})
	}
}
