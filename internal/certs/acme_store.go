package certs

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Documents keeps documents where all servers that share a store see them; see
// store.Store in tokens/store. They are sealed there.
type Documents interface {
	Document(ctx context.Context, name string) ([]byte, error)
	UpdateDocument(ctx context.Context, name string, edit func(old []byte) ([]byte, error)) error
}

const (
	// storeTime bounds one access to the store.
	storeTime = 30 * time.Second
	// claimTime is how long other servers wait for one that orders. It is longer
	// than an order takes, so that only a server that crashed loses its claim.
	claimTime = orderTime + time.Minute
	// claimPoll is how often a server looks whether another one has finished.
	claimPoll = 10 * time.Second
)

// acmeStore keeps the certificates of one authority in a document, so that servers
// that share a store share the certificates, and one of them orders at a time. A
// claim with an end is the lock, and not the store's own lock: an order takes
// minutes, and a database ends a transaction that is idle for minutes.
type acmeStore struct {
	documents Documents
	name      string
	server    string // this server, as opposed to the others
}

// acmeDocument returns the name of an authority's document. A certificate from a
// staging directory does not replace one from the real directory.
func acmeDocument(directory string) string {
	return fmt.Sprintf("acme-%.16x", sha256.Sum256([]byte(directory)))
}

// acmeState is the content of the document.
type acmeState struct {
	Directory    string                 `json:"directory"`
	Account      string                 `json:"account,omitempty"` // the key in PEM; authorities count limits by account
	Certificates map[string]*acmeRecord `json:"certificates,omitempty"`
}

// acmeRecord is one certificate and the state of its order.
type acmeRecord struct {
	PEM      string    `json:"pem,omitempty"`    // the key and the chain
	Server   string    `json:"server,omitempty"` // that ordered last
	Ordering bool      `json:"ordering,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Next     time.Time `json:"next,omitzero"` // other servers do not order before
}

// recordKey names a certificate in the state. Servers that share a store may serve
// different names.
func recordKey(kind keyKind, hosts []string) string {
	return "tls" + kind.suffix + " " + strings.Join(slices.Sorted(slices.Values(hosts)), " ")
}

func (s acmeStore) decode(content []byte) (*acmeState, error) {
	state := &acmeState{}
	if content != nil {
		if err := json.Unmarshal(content, state); err != nil {
			return nil, fmt.Errorf("the document %s in the store: %w", s.name, err)
		}
	}
	if state.Certificates == nil {
		state.Certificates = map[string]*acmeRecord{}
	}
	return state, nil
}

func (s acmeStore) read(ctx context.Context) (*acmeState, error) {
	content, err := s.documents.Document(ctx, s.name)
	if err != nil {
		return nil, err
	}
	return s.decode(content)
}

// update edits the state; edit reports whether it changed anything.
func (s acmeStore) update(ctx context.Context, edit func(*acmeState) (bool, error)) error {
	return s.documents.UpdateDocument(ctx, s.name, func(old []byte) ([]byte, error) {
		state, err := s.decode(old)
		if err != nil {
			return nil, err
		}
		changed, err := edit(state)
		if err != nil || !changed {
			return old, err
		}
		return json.Marshal(state)
	})
}

// usable returns the certificate to show: the one for these hosts, or else the
// newest for other hosts, which is better than none while the right one is
// ordered. nil: none.
func (s *acmeState) usable(kind keyKind, hosts []string) (best *tls.Certificate, err error) {
	own := recordKey(kind, hosts)
	if r := s.Certificates[own]; r != nil && r.PEM != "" {
		if best, err = r.pair(); err == nil {
			return best, nil
		}
	}
	for key, r := range s.Certificates {
		of, _, _ := strings.Cut(key, " ")
		if key == own || of != "tls"+kind.suffix || r.PEM == "" {
			continue
		}
		if pair, bad := r.pair(); bad == nil && (best == nil || pair.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = pair
		}
	}
	return best, err
}

func (r *acmeRecord) pair() (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(r.PEM), []byte(r.PEM))
	if err != nil {
		return nil, fmt.Errorf("loading the certificate from the store: %w", err)
	}
	return &pair, nil
}

// expired reports whether a record is of no more use: its names are not in any
// configuration now, or its server would have renewed it.
func (r *acmeRecord) expired(now time.Time) bool {
	pair, err := r.pair()
	return err == nil && now.After(pair.Leaf.NotAfter) && now.After(r.Next)
}

// acmeClaim is the answer to a server that wants to order: a certificate that
// another server has obtained, a time to wait, or leave to order.
type acmeClaim struct {
	pair     *tls.Certificate
	wait     time.Duration
	account  crypto.Signer
	failures int
}

// claim asks for leave to order. first says that this server has not ordered since
// its start: it begins its back-off again, since its administrator may have fixed
// the cause, and waits for another server's back-off for firstRetry only.
func (s acmeStore) claim(ctx context.Context, kind keyKind, hosts []string, first bool, now time.Time, due func(*tls.Certificate) bool) (c acmeClaim, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	err = s.update(ctx, func(state *acmeState) (bool, error) {
		key := recordKey(kind, hosts)
		r := state.Certificates[key]
		if r == nil {
			r = &acmeRecord{}
			state.Certificates[key] = r
		}
		if pair, err := r.pair(); err == nil && !due(pair) {
			c.pair = pair
			return false, nil
		}
		if c.wait = r.wait(s.server, first, now); c.wait > 0 {
			return false, nil
		}
		if first {
			r.Failures = 0
		}
		r.Server, r.Ordering, r.Next = s.server, true, now.Add(claimTime)
		c.failures = r.Failures
		c.account, err = state.accountKey()
		if err != nil {
			return false, fmt.Errorf("the key of the account with the authority, in the document %s of the store: %w", s.name, err)
		}
		return true, nil
	})
	return c, err
}

// wait returns how long a server waits for another one. 0: it may order.
func (r *acmeRecord) wait(server string, first bool, now time.Time) time.Duration {
	if r.Server == server {
		return 0
	}
	left := r.Next.Sub(now)
	if left > 0 && r.Ordering {
		return min(left, claimPoll)
	}
	if first && r.Failures > 0 {
		left -= min(firstRetry<<min(r.Failures-1, 10), maxRetry) - firstRetry
	}
	return min(max(left, 0), acmeCheck-1)
}

// finish ends a claim with what was obtained, or counts a failure; next is when
// another server may order after it. It runs even if ctx is done.
func (s acmeStore) finish(ctx context.Context, kind keyKind, hosts []string, content []byte, next time.Time) error {
	failed := content == nil && ctx.Err() == nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	key := recordKey(kind, hosts)
	return s.update(ctx, func(state *acmeState) (bool, error) {
		r := state.Certificates[key]
		if r == nil {
			r = &acmeRecord{}
			state.Certificates[key] = r
		}
		r.Server, r.Ordering, r.Next = s.server, false, next
		switch {
		case failed:
			r.Failures++
		case content != nil:
			*r = acmeRecord{PEM: string(content), Server: s.server}
		}
		maps.DeleteFunc(state.Certificates, func(other string, r *acmeRecord) bool {
			return other != key && r.expired(time.Now())
		})
		return true, nil
	})
}

// accountKey returns the key of the account, generated at the first order.
func (s *acmeState) accountKey() (crypto.Signer, error) {
	if s.Account == "" {
		key, err := CurveKey.generate()
		if err != nil {
			return nil, err
		}
		content, err := encodeKey(key)
		s.Account = string(content)
		return key, err
	}
	block, _ := pem.Decode([]byte(s.Account))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return key, nil
}
