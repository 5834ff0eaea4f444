package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/gofrs/flock"

	"authferry/internal/atomicfile"
	"authferry/internal/printable"
	"authferry/internal/secret"
)

// Seal encrypts accounts at rest in the age format (https://age-encryption.org/v1), so
// that a file can be recovered without this program:
//
//	age --decrypt -i seal.key mailboxes/you@example.com.age
type Seal struct {
	recipient  age.Recipient
	identities []age.Identity // the first is the recipient's; others open what older keys sealed
	source     string         // where the key was read from, for messages
}

// errOtherKey is the error for an intact file that the keys of this seal do not open.
var errOtherKey = errors.New("sealed with another key")

// keyFile is the name of the key kept in the state directory.
const keyFile = "seal.key"

// LoadSeal reads the key named by spec: "file:PATH", "env:NAME", "credential:NAME"
// (systemd), or "" for a key in stateDir, which is created on first use. A key is an
// age identity, AGE-SECRET-KEY-1..., as age-keygen makes it. Of several, the first
// seals and all of them open.
func LoadSeal(spec, stateDir string) (*Seal, error) {
	kind, name, _ := strings.Cut(spec, ":")
	switch {
	case spec == "":
		return loadOrMakeKey(filepath.Join(stateDir, keyFile))
	case name == "":
	case kind == "file":
		return readKeyFile(name)
	case kind == "env":
		text, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("reading the seal key: the environment variable %s is not set", name)
		}
		return parseKey(text, spec)
	case kind == "credential":
		return readCredential(name)
	}
	return nil, fmt.Errorf("seal = %s is not understood: write file:PATH, env:NAME or credential:NAME, or leave it empty", printable.Quote(spec))
}

func readCredential(name string) (*Seal, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("reading the seal key: systemd handed over no credentials; add LoadCredential=%s:PATH to the unit, and run commands as root while the service runs", name)
	}
	if name != filepath.Base(name) {
		return nil, fmt.Errorf("reading the seal key: %s is not the name of a credential", printable.Quote(name))
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading the seal key from systemd: %w; add LoadCredential=%s:PATH to the unit", err, name)
	}
	return parseKey(string(text), "credential:"+name)
}

func readKeyFile(path string) (*Seal, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the seal key: %w", err)
	}
	if err := checkKeyMode(path); err != nil {
		return nil, err
	}
	return parseKey(string(text), path)
}

// checkKeyMode refuses a key that other users could read or replace. A group may read
// it: a service manager may hand it to a service that way. On Windows, access is not in
// the mode of a file.
func checkKeyMode(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading the seal key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o026 != 0 {
		return fmt.Errorf("the seal key %s has mode %04o, so others can read or change it: chmod 600 %s (for a container's secret, set its mode to 0400)", path, mode, path)
	}
	return nil
}

// parseKey hides the errors of the parser, which would quote the key.
func parseKey(text, source string) (*Seal, error) {
	identities, err := age.ParseIdentities(strings.NewReader(strings.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("the seal key in %s is not an age identity: it is a line AGE-SECRET-KEY-1..., as age-keygen makes it", source)
	}
	first, ok := identities[0].(*age.X25519Identity)
	if !ok {
		return nil, fmt.Errorf("the seal key in %s is of a kind not supported here: make one with age-keygen, without -pq", source)
	}
	return &Seal{recipient: first.Recipient(), identities: identities, source: source}, nil
}

// loadOrMakeKey reads the key in the state directory, and creates it the first time. The
// lock gives two processes that start at once the same key. The atomic write keeps a
// crash from leaving half of one.
func loadOrMakeKey(path string) (*Seal, error) {
	s, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making a seal key: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("making a seal key: locking %s: %w", lock.Path(), err)
	}
	defer lock.Unlock()
	s, err = readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	// A new key would open none of them, and would be used instead of the right one.
	if sealed, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*", "*"+sealedSuffix)); len(sealed) > 0 {
		return nil, fmt.Errorf("the seal key %s is gone, and the files beside it are sealed with it: put it back, or name its place in seal", path)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("making a seal key: %w", err)
	}
	text := fmt.Sprintf("# authferry: this key opens the mailboxes beside it. Keep a copy apart from them.\n# public key: %s\n%s\n",
		identity.Recipient(), identity)
	if err := atomicfile.Write(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("making a seal key: %w", err)
	}
	return readKeyFile(path)
}

// close encrypts plain.
func (s *Seal) close(plain []byte) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}

// open decrypts what close encrypted.
func (s *Seal) open(sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), s.identities...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, errOtherKey
	}
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	return plain, nil
}

// documentHeader begins the plain text of a document, so that one document copied over
// another is refused. The rest is the document, readable after decryption with age.
func documentHeader(name string) []byte { return []byte("authferry document 1 " + name + "\n") }

// closeDocument seals a document.
func (s *Seal) closeDocument(name string, data []byte) ([]byte, error) {
	sealed, err := s.close(append(documentHeader(name), data...))
	if err != nil {
		return nil, fmt.Errorf("sealing the document %s: %w", name, err)
	}
	return sealed, nil
}

// openDocument opens what closeDocument sealed. The result is never nil without an
// error.
func (s *Seal) openDocument(name string, sealed []byte) ([]byte, error) {
	plain, err := s.open(sealed)
	if errors.Is(err, errOtherKey) {
		return nil, fmt.Errorf("the document %s is %w: the key in %s does not open it; put back the key it was sealed with", name, err, s.source)
	}
	if err != nil {
		return nil, fmt.Errorf("the document %s is %w", name, err)
	}
	data, ok := bytes.CutPrefix(plain, documentHeader(name))
	if !ok {
		return nil, fmt.Errorf("the document %s has the content of another one, or a newer format: restore it", name)
	}
	return data, nil
}

func (s Seal) Format(f fmt.State, _ rune) { io.WriteString(f, secret.Redacted) }
