package importer

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteSecretReturnsTheWholePath: the configuration has to name the file, and
// root's command has changed into the store, which is "." to it.
func TestWriteSecretReturnsTheWholePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	m := &Import{Dir: ".", Path: dir}
	for range 2 { // the second time the file exists
		path, err := m.writeSecret("client-x.secret", "s")
		if err != nil || path != filepath.Join(dir, "client-x.secret") {
			t.Fatalf("%q, %v", path, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "s\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
}
