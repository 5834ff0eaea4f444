//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
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
	} {
		if err := os.WriteFile(file, []byte(test.source), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, test.mode); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		if warned := len(c.warnings) > 0; warned != test.warned {
			t.Errorf("%q with mode %o: %q", test.source, test.mode, c.warnings)
		}
	}
}
