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
	SealedSuffix = ".age"
	// maxSealed bounds what is read of a file that may be anything.
	maxSealed = 1 << 20
	// settle is how old a file must be for its inode, time and size to prove
	// that it is the one that was read: two replacements within one tick of
	// the file system's clock, up to 2 s on some, may reuse the inode.
	Settle = 2 * time.Second
	// maxName leaves room for the suffixes in the 255 bytes of a file name.
	maxName = 240
)

// FileStore keeps each account in a sealed file of its own:
//
//	DIR/mailboxes/you@example.com.age    the account
//	DIR/mailboxes/you@example.com.lock   held while it is edited; stays, since removing a lock races
//	DIR/mailboxes/.you@example.com.age.tmp  a write under way, or cut short by a crash
//	DIR/documents/                          see file_documents.go
type Files struct {
	Dir  string
	seal *Seal

	locks keyLocks

	mu    sync.Mutex
	cache map[string]cachedAccount
}

// cachedAccount is an account and the file it was read from.
type cachedAccount struct {
	account *Account
	file    fs.FileInfo
}

// OpenFileStore opens or creates a store in a directory. It refuses a seal that
// opens none of the files there: nothing could be read, and writing would leave
// a store under two keys.
func OpenFiles(dir string, seal *Seal) (*Files, error) {
	s := &Files{
		Dir: filepath.Join(dir, "mailboxes"), seal: seal, cache: map[string]cachedAccount{},
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	mailboxes, err := s.Mailboxes(context.Background())
	if err != nil {
		return nil, err
	}
	s.sweep()
	var foreign error
	for _, mailbox := range mailboxes {
		_, _, err := s.Read(mailbox)
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

// sweep removes what writes cut short by a crash have left, unless another
// process is writing there now.
func (s *Files) sweep() {
	temps, _ := filepath.Glob(filepath.Join(s.Dir, ".*"+SealedSuffix+".tmp"))
	for _, temp := range temps {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(temp), "."), SealedSuffix+".tmp")
		lock := flock.New(filepath.Join(s.Dir, name+lockSuffix), flock.SetPermissions(0o600))
		if ok, err := lock.TryLock(); err == nil && ok {
			os.Remove(temp)
			lock.Unlock()
		}
	}
}

// path is where a mailbox lives. Escaping keeps an address from naming another
// directory or a hidden file.
func (s *Files) Path(mailbox, suffix string) string {
	return filepath.Join(s.Dir, escapeName(mailbox)+suffix)
}

func escapeName(mailbox string) string {
	// PathEscape leaves ":" and a leading dot, which Windows and ls object to.
	name := strings.ReplaceAll(url.PathEscape(mailbox), ":", "%3A")
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	return name
}

// Mailboxes lists the addresses in alphabetical order.
func (s *Files) Mailboxes(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("listing the mailboxes: %w", err)
	}
	var mailboxes []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), SealedSuffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		// A name we did not write belongs to somebody else's file.
		if mailbox, err := url.PathUnescape(name); err == nil && escapeName(mailbox) == name {
			mailboxes = append(mailboxes, mailbox)
		}
	}
	slices.Sort(mailboxes)
	return mailboxes, nil
}

// Get returns an account as last written. While its file stays the same this
// costs one stat. A name that no file can have, which strangers send too, is a
// mailbox that is not there and not a fault of the store.
func (s *Files) Get(ctx context.Context, mailbox string) (*Account, error) {
	if len(escapeName(mailbox)) > maxName {
		return nil, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	info, err := os.Stat(s.Path(mailbox, SealedSuffix))
	if err != nil {
		s.forget(mailbox)
		return nil, s.storeError(mailbox, err)
	}
	s.mu.Lock()
	c, ok := s.cache[mailbox]
	s.mu.Unlock()
	if ok && c.same(info) {
		return c.account, nil
	}
	a, info, err := s.Read(mailbox)
	if err != nil {
		s.forget(mailbox)
		return nil, err
	}
	s.remember(a, info)
	return a, nil
}

func (c cachedAccount) same(info fs.FileInfo) bool {
	return os.SameFile(c.file, info) && c.file.ModTime().Equal(info.ModTime()) && c.file.Size() == info.Size()
}

func (s *Files) remember(a *Account, info fs.FileInfo) {
	if time.Since(info.ModTime()) < Settle {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[a.Mailbox] = cachedAccount{a, info}
}

func (s *Files) forget(mailbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, mailbox)
}

// read reads and opens a mailbox's file.
func (s *Files) Read(mailbox string) (*Account, fs.FileInfo, error) {
	path := s.Path(mailbox, SealedSuffix)
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, s.storeError(mailbox, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, s.storeError(mailbox, err)
	}
	sealed, err := io.ReadAll(io.LimitReader(f, maxSealed))
	if err != nil {
		return nil, nil, s.storeError(mailbox, err)
	}
	plain, err := s.seal.open(sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is %w", path, err)
	}
	a, err := decodeRecord(plain)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	// The name is inside the seal too, so that a file put in another's place
	// does not lend it its mailbox.
	if a.Mailbox != mailbox {
		return nil, nil, fmt.Errorf("%s holds the account of %s: give the file its own name back", path, printable.Quote(a.Mailbox))
	}
	return a, info, nil
}

// storeError makes an error of the file system one of the store. Where the whole
// directory is gone, as with a volume that is not mounted, nobody knows which
// mailboxes there are: passwords would be called wrong, and sessions ended, that
// are good.
func (s *Files) storeError(mailbox string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the account of %s: %w", printable.Quote(mailbox), err)
	}
	if _, err := os.Stat(s.Dir); err != nil {
		return fmt.Errorf("reading the account of %s: the store is not in its place: %w; see whether its volume is mounted", printable.Quote(mailbox), err)
	}
	return fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
}

// Update edits an account under its lock; see [Store].
func (s *Files) Update(ctx context.Context, mailbox string, edit func(*Account) error) error {
	unlock, err := s.lock(ctx, mailbox)
	if err != nil {
		return err
	}
	defer unlock()
	a, _, err := s.Read(mailbox)
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
	return atomicfile.Write(s.Path(mailbox, SealedSuffix), sealed, 0o600)
}

// Delete forgets a mailbox.
func (s *Files) Delete(ctx context.Context, mailbox string) error {
	unlock, err := s.lock(ctx, mailbox)
	if err != nil {
		return err
	}
	defer unlock()
	return s.remove(mailbox)
}

// remove is Delete, inside the lock.
func (s *Files) remove(mailbox string) error {
	defer s.forget(mailbox)
	if err := os.Remove(s.Path(mailbox, SealedSuffix)); err != nil {
		return s.storeError(mailbox, err)
	}
	return atomicfile.SyncDir(s.Dir)
}

var _ Store = (*Files)(nil)

// writable writes a file as [atomicfile.Write] would and removes it. It leaves out
// waiting for the disk, since it may be asked every few seconds. One name serves
// for all, so that what a crash left behind does not heap up.
func (s *Files) Usable(ctx context.Context) error {
	if _, err := s.Mailboxes(ctx); err != nil {
		return err
	}
	return s.writable()
}

// writable writes a file like that of a mailbox and removes it.
func (s *Files) writable() error {
	path := filepath.Join(s.Dir, ".trial")
	err := writeTrial(path)
	// Another process may be at it too.
	if removing := os.Remove(path); err == nil && !errors.Is(removing, fs.ErrNotExist) {
		err = removing
	}
	if err != nil {
		return fmt.Errorf("the store cannot be written to: %w", err)
	}
	return nil
}

func writeTrial(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := atomicfile.Disk.Write(f, make([]byte, trialSize)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// trialSize is about what a mailbox takes: a full disk may still have room for
// the name of a file.
const trialSize = 4 << 10
