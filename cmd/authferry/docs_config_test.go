package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authferry/internal/config"
	"authferry/internal/config/configtest"
)

// fileOfKey maps the files that configurations in the documents name to those of the
// test: they are read when the configuration is loaded.
var fileOfKey = map[string]string{
	"client_file":          "client.json",
	"client_secret_file":   "secret",
	"webhook_file":         "webhook",
	"service_account_file": "account.json",
	"certificate_file":     "client.pem",
	"certificate_key_file": "client.key",
	"ca_file":              "client.pem",
	"acme_ca_file":         "client.pem",
	"cert":                 "client.pem",
	"key":                  "client.key",
}

var (
	namesFile = regexp.MustCompile(`(?m)^([a-z_]+) *= *"[^"]*"`)
	runsProg  = regexp.MustCompile(`(?m)^((?:token_)?command *= *\[)"[^"]*"`)
	keySpan   = regexp.MustCompile(`^([a-z_]+) = `)
	tableSpan = regexp.MustCompile(`^\[\[?([a-z]+)`)
)

// TestDocumentedConfigurations: every block of TOML in the documents loads.
func TestDocumentedConfigurations(t *testing.T) {
	t.Setenv("MAIL_DATABASE", "postgres://authferry:CANARY-of-the-documents@127.0.0.1/mail")
	seen := 0
	for _, m := range manuals(t) {
		for _, b := range m.blocks {
			if b.kind != "toml" {
				continue
			}
			seen++
			if err := loadBlock(t, b.text); err != nil {
				t.Errorf("%s:%d: %v", m.path, b.line, err)
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d blocks of TOML found: has their writing changed?", seen)
	}
}

// loadBlock loads a configuration with the files of the test instead of those that it
// names.
func loadBlock(t *testing.T, block string) error {
	t.Helper()
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	client, err := os.ReadFile("../../internal/config/testdata/client_secret_demo.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"client.json": string(client), "secret": "CANARY-of-the-documents", "webhook": "https://hooks.example.org/x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block = namesFile.ReplaceAllStringFunc(block, func(line string) string {
		key := namesFile.FindStringSubmatch(line)[1]
		if fileOfKey[key] == "" {
			return line
		}
		return fmt.Sprintf("%s = %q", key, fileOfKey[key])
	})
	block = runsProg.ReplaceAllString(block, fmt.Sprintf("${1}%q", filepath.Join(dir, "print")))
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(file)
	return err
}

// TestDocumentedKeys: every key and table in a sentence of the documents is in
// config.example.toml, which other tests check against the product.
func TestDocumentedKeys(t *testing.T) {
	source, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	known := func(pattern, name string) bool {
		return regexp.MustCompile(fmt.Sprintf(pattern, regexp.QuoteMeta(name))).Match(source)
	}
	for _, m := range manuals(t) {
		for _, s := range m.spans {
			if k := keySpan.FindStringSubmatch(s); k != nil && !known(`(?m)^ *# *(?:[a-z]+\.)*%s *=`, k[1]) {
				t.Errorf("%s: `%s`: there is no such key", m.path, s)
			}
			if k := tableSpan.FindStringSubmatch(s); k != nil && !known(`(?m)^ *#? *\[\[?%s[\].]`, k[1]) {
				t.Errorf("%s: `%s`: there is no such table", m.path, s)
			}
		}
	}
}

// TestDocumentedMessages: the product has the messages that the troubleshooting of
// docs/operations.md quotes in the first column of its tables, where "..." stands for
// any text.
func TestDocumentedMessages(t *testing.T) {
	all, seen := sources(t), 0
	for _, m := range manuals(t) {
		if filepath.Base(m.path) != "operations.md" {
			continue
		}
		_, trouble, found := strings.Cut(m.text, "\n## Troubleshoot")
		if !found {
			t.Fatal("no troubleshooting")
		}
		for line := range strings.SplitSeq(trouble, "\n") {
			cells := strings.SplitN(line, "|", 3)
			if len(cells) < 3 || cells[0] != "" {
				continue
			}
			for _, s := range codeSpan.FindAllStringSubmatch(cells[1], -1) {
				for part := range strings.SplitSeq(s[1], "...") {
					seen++
					if !strings.Contains(all, strings.TrimSpace(part)) {
						t.Errorf("%s: nothing says %q", m.path, part)
					}
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d messages found: has their writing changed?", seen)
	}
}

// TestReadManual: the code in a document, and which of it runs authferry.
func TestReadManual(t *testing.T) {
	m := readManual("x.md", "Say `authferry who`:\n\n    sudo authferry check \\\n      you@gmail.com\n\n1. Or\n\n       ssh -t h authferry kick --all\n\n"+
		"    1. `authferry version`\n```toml\nlisten = []\n```\nafter `a`\n")
	if want := []string{"authferry who", "authferry version", "a"}; !slices.Equal(m.spans, want) {
		t.Errorf("spans %q", m.spans)
	}
	if len(m.blocks) != 3 || m.blocks[2] != (codeBlock{"toml", 11, "listen = []\n"}) {
		t.Errorf("blocks %+v", m.blocks)
	}
	for line, want := range map[string][]string{
		"authferry status > /dev/null || echo bad":         {"status"},
		"gpg -d x | authferry import mutt_oauth2":          {"import", "mutt_oauth2"},
		"docker exec -it authferry authferry who":          {"who"},
		`./authferry password add a@b --name "Mein CRM"`:   {"password", "add", "a@b", "--name", "Mein CRM"},
		"sudo -u authferry authferry check  # all of them": {"check"},
		"go run ./cmd/authferry demo":                      {"demo"},
	} {
		if got, found := command(line); !found || !slices.Equal(got, want) {
			t.Errorf("%s: %q", line, got)
		}
	}
	for _, line := range []string{"sudo systemctl reload authferry", "journalctl -u authferry -f", "go build -o authferry ./cmd/authferry", "chown authferry x"} {
		if got, found := command(line); found {
			t.Errorf("%s: %q", line, got)
		}
	}
}
