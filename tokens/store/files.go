package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"authferry/internal/atomicfile"
	"authferry/internal/printable"
)

const (
	sealedSuffix = ".age"
	lockSuffix   = ".lock"
	// lockPoll is how often a lock held by another process is tried: flock(2)
	// cannot wait and be cancelled.
	lockPoll = 10 * time.Millisecond
	// maxSealed bounds a read, since the file may be anything.
	maxSealed = 1 << 20
	// settleTime is how old a file must be before its inode, time and size identify
	// its content: two replacements within one tick of the file system's clock, up
	// to 2 s on some, may reuse the inode.
	settleTime = 2 * time.Second
	// maxName leaves room for the suffixes in the 255 bytes of a file name.
	maxName = 240
	// probeSize is about the size of a mailbox: a full disk may still have room for
	// the name of a file.
	probeSize = 4 << 10
)

// Files keeps each account and each document in a sealed file:
//
//	DIR/mailboxes/you@example.com.age       the account
//	DIR/mailboxes/you@example.com.lock      held during an edit; kept, since removing a lock races
//	DIR/mailboxes/.you@example.com.age.tmp  a write under way, or one that a crash interrupted
//	DIR/documents/users.age, users.lock     a document, from the first one on
type Files struct {
	mailboxes, documents string // directories
	seal                 *Seal
	locks                keyLocks

	mu    sync.Mutex
	cache map[string]cachedAccount
}

// cachedAccount is an account and the file it was read from.
type cachedAccount struct {
	account *Account
	file    fs.FileInfo
}

var _ Store = (*Files)(nil)

// OpenFiles opens or creates a store in a directory. It refuses a seal that opens
// none of the files there: it could not read them, and writing would leave a store
// under two keys.
func OpenFiles(dir string, seal *Seal) (*Files, error) {
	s := &Files{
		mailboxes: filepath.Join(dir, "mailboxes"), documents: filepath.Join(dir, "documents"),
		seal: seal, cache: map[string]cachedAccount{},
	}
	if err := os.MkdirAll(s.mailboxes, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	mailboxes, err := s.Mailboxes(context.Background())
	if err != nil {
		return nil, err
	}
	removeLeftovers(s.mailboxes)
	var foreign error
	for _, mailbox := range mailboxes {
		_, _, err := s.read(mailbox)
		if err == nil {
			return s, nil
		}
		if errors.Is(err, errOtherKey) {
			foreign = err
		}
	}
	if foreign != nil {
		return nil, fmt.Errorf("opening the store: %w: the key in %s does not open it; put back the key it was sealed with", foreign, seal.source)
	}
	return s, nil
}

// removeLeftovers removes the temporary files of interrupted writes, unless another
// process is writing there now.
func removeLeftovers(dir string) {
	temps, _ := filepath.Glob(filepath.Join(dir, ".*"+sealedSuffix+".tmp"))
	for _, temp := range temps {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(temp), "."), sealedSuffix+".tmp")
		lock := flock.New(filepath.Join(dir, name+lockSuffix), flock.SetPermissions(0o600))
		if ok, err := lock.TryLock(); err == nil && ok {
			os.Remove(temp)
			lock.Unlock()
		}
	}
}

// path returns the file of a mailbox with this suffix.
func (s *Files) path(mailbox, suffix string) string {
	return filepath.Join(s.mailboxes, escapeName(mailbox)+suffix)
}

// escapeName keeps an address from naming another directory or a hidden file.
func escapeName(mailbox string) string {
	// PathEscape leaves ":", which Windows does not allow, and a leading dot.
	name := strings.ReplaceAll(url.PathEscape(mailbox), ":", "%3A")
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	return name
}

// Mailboxes is part of [Store].
func (s *Files) Mailboxes(context.Context) ([]string, error) {
	names, err := sealedIn(s.mailboxes)
	if err != nil {
		return nil, fmt.Errorf("listing the mailboxes: %w", err)
	}
	var mailboxes []string
	for _, name := range names {
		// A name that escapeName does not return is not a file of this store.
		mailbox, err := url.PathUnescape(name)
		if err == nil && !strings.HasPrefix(name, ".") && escapeName(mailbox) == name {
			mailboxes = append(mailboxes, mailbox)
		}
	}
	slices.Sort(mailboxes)
	return mailboxes, nil
}

// sealedIn returns the names of the sealed files in a directory, without the suffix.
func sealedIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), sealedSuffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// Get is part of [Store]. While the file of a mailbox stays the same, it costs one
// stat. Clients also send names that no file can have: for these there is no mailbox.
func (s *Files) Get(ctx context.Context, mailbox string) (*Account, error) {
	if len(escapeName(mailbox)) > maxName {
		return nil, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	info, err := os.Stat(s.path(mailbox, sealedSuffix))
	if err != nil {
		s.forget(mailbox)
		return nil, s.readError(mailbox, err)
	}
	s.mu.Lock()
	c, ok := s.cache[mailbox]
	s.mu.Unlock()
	if ok && os.SameFile(c.file, info) && c.file.ModTime().Equal(info.ModTime()) && c.file.Size() == info.Size() {
		return c.account, nil
	}
	a, info, err := s.read(mailbox)
	if err != nil {
		s.forget(mailbox)
		return nil, err
	}
	if time.Since(info.ModTime()) >= settleTime {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cache[mailbox] = cachedAccount{a, info}
	}
	return a, nil
}

func (s *Files) forget(mailbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, mailbox)
}

// read reads and opens the file of a mailbox.
func (s *Files) read(mailbox string) (*Account, fs.FileInfo, error) {
	path := s.path(mailbox, sealedSuffix)
	sealed, info, err := readSealed(path)
	if err != nil {
		return nil, nil, s.readError(mailbox, err)
	}
	plain, err := s.seal.open(sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is %w", path, err)
	}
	a, err := decodeRecord(plain)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	// The name is inside the seal too, so that one file copied over another does
	// not give access to its mailbox.
	if a.Mailbox != mailbox {
		return nil, nil, fmt.Errorf("%s holds the account of %s: rename it to what it was", path, printable.Quote(a.Mailbox))
	}
	return a, info, nil
}

func readSealed(path string) (sealed []byte, info fs.FileInfo, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	sealed, err = io.ReadAll(io.LimitReader(f, maxSealed))
	return sealed, info, err
}

// readError returns ErrNoMailbox if only the file is missing. If the whole directory
// is, as with a volume that is not mounted, the mailboxes are unknown: with
// ErrNoMailbox, right passwords would be called wrong, and good sessions ended.
func (s *Files) readError(mailbox string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the account of %s: %w", printable.Quote(mailbox), err)
	}
	if _, err := os.Stat(s.mailboxes); err != nil {
		return fmt.Errorf("reading the account of %s: the store is missing: %w; check that its volume is mounted", printable.Quote(mailbox), err)
	}
	return fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
}

// Update is part of [Store].
func (s *Files) Update(ctx context.Context, mailbox string, edit func(*Account) error) error {
	unlock, err := s.lockMailbox(ctx, mailbox)
	if err != nil {
		return err
	}
	defer unlock()
	a, _, err := s.read(mailbox)
	held := err == nil
	if errors.Is(err, ErrNoMailbox) {
		a, err = &Account{Mailbox: mailbox}, nil
	}
	if err != nil {
		return err
	}
	sealed, changed, err := s.seal.editAccount(a, held, edit)
	if errors.Is(err, ErrDelete) {
		return s.remove(mailbox)
	}
	if err != nil || !changed {
		return err
	}
	return atomicfile.Write(s.path(mailbox, sealedSuffix), sealed, 0o600)
}

// Delete is part of [Store].
func (s *Files) Delete(ctx context.Context, mailbox string) error {
	unlock, err := s.lockMailbox(ctx, mailbox)
	if err != nil {
		return err
	}
	defer unlock()
	return s.remove(mailbox)
}

// remove deletes the file of a mailbox that is locked.
func (s *Files) remove(mailbox string) error {
	defer s.forget(mailbox)
	if err := os.Remove(s.path(mailbox, sealedSuffix)); err != nil {
		return s.readError(mailbox, err)
	}
	return atomicfile.SyncDir(s.mailboxes)
}

func (s *Files) lockMailbox(ctx context.Context, mailbox string) (unlock func(), err error) {
	if len(escapeName(mailbox)) > maxName {
		return nil, fmt.Errorf("the address %s is too long for the name of a file", printable.Quote(mailbox))
	}
	return s.lock(ctx, s.path(mailbox, lockSuffix), "the account of "+printable.Quote(mailbox))
}

// lock excludes all other goroutines and processes until unlock is called; what says
// what it protects. The lock of a file belongs to the process, so goroutines need
// another one.
func (s *Files) lock(ctx context.Context, path, what string) (unlock func(), err error) {
	leave, err := s.locks.lock(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("waiting to edit %s: %w", what, err)
	}
	file := flock.New(path, flock.SetPermissions(0o600))
	if _, err := file.TryLockContext(ctx, lockPoll); err != nil {
		leave()
		return nil, fmt.Errorf("locking %s: %w", what, err)
	}
	return func() {
		file.Unlock()
		leave()
	}, nil
}

// Usable is part of [Store]. It writes a file as [atomicfile.Write] would and removes
// it, but does not wait for the disk, since it may be called every few seconds. The
// file always has the same name, so that those of crashes do not accumulate.
func (s *Files) Usable(ctx context.Context) error {
	if _, err := s.Mailboxes(ctx); err != nil {
		return err
	}
	path := filepath.Join(s.mailboxes, ".trial")
	err := writeProbe(path)
	// Another process may have removed it.
	if removing := os.Remove(path); err == nil && !errors.Is(removing, fs.ErrNotExist) {
		err = removing
	}
	if err != nil {
		return fmt.Errorf("the store cannot be written to: %w", err)
	}
	return nil
}

func writeProbe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = atomicfile.Disk.Write(f, make([]byte, probeSize))
	return errors.Join(err, f.Close())
}

// Documents is part of [Store].
func (s *Files) Documents(context.Context) ([]string, error) {
	names, err := sealedIn(s.documents)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the documents: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return checkDocumentName(name) != nil })
	slices.Sort(names) // "a-b.age" comes before "a.age"
	return names, nil
}

// Document is part of [Store].
func (s *Files) Document(_ context.Context, name string) ([]byte, error) {
	if err := checkDocumentName(name); err != nil {
		return nil, err
	}
	sealed, _, err := readSealed(filepath.Join(s.documents, name+sealedSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the document %s: %w", name, err)
	}
	return s.seal.openDocument(name, sealed)
}

// UpdateDocument is part of [Store].
func (s *Files) UpdateDocument(ctx context.Context, name string, edit func([]byte) ([]byte, error)) error {
	if err := checkDocumentName(name); err != nil {
		return err
	}
	if err := makeDirectory(s.documents); err != nil {
		return fmt.Errorf("creating the directory of documents: %w", err)
	}
	path := filepath.Join(s.documents, name)
	unlock, err := s.lock(ctx, path+lockSuffix, "the document "+name)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.Document(ctx, name)
	if err != nil {
		return err
	}
	sealed, changed, err := s.seal.editDocument(name, old, edit)
	if err != nil || !changed {
		return err
	}
	if sealed == nil {
		if err := os.Remove(path + sealedSuffix); err != nil {
			return fmt.Errorf("removing the document %s: %w", name, err)
		}
		return atomicfile.SyncDir(s.documents)
	}
	return atomicfile.Write(path+sealedSuffix, sealed, 0o600)
}

// makeDirectory creates a directory durably.
func makeDirectory(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}
