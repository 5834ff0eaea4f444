package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"authferry/internal/secret"
)

func TestLoadSeal(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	older, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := identity.String()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("GOOD_KEY", key+"\r\n")
	t.Setenv("BAD_KEY", strings.Replace(key, "1", "2", 1))
	file("cred", key, 0o444)
	for spec, says := range map[string]string{
		"file:" + file("good", "# a comment\n"+key+"\n", 0o600):     "",
		"file:" + file("group", key, 0o640):                         "",
		"file:" + file("both", key+"\n"+older.String()+"\n", 0o400): "",
		"env:GOOD_KEY":                                                 "",
		"credential:cred":                                              "",
		"file:" + file("world", key, 0o604):                            "chmod 600",
		"file:" + file("writable", key, 0o620):                         "chmod 600",
		"file:" + file("empty", "", 0o600):                             "not an age identity",
		"file:" + file("public", identity.Recipient().String(), 0o600): "not an age identity",
		"file:" + filepath.Join(dir, "none"):                           "no such file",
		"env:BAD_KEY":                                                  "not an age identity",
		"env:NO_SUCH_KEY":                                              "is not set",
		"env:":                                                         "is not understood",
		"vault:x":                                                      "is not understood",
		"credential:../cred":                                           "not the name of a credential",
		"credential:none":                                              "LoadCredential=none:",
	} {
		s, err := LoadSeal(spec, t.TempDir())
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("LoadSeal(%s): %v; want %q", spec, err, says)
		}
		if err != nil && strings.Contains(err.Error(), key[20:40]) {
			t.Errorf("LoadSeal(%s): the error tells the key", spec)
		}
		if err == nil {
			if out := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); out != strings.TrimSpace(strings.Repeat(secret.Redacted+" ", 4)) {
				t.Errorf("LoadSeal(%s) prints as %s", spec, out)
			}
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := LoadSeal("credential:cred", dir); err == nil || !strings.Contains(err.Error(), "handed over no credentials") {
		t.Errorf("without systemd: %v", err)
	}
	// What an older key sealed is opened, and sealed with the first from then on.
	both, err := LoadSeal("file:"+filepath.Join(dir, "both"), "")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := (&Seal{recipient: older.Recipient()}).close([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := both.open(sealed); err != nil || string(plain) != "x" {
		t.Errorf("an older key does not open: %v", err)
	}
}

// TestLoadSealAtOnce: processes that start at the same time get the same key.
func TestLoadSealAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	seals := make([]*Seal, 20)
	var all sync.WaitGroup
	for i := range seals {
		all.Go(func() {
			var err error
			if seals[i], err = LoadSeal("", dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sealed, err := seals[0].close([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range seals {
		if _, err := s.open(sealed); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLoadSealKeepsOutOfTheWay: a state directory that was restored without its key
// does not get a new key, which would be used instead of the right one.
func TestLoadSealKeepsOutOfTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "mailboxes"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mailboxes", "me@example.org.age"), []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSeal("", dir); err == nil || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("without its key: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "seal.key")); !os.IsNotExist(err) {
		t.Errorf("a key was made: %v", err)
	}
}

func newSeal(t testing.TB) *Seal {
	t.Helper()
	seal, err := LoadSeal("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return seal
}
