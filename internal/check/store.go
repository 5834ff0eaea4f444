package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"authferry/tokens/store"
)

func (r *run) configuration() finding {
	return fine("%s", r.Config)
}

// sealKey reads the key, and makes none: that is for who first needs it.
func (r *run) sealKey() finding {
	if r.Seal == "" {
		if r.Store == "" {
			return skipped("the store has none")
		}
		sealed, _ := filepath.Glob(filepath.Join(r.Store, "mailboxes", "*.age"))
		key := filepath.Join(r.Store, "seal.key")
		_, err := os.Stat(key)
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case missing && len(sealed) == 0:
			return skipped("there is none yet: the first command that needs it makes one in %s", r.Store)
		case missing: // and LoadSeal would lock its place first, which is not for root to do
			return failed(sealFix(""), "the seal key %s is gone, and the mailboxes beside it are sealed with it", key)
		}
	}
	if _, err := store.LoadSeal(r.Seal, r.Store); err != nil {
		return failed(sealFix(r.Seal), "%v", err)
	}
	if r.Seal == "" {
		return fine("%s: beside the mailboxes, so it protects copies of single files, and not of the whole directory", filepath.Join(r.Store, "seal.key"))
	}
	return fine("%s", r.Seal)
}

func sealFix(spec string) string {
	kind, name, _ := strings.Cut(spec, ":")
	switch kind {
	case "env":
		return "set the environment variable " + name + " for this command as for the server"
	case "credential":
		return "systemd hands the key to the service alone: run this as root while it runs, or with the credential, by systemd-run --pipe --wait -p LoadCredential=" + name + ":PATH"
	}
	return "put the key back as it was, readable by the user that authferry serves as and by nobody else; without it the mailboxes have to be connected again"
}

const asServer = "run this as the user that authferry serves as, or as root"

// openStore opens the store as every command does, and looks who else could.
func (r *run) openStore(ctx context.Context) finding {
	if r.Store != "" {
		info, err := os.Stat(r.Store)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.unmade = true
			return skipped("there is no %s yet: the first command that needs it makes it", r.Store)
		case err != nil:
			return failed(asServer, "looking at the store: %v", err)
		case !info.IsDir():
			return failed("name a directory in store", "%s is not a directory", r.Store)
		}
	}
	where, guard := "the store", fine("")
	if r.Store != "" {
		// Before Open, which may leave root's rights behind and with them the way here.
		where, guard = r.Store, guarded(r.Store)
	}
	vault, err := r.Open()
	if err != nil {
		return failed(asServer+`; store = "file:DIRECTORY" in the configuration says where it is`, "%v", err)
	}
	r.vault = vault
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		return failed(asServer, "%v", err)
	}
	if guard.result == Fail {
		return guard
	}
	for _, name := range names {
		if _, err := vault.Account(ctx, name); err != nil && !errors.Is(err, store.ErrNoMailbox) {
			return failed(fmt.Sprintf("put its file back from a backup, or authferry mailbox remove %s and connect it again", name), "%v", err)
		}
	}
	return fine("%s, mailboxes: %d", where, len(names))
}

// guarded looks who may read and write a store's files: their owner, and
// nobody else. The directory itself may be seen by others, as systemd makes it.
func guarded(dir string) finding {
	mailboxes := filepath.Join(dir, "mailboxes")
	if f := closed(dir, 0o022, "go-w"); f.result == Fail {
		return f
	}
	if f := closed(mailboxes, 0o077, "go="); f.result == Fail {
		return f
	}
	if _, err := os.Stat(mailboxes); errors.Is(err, fs.ErrNotExist) {
		return fine("") // yet to be made
	}
	if err := writable(mailboxes); err != nil {
		return failed(asServer+", and see that the file system can be written to", "%s cannot be written to: %v", mailboxes, err)
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
		if f := closed(path, 0o077, "go="); f.result == Fail {
			return f
		}
		other, err := ownerOf(path)
		if err == nil && other != owner {
			return failed(fmt.Sprintf("chown --reference=%s %s", mailboxes, path), "%s belongs to another user than its directory, so the server cannot use it", path)
		}
	}
	return fine("")
}

// closed refuses a file whose mode lets others in. What has gone meanwhile, a
// temporary file or a mailbox removed, is nobody's trouble.
func closed(path string, others os.FileMode, change string) finding {
	info, err := os.Lstat(path)
	if err != nil || !hasModes || info.Mode().Perm()&others == 0 {
		return fine("")
	}
	return failed(fmt.Sprintf("chmod %s %s", change, path), "%s has mode %04o: other users of this machine are let in", path, info.Mode().Perm())
}
