package check

import (
	"os"
	"path/filepath"
	"testing"

	"authferry/demo"
)

// TestStoreTrouble: files that others can read, and files that do not open.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		harm   func(t *testing.T, c *fixture) error
		fails  []string
		detail []string // of the first
	}{
		{"readable directory", func(t *testing.T, c *fixture) error { return os.Chmod(c.subject.Store+"/mailboxes", 0o755) },
			[]string{"store"}, []string{"mode 0755", "chmod go= "}},
		{"readable mailbox", func(t *testing.T, c *fixture) error { return os.Chmod(c.mailboxFile(me), 0o644) },
			[]string{"store"}, []string{"mode 0644", "chmod go= "}},
		{"writable store", func(t *testing.T, c *fixture) error { return os.Chmod(c.subject.Store, 0o777) },
			[]string{"store"}, []string{"mode 0777", "chmod go-w "}},
		{"readable key", func(t *testing.T, c *fixture) error { return os.Chmod(c.subject.Store+"/seal.key", 0o644) },
			[]string{"seal key", "store"}, []string{"mode 0644"}},
		{"no key", func(t *testing.T, c *fixture) error { return os.Remove(c.subject.Store + "/seal.key") },
			[]string{"seal key", "store"}, []string{"is missing", "connected again"}},
		{"another key", func(t *testing.T, c *fixture) error {
			c.subject.Seal = "env:AUTHFERRY_CHECK_NO_SUCH_VARIABLE"
			return nil
		}, []string{"seal key", "store"}, []string{"is not set", "environment variable AUTHFERRY_CHECK_NO_SUCH_VARIABLE"}},
		{"no credential", func(t *testing.T, c *fixture) error { c.subject.Seal = "credential:seal"; return nil },
			[]string{"seal key", "store"}, []string{"LoadCredential=seal:PATH"}},
		{"damaged mailbox", func(t *testing.T, c *fixture) error { return os.WriteFile(c.mailboxFile(you), []byte("?"), 0o600) },
			[]string{"store", you + " mailbox"}, []string{you, "backup"}},
		{"another owner", func(t *testing.T, c *fixture) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			return os.Lchown(c.mailboxFile(me), 12345, 12345)
		}, []string{"store"}, []string{"belongs to another user", "chown --reference="}},
		{"a file", func(t *testing.T, c *fixture) error {
			c.subject.Store = c.mailboxFile(me)
			return nil
		}, []string{"seal key", "store"}, []string{"not a directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newFixture(t, demo.Options{}, me, you)
			c.check().onlyFailures()
			if err := test.harm(t, c); err != nil {
				t.Fatal(err)
			}
			if err := c.vault.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.vault = nil // as another process
			r := c.check()
			r.onlyFailures(test.fails...)
			r.want("", test.fails[0], Fail, test.detail...)
			r.want("", "imap tls", OK) // the rest is checked all the same
		})
	}
}

func (c *fixture) mailboxFile(mailbox string) string {
	return filepath.Join(c.subject.Store, "mailboxes", mailbox+".age")
}

// TestUntouched: a check creates no file.
func TestUntouched(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.check().onlyFailures()
	list := func() (files []string) {
		err := filepath.Walk(c.subject.Store, func(path string, info os.FileInfo, err error) error {
			files = append(files, path+" "+info.Mode().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	before := list()
	c.check().onlyFailures()
	if after := list(); len(after) != len(before) {
		t.Errorf("before:\n%q\nafter:\n%q", before, after)
	}
}
