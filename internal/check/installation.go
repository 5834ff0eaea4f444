package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"authferry/tokens"
	"authferry/tokens/store"
)

// checkSealKey reads the seal key. It makes none: the first command that needs one does.
func checkSealKey(spec, dir string) finding {
	if spec == "" {
		if dir == "" {
			return skipped("the store has none")
		}
		sealed, _ := filepath.Glob(filepath.Join(dir, "mailboxes", "*.age"))
		key := filepath.Join(dir, "seal.key")
		_, err := os.Stat(key)
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case missing && len(sealed) == 0:
			return skipped("there is none yet: the first command that needs it makes one in %s", dir)
		case missing: // not LoadSeal, which would first create its lock file, as root
			return failed(sealFix(""), "the seal key %s is missing, and the mailboxes beside it are sealed with it", key)
		}
	}
	if _, err := store.LoadSeal(spec, dir); err != nil {
		return failed(sealFix(spec), "%v", err)
	}
	if spec == "" {
		return passed("%s: beside the mailboxes, so it protects copies of single files, but not of the whole directory", filepath.Join(dir, "seal.key"))
	}
	return passed("%s", spec)
}

func sealFix(spec string) string {
	kind, name, _ := strings.Cut(spec, ":")
	switch kind {
	case "env":
		return "set the environment variable " + name + " for this command too, as for the server"
	case "credential":
		return "systemd passes the key to the service alone: run this command as root while the service runs, or with the credential: systemd-run --pipe --wait -p LoadCredential=" + name + ":PATH"
	}
	return "restore the key, readable by the user that authferry runs as alone; without it the mailboxes must be connected again"
}

const asServer = "run this command as the user that authferry runs as, or as root"

// openStore opens the store as every command does, and checks who else can read it.
// missing reports that the store does not exist yet.
func openStore(ctx context.Context, s Subject) (vault *tokens.Vault, missing bool, f finding) {
	if s.Store != "" {
		info, err := os.Stat(s.Store)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, true, skipped("there is no %s yet: the first command that needs it makes it", s.Store)
		case err != nil:
			return nil, false, failed(asServer, "looking at the store: %v", err)
		case !info.IsDir():
			return nil, false, failed("name a directory in store", "%s is not a directory", s.Store)
		}
	}
	where, access := "the store", passed("")
	if s.Store != "" {
		// Before Open, which may drop root's rights and with them the access here.
		where, access = s.Store, checkAccess(s.Store)
	}
	vault, err := s.Open()
	if err != nil {
		return nil, false, failed(asServer+`; store = "file:DIRECTORY" in the configuration says where it is`, "%v", err)
	}
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		return vault, false, failed(asServer, "%v", err)
	}
	if access.result == Fail {
		return vault, false, access
	}
	for _, name := range names {
		if _, err := vault.Account(ctx, name); err != nil && !errors.Is(err, store.ErrNoMailbox) {
			return vault, false, failed(restoreFix(name), "%v", err)
		}
	}
	return vault, false, passed("%s, mailboxes: %d", where, len(names))
}

// restoreFix is what to do about a mailbox whose file cannot be read.
func restoreFix(mailbox string) string {
	return fmt.Sprintf("restore its file from a backup, or run authferry mailbox remove %s and connect it again", mailbox)
}

// checkAccess checks that only the owner of a store's files can read and write them.
// Others may list the directory itself, as systemd makes it.
func checkAccess(dir string) finding {
	mailboxes := filepath.Join(dir, "mailboxes")
	if f := checkMode(dir, 0o022, "go-w"); f.result == Fail {
		return f
	}
	if f := checkMode(mailboxes, 0o077, "go="); f.result == Fail {
		return f
	}
	if _, err := os.Stat(mailboxes); errors.Is(err, fs.ErrNotExist) {
		return passed("") // it does not exist yet
	}
	if err := writable(mailboxes); err != nil {
		return failed(asServer+", and check that the file system is writable", "%s is not writable: %v", mailboxes, err)
	}
	owner, err := ownerOf(mailboxes)
	if err != nil {
		return failed(asServer, "%v", err)
	}
	files, err := os.ReadDir(mailboxes)
	if err != nil {
		return failed(asServer, "%v", err)
	}
	for _, file := range files {
		path := filepath.Join(mailboxes, file.Name())
		if f := checkMode(path, 0o077, "go="); f.result == Fail {
			return f
		}
		other, err := ownerOf(path)
		if err == nil && other != owner {
			return failed(fmt.Sprintf("chown --reference=%s %s", mailboxes, path), "%s belongs to another user than its directory, so the server cannot use it", path)
		}
	}
	return passed("")
}

// checkMode refuses a file whose mode gives others access. It accepts a file that no
// longer exists: a temporary file, or a mailbox that was removed.
func checkMode(path string, others os.FileMode, change string) finding {
	info, err := os.Lstat(path)
	if err != nil || !hasModes || info.Mode().Perm()&others == 0 {
		return passed("")
	}
	return failed(fmt.Sprintf("chmod %s %s", change, path), "%s has mode %04o: other users of this machine have access", path, info.Mode().Perm())
}
