//go:build unix

package config

import (
	"os"
	"path/filepath"
	"testing"

	"authferry/internal/config/configtest"
)

func TestExposedSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	for _, test := range []struct {
		source string
		mode   os.FileMode
		warned bool
	}{
		{"[provider.gmail]\nclient_id = 'x'\nclient_secret = 'y'", 0o644, true},
		{"[provider.gmail]\nclient_id = 'x'\nclient_secret = 'y'", 0o640, false},
		{"[provider.gmail]\nclient_id = 'x'", 0o644, false},
		{"[provider.gmail]\nclient_id = 'x'\nproxy = 'socks5://u:p@localhost:1080'", 0o644, true},
		{"[provider.gmail]\nclient_id = 'x'\nproxy = 'socks5://localhost:1080'", 0o644, false},
	} {
		if err := os.WriteFile(file, []byte(test.source), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, test.mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if warned := len(c.Warnings) > 0; warned != test.warned {
			t.Errorf("%q with mode %o: %q", test.source, test.mode, c.Warnings)
		}
	}
}

// TestExposedKey: the same of a file that holds a key.
func TestExposedKey(t *testing.T) {
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	for mode, warnings := range map[os.FileMode]int{0o600: 0, 0o644: 2} {
		for _, name := range []string{"account.json", "client.key"} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		c := loadIn(t, dir, "[provider.a]\nlike = 'gmail'\nservice_account_file = 'account.json'\n"+
			"[provider.b]\nlike = 'microsoft'\ntenant = 't'\nclient_id = 'x'\ncertificate_file = 'client.pem'\ncertificate_key_file = 'client.key'")
		if len(c.Warnings) != warnings {
			t.Errorf("mode %o: %q", mode, c.Warnings)
		}
	}
}
