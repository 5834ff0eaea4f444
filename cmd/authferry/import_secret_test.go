package main

import (
	"os"
	"path/filepath"
	"testing"

	"authferry/internal/config"
)

// TestWriteSecretNamesTheWholePath: the configuration is to name it, and root's
// command has gone into the store by then, which is "." to it.
func TestWriteSecretNamesTheWholePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	m := &mover{config: &config.Config{StateDir: ".", StatePath: dir}}
	for range 2 { // the second time it is there already
		path, err := m.writeSecret("client-x.secret", "s")
		if err != nil || path != filepath.Join(dir, "client-x.secret") {
			t.Fatalf("%q, %v", path, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "s\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
}
