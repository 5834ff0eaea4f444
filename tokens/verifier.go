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

// The cost of argon2id is the second choice of OWASP for servers, 19 MiB and two
// passes: the hashes are in a sealed store, and small machines have little memory.
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKeyLen  = 32
	argonSaltLen = 16
)

const (
	// maxRemembered bounds the chosen passwords remembered as right.
	maxRemembered = 4096
	// argonTimeout bounds the wait of a login for a free slot.
	argonTimeout = 10 * time.Second
)

// verifier checks local passwords.
type verifier struct {
	key secret.String // made at start, so that remembered is useless elsewhere
	// slots bounds the verifications in progress, each of which takes argonMemory.
	slots   chan struct{}
	timeout time.Duration
	// costly is the highest number of chosen passwords that an account seen so far
	// has. Every refusal costs as many verifications; otherwise its duration would
	// reveal whether a mailbox exists and how many it has.
	costly   atomic.Int32
	verified atomic.Int64 // verifications so far

	mu         sync.Mutex
	remembered map[secret.String]struct{}
}

func newVerifier() *verifier {
	return &verifier{
		key: secret.String(secret.RandomBytes(32)), slots: make(chan struct{}, runtime.GOMAXPROCS(0)), timeout: argonTimeout,
		remembered: map[secret.String]struct{}{},
	}
}

// verify returns the password of an account that allows a login. A refusal costs
// the same for every account, also for one that does not exist.
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

// matchGenerated returns the first generated password that is the given one and
// that consider accepts.
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

// matchChosen does the same for chosen passwords. spent is the number of argon2
// verifications.
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

// mark returns what is remembered of a password that was right. It covers the
// stored hash, so that a password which was changed is not remembered.
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
		if len(c.remembered) < maxRemembered {
			break
		}
		delete(c.remembered, old) // any one: it costs one verification
	}
	c.remembered[mark] = struct{}{}
}

// argon2 verifies a password in a free slot. If there is none in time, the password
// is neither right nor wrong: the error is ErrUnavailable.
func (c *verifier) argon2(ctx context.Context, phc, given secret.String) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
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
