package tokens

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Cost of argon2id: OWASP's second choice for servers (19 MiB, two passes). What
// it guards is a sealed file; what it must not do is fill a small machine.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKeyLen  = 32
	argonSaltLen = 16
)

const (
	// mostRemembered bounds the passwords known to be right.
	mostRemembered = 4096
	// argonWait is how long a login waits for its turn.
	argonWait = 10 * time.Second
)

// verifier checks local passwords.
type verifier struct {
	key secret.String // made at start: what is remembered is worth nothing elsewhere
	// turns bounds the verifications in flight, each of which takes argonMemory.
	turns chan struct{}
	wait  time.Duration
	// costly is the most chosen passwords that an account seen so far has. Every
	// refusal costs as many verifications, or its duration would tell a mailbox
	// that has them from a mailbox that is not there.
	costly   atomic.Int32
	verified atomic.Int64 // verifications so far

	mu         sync.Mutex
	remembered map[secret.String]struct{}
}

func newVerifier() *verifier {
	return &verifier{
		key: secret.String(secret.RandomBytes(32)), turns: make(chan struct{}, runtime.GOMAXPROCS(0)), wait: argonWait,
		remembered: map[secret.String]struct{}{},
	}
}

// verify finds the password of an account that a login may use. An account
// without passwords, such as one that does not exist, costs as much as one
// with a password that is not the one given.
func (c *verifier) verify(ctx context.Context, a *store.Account, l Login, now time.Time) (*store.Password, error) {
	refusal := ""
	consider := func(p *store.Password) bool {
		why := forbids(p, l, now)
		if why != "" && refusal == "" {
			refusal = fmt.Sprintf("password %q %s", p.Name, why)
		}
		return why == ""
	}
	if p := matchGenerated(a, l.Password, consider); p != nil {
		return p, nil
	}
	p, spent, err := c.matchChosen(ctx, a, l.Password, consider)
	if p != nil || err != nil {
		return p, err
	}
	for ; spent < int(c.costly.Load()); spent++ {
		if _, err := c.argon2(ctx, dummyArgon2, l.Password); err != nil {
			return nil, err
		}
	}
	if refusal == "" && !a.Held() {
		refusal = fmt.Sprintf("there is no mailbox %s", printable.Quote(a.Mailbox))
	}
	if refusal == "" {
		refusal = fmt.Sprintf("wrong password for %s", a.Mailbox)
	}
	return nil, fmt.Errorf("%w: %s", ErrBadLogin, refusal)
}

// matchGenerated finds the first generated password that is the given one and
// may be used.
func matchGenerated(a *store.Account, given secret.String, consider func(*store.Password) bool) (found *store.Password) {
	folded, compared := foldGenerated(given), false
	for i := range a.Passwords {
		p := &a.Passwords[i]
		if p.Hash.Empty() {
			continue
		}
		compared = true
		if secret.Equal(keyedHash(p.Key, folded), p.Hash) && consider(p) && found == nil {
			found = p
		}
	}
	if !compared {
		_ = secret.Equal(keyedHash(dummyKey, folded), dummyKey)
	}
	return found
}

// seen notes how many chosen passwords an account has.
func (c *verifier) seen(a *store.Account) {
	n := int32(0)
	for i := range a.Passwords {
		if !a.Passwords[i].Argon2.Empty() {
			n++
		}
	}
	for most := c.costly.Load(); n > most && !c.costly.CompareAndSwap(most, n); most = c.costly.Load() {
	}
}

// matchChosen does the same for chosen passwords. spent is how many argon2
// verifications it cost.
func (c *verifier) matchChosen(ctx context.Context, a *store.Account, given secret.String, consider func(*store.Password) bool) (found *store.Password, spent int, err error) {
	c.seen(a)
	for i := range a.Passwords {
		p := &a.Passwords[i]
		if p.Argon2.Empty() {
			continue
		}
		right := c.remembers(p, given)
		if !right {
			spent++
			if right, err = c.argon2(ctx, p.Argon2, given); err != nil {
				return nil, spent, err
			}
			if right {
				c.remember(p, given)
			}
		}
		if right && consider(p) {
			return p, spent, nil
		}
	}
	return nil, spent, nil
}

// mark is what is remembered of a password that was right. It covers what the
// account keeps of it, so a password that was changed is not remembered.
func (c *verifier) mark(p *store.Password, given secret.String) secret.String {
	return keyedHash(c.key, secret.String(p.ID+"\x00")+p.Argon2+"\x00"+given)
}

func (c *verifier) remembers(p *store.Password, given secret.String) bool {
	mark := c.mark(p, given)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.remembered[mark]
	return ok
}

func (c *verifier) remember(p *store.Password, given secret.String) {
	mark := c.mark(p, given)
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.remembered {
		if len(c.remembered) < mostRemembered {
			break
		}
		delete(c.remembered, old) // any will do: it costs one verification
	}
	c.remembered[mark] = struct{}{}
}

// argon2 verifies a password when its turn comes. That it does not come in time
// says nothing of the password.
func (c *verifier) argon2(ctx context.Context, phc, given secret.String) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
		c.verified.Add(1)
	case <-ctx.Done():
		return false, fmt.Errorf("%w: too many passwords to verify at once: %w", oauth.ErrUnavailable, ctx.Err())
	}
	return MatchChosen(phc, given)
}

var (
	dummyKey    = secret.String(secret.RandomBytes(32))
	dummyArgon2 = phc(secret.RandomBytes(argonSaltLen), secret.RandomBytes(argonKeyLen))
)

// HashChosen returns what to keep of a password that a person chose: argon2id as
// a PHC string. It takes tens of megabytes and some milliseconds.
func HashChosen(password secret.String) secret.String {
	salt := secret.RandomBytes(argonSaltLen)
	return phc(salt, argon2.IDKey([]byte(password.Reveal()), salt, argonTime, argonMemory, argonThreads, argonKeyLen))
}

func phc(salt, hash []byte) secret.String {
	b64 := base64.RawStdEncoding
	return secret.String(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(hash)))
}

// MatchChosen reports whether a password is the one that HashChosen made phc of, at
// the same cost: bound how many calls run at a time. An error means that phc is
// damaged, and says nothing about the password.
func MatchChosen(phc, given secret.String) (bool, error) {
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(phc.Reveal(), "$")
	broken := fmt.Errorf("%w: the verifier of a password is damaged: revoke it and add it again", oauth.ErrUnavailable)
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, broken
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil {
		return false, broken
	}
	if version != argon2.Version || memory > 1<<20 || passes < 1 || passes > 100 || threads < 1 {
		return false, broken
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, broken
	}
	hash, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(hash) < 16 || len(hash) > 64 {
		return false, broken
	}
	made := argon2.IDKey([]byte(given.Reveal()), salt, passes, memory, threads, uint32(len(hash)))
	return secret.Equal(secret.String(made), secret.String(hash)), nil
}
