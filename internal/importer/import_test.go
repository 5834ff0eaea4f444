package importer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// TestSourcePrintsNoContent: the file of another program holds tokens and secrets.
func TestSourcePrintsNoContent(t *testing.T) {
	s := Source{Format: "token", File: "-", Content: "CANARY"}
	b, err := json.Marshal(s)
	if err != nil {
		t.Error(err)
	}
	for _, text := range []string{fmt.Sprintf("%v", s), fmt.Sprintf("%+v", &s), fmt.Sprintf("%#v", s), fmt.Sprintf("%s", s), string(b)} {
		for _, form := range []string{"CANARY", fmt.Sprint([]byte("CANARY")), fmt.Sprintf("%#v", []byte("CANARY")), base64.StdEncoding.EncodeToString([]byte("CANARY"))} {
			if strings.Contains(text, form) {
				t.Errorf("the content is shown: %s", text)
			}
		}
	}
}
