package winservice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authferry/internal/config"
)

// TestServiceSID: every Windows has a service with this SID.
func TestServiceSID(t *testing.T) {
	const installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	if got := serviceSID("TrustedInstaller"); got != installer {
		t.Errorf("%s, want %s", got, installer)
	}
	if access := serviceAccess(Name); !strings.HasPrefix(access, "D:P(") || strings.Count(access, "(A;") != 3 || !strings.Contains(access, serviceSID("AUTHFERRY")) {
		t.Errorf("%s", access)
	}
}

// TestFirstConfig: the configuration of a new service loads, also with the commented
// lines.
func TestFirstConfig(t *testing.T) {
	c := loadText(t, t.TempDir(), firstConfig)
	if c.StateDir != filepath.Join(filepath.Dir(c.File), "state") || len(c.Settings.Providers) != 0 {
		t.Errorf("%+v", c)
	}
	dir := t.TempDir()
	client, err := os.ReadFile("../config/testdata/client_secret_demo.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client_secret.json"), client, 0o600); err != nil {
		t.Fatal(err)
	}
	full := loadText(t, dir, strings.NewReplacer("#[", "[", "#client_file", "client_file").Replace(firstConfig))
	if p := full.Settings.Providers["gmail"]; p == nil || p.ClientID == "" {
		t.Errorf("%+v", full.Settings.Providers)
	}
}

func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authferry.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openLogFile(path, 14)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"first\n", "second\n", "a line longer than the file\n", "last\n"} {
		if n, err := l.Write([]byte(line)); err != nil || n != len(line) {
			t.Fatal(n, err)
		}
	}
	has := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v; want %q", filepath.Base(path), got, err, want)
		}
	}
	has(path, "last\n")
	has(path+".1", "a line longer than the file\n")

	// A file that cannot be replaced is written to.
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("more than fits\n")); err != nil {
		t.Fatal(err)
	}
	has(path, "last\nmore than fits\n")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// loadText loads a configuration written into a directory.
func loadText(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
