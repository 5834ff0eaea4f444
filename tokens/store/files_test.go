package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"

	"authferry/internal/atomicfile"
)

func TestFileStore(t *testing.T) {
	testStore(t, func(t *testing.T) (Store, Store) {
		dir := t.TempDir()
		return openStore(t, dir), openStore(t, dir)
	})
}

// TestFileStoreFaults: the old account survives each fault of the disk, a file left by a
// crash is not read, and the next write works.
func TestFileStoreFaults(t *testing.T) {
	whole := atomicfile.Disk
	crash := errors.New("the plug was pulled")
	faults := map[string]func(){
		"full disk": func() {
			atomicfile.Disk.Write = func(f *os.File, b []byte) (int, error) {
				n, _ := f.Write(b[:len(b)/2])
				return n, syscall.ENOSPC
			}
		},
		"failing sync":            func() { atomicfile.Disk.Sync = func(*os.File) error { return syscall.EIO } },
		"crash before the rename": func() { atomicfile.Disk.Rename = func(string, string) error { panic(crash) } },
		"failing rename":          func() { atomicfile.Disk.Rename = func(string, string) error { return syscall.EXDEV } },
		"crash in the write": func() {
			atomicfile.Disk.Write = func(f *os.File, b []byte) (int, error) { f.Write(b[:9]); panic(crash) }
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			put(t, s, wholeAccount(me))
			fault()
			defer func() { atomicfile.Disk = whole }()
			err := pullPlug(crash, func() error {
				return s.Update(context.Background(), me, func(a *Account) error {
					a.Token.Refresh = "new"
					return nil
				})
			})
			if err == nil {
				t.Fatal("the fault went unnoticed")
			}
			atomicfile.Disk = whole
			again := openStore(t, dir)
			for _, s := range []Store{s, again} {
				got, err := s.Get(context.Background(), me)
				if err != nil {
					t.Fatalf("the old account is lost: %v", err)
				}
				sameAccount(t, got, wholeAccount(me))
			}
			if names, err := again.Mailboxes(context.Background()); err != nil || len(names) != 1 {
				t.Errorf("Mailboxes: %q, %v", names, err)
			}
			put(t, again, &Account{Mailbox: me, Provider: "after"})
			if left, _ := filepath.Glob(filepath.Join(dir, "mailboxes", ".*.tmp")); left != nil {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// pullPlug runs f, which may end as a process does that is killed: at once,
// with its temporary file left behind and its locks gone.
func pullPlug(crash error, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = crash
		}
	}()
	return f()
}

// TestFileStoreSweeps: the next start removes a temporary file of a process that has
// ended, but not one that is being written.
func TestFileStoreSweeps(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, wholeAccount(me))
	left := filepath.Join(dir, "mailboxes", ".gone@x.age.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy := atomicfile.TempName(s.path(me, sealedSuffix))
	err := s.Update(context.Background(), me, func(*Account) error {
		if err := os.WriteFile(busy, []byte("half"), 0o600); err != nil {
			return err
		}
		openStore(t, dir)
		_, err := os.Stat(busy)
		return err
	})
	if err != nil {
		t.Errorf("a write under way was disturbed: %v", err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

func TestFileStoreModes(t *testing.T) {
	dir := t.TempDir()
	put(t, openStore(t, dir), wholeAccount(me))
	for path, want := range map[string]os.FileMode{
		"mailboxes": 0o700, "mailboxes/me@gmail.com.age": 0o600, "mailboxes/me@gmail.com.lock": 0o600, "seal.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// TestFileStoreDamage: a file that cannot be read is an error of its mailbox alone. The
// error names the file, and the file is not overwritten.
func TestFileStoreDamage(t *testing.T) {
	seal, err := LoadSeal("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(plain string) []byte {
		b, err := seal.close([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good, err := encodeRecord(wholeAccount(me))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := encodeRecord(wholeAccount("stranger@gmail.com"))
	if err != nil {
		t.Fatal(err)
	}
	whole := sealed(string(good))
	otherKey, err := LoadSeal("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := otherKey.close(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"empty":           {nil, "damaged"},
		"cut":             {whole[:len(whole)-20], "damaged"},
		"one bit":         {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), "damaged"},
		"not JSON":        {sealed("hello-CANARY"), "not JSON"},
		"a newer version": {sealed(`{"version":2,"mailbox":"me@gmail.com"}`), "format 2"},
		"unknown field":   {sealed(`{"version":1,"mailbox":"me@gmail.com","x":"CANARY"}`), "newer program"},
		"another mailbox": {sealed(string(stranger)), `holds the account of "stranger@gmail.com"`},
		"another key":     {foreign, "sealed with another key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := OpenFiles(dir, seal)
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, wholeAccount("well@gmail.com"))
			path := s.path(me, sealedSuffix)
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err = OpenFiles(dir, seal); err != nil {
				t.Fatal(err)
			}
			_, getErr := s.Get(context.Background(), me)
			updateErr := s.Update(context.Background(), me, func(a *Account) error {
				t.Error("an account that cannot be read is edited")
				return nil
			})
			for _, err := range []error{getErr, updateErr} {
				if err == nil || errors.Is(err, ErrNoMailbox) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v; want one that names %s and says %q", err, path, c.says)
				}
				if strings.Contains(err.Error(), "CANARY") {
					t.Errorf("the error tells what is in the record: %v", err)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, c.data) {
				t.Error("the file was overwritten")
			}
			if names, err := s.Mailboxes(context.Background()); err != nil || len(names) != 2 {
				t.Errorf("Mailboxes: %q, %v", names, err)
			}
			if _, err := s.Get(context.Background(), "well@gmail.com"); err != nil {
				t.Errorf("another mailbox suffers: %v", err)
			}
		})
	}
}

func TestOpenFileStoreRefusesAnotherKey(t *testing.T) {
	dir := t.TempDir()
	put(t, openStore(t, dir), wholeAccount(me))
	seal, err := LoadSeal("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenFiles(dir, seal)
	if err == nil || !strings.Contains(err.Error(), "sealed with another key") || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("OpenFileStore: %v", err)
	}
}

// TestFilesOpenWithAge: a file can be recovered with the age command.
func TestFilesOpenWithAge(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, wholeAccount(me))
	key, err := os.Open(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	identities, err := age.ParseIdentities(key)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(s.path(me, sealedSuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := age.Decrypt(f, identities...)
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(r); err != nil || !strings.Contains(plain.String(), `"refresh":"1//r"`) {
		t.Errorf("%v: %s", err, plain.String())
	}
}

// TestFileStoreReadsOnce: a login costs one stat of an unchanged file.
func TestFileStoreReadsOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, wholeAccount(me))
	old := s.path(me, sealedSuffix)
	past := mustStat(t, old).ModTime().Add(-2 * settleTime)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	first, err := s.Get(context.Background(), me)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Get(context.Background(), me)
	if err != nil || first != second {
		t.Errorf("the account was read twice: %v", err)
	}
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(context.Background(), me); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("a file that is gone: %v", err)
	}
}

// TestFileStoreDoubtsNewFiles: a file that has just been written is read again, since it
// may have changed although inode, time and size are the same.
func TestFileStoreDoubtsNewFiles(t *testing.T) {
	s, twin := openStore(t, t.TempDir()), t.TempDir()
	put(t, s, &Account{Mailbox: me, Provider: "one"})
	if _, err := s.Get(context.Background(), me); err != nil {
		t.Fatal(err)
	}
	other, err := OpenFiles(twin, s.seal)
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, &Account{Mailbox: me, Provider: "two"})
	data, err := os.ReadFile(other.path(me, sealedSuffix))
	if err != nil {
		t.Fatal(err)
	}
	path := s.path(me, sealedSuffix)
	before := mustStat(t, path)
	if err := os.WriteFile(path, data, 0o600); err != nil { // keeps the inode
		t.Fatal(err)
	}
	if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if after := mustStat(t, path); after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Fatal("the files differ in what is seen of them")
	}
	if a, err := s.Get(context.Background(), me); err != nil || a.Provider != "two" {
		t.Errorf("%v, %v", a, err)
	}
}

func mustStat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

const me = "me@gmail.com"

func openStore(t testing.TB, dir string) *Files {
	t.Helper()
	seal, err := LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFileDocuments: documents are sealed, readable by their owner only and bound to
// their names; the old one survives a full disk.
func TestFileDocuments(t *testing.T) {
	dir := t.TempDir()
	s, ctx := openStore(t, dir), context.Background()
	write := func(name, data string) error {
		return s.UpdateDocument(ctx, name, func([]byte) ([]byte, error) { return []byte(data), nil })
	}
	for _, name := range []string{"users", "sessions"} {
		if err := write(name, "CANARY of "+name); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "documents", "users.age")
	for path, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	sealed, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(sealed), "CANARY") {
		t.Errorf("not sealed: %v", err)
	}

	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	if err := write("users", "new"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	atomicfile.Disk = whole
	wantDocument(t, "users", []byte("CANARY of users"), s, openStore(t, dir))

	if err := os.Rename(filepath.Join(dir, "documents", "sessions.age"), path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Document(ctx, "users"); err == nil || got != nil {
		t.Errorf("another document passes for it: %q", got)
	}
	if err := write("users", "new"); err == nil {
		t.Error("what cannot be read was overwritten")
	}
	if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSeal("", dir); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("a key was made beside documents of another: %v", err)
	}
}
