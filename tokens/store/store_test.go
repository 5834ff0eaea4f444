package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// testStore is the contract of every store. open returns two handles of one empty store,
// like those of two processes.
func testStore(t *testing.T, open func(*testing.T) (Store, Store)) {
	for name, test := range map[string]func(*testing.T, Store, Store){
		"keeps an account whole":              storeKeepsAll,
		"knows no mailbox it does not hold":   storeNoMailbox,
		"lists in order":                      storeLists,
		"leaves an account when an edit errs": storeEditErrs,
		"deletes at the end of an edit":       storeEditDeletes,
		"shows what another handle wrote":     storeSeesOther,
		"edits one at a time":                 storeExcludes,
		"waits no longer than its context":    storeWaits,
		"writes although the context ended":   storeWritesLate,
		"does not let edits leak":             storeIsolates,
		"keeps documents":                     storeDocuments,
		"edits documents one at a time":       storeDocumentsExclude,
		"takes no other names for documents":  storeDocumentNames,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			test(t, a, b)
		})
	}
}

func wholeAccount(mailbox string) *Account {
	at := time.Date(2026, 11, 21, 4, 5, 6, 789, time.UTC)
	return &Account{
		Mailbox: mailbox, Provider: "gmail",
		Token: oauth.Token{
			Access: "ya29.a", Refresh: "1//r", Minted: at, Expiry: at.Add(time.Hour),
			Scopes: []string{"https://mail.google.com/"}, RefreshExpiry: at.Add(7 * 24 * time.Hour),
		},
		Dead:    &Failure{At: at, Since: at, Reason: "answered 400 \"invalid_grant\"", Count: 2},
		Trouble: &Failure{At: at, Since: at, Reason: "no answer", Count: 9},
		Passwords: []Password{
			{
				ID: "01", Name: "Livespace", Key: "k\x00\xff", Hash: "h\x00\xfe", Protocols: []protocol.Protocol{"imap", "smtp"},
				Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
				Expires:  at, Created: at,
				LastUsed: Use{At: at, From: netip.MustParseAddr("2001:db8::1"), Protocol: "imap", Client: "Thunderbird ü"},
			},
			{ID: "02", Name: "printer", Argon2: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Created: at, LastUsed: Use{At: at}},
		},
		Created: at, Connected: at,
	}
}

// sameAccount compares accounts, secrets included.
func sameAccount(t *testing.T, got, want *Account) {
	t.Helper()
	addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if d := cmp.Diff(want, got, addresses, prefixes, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(oauth.Token{})); d != "" {
		t.Errorf("the account differs (-want +got):\n%s", d)
	}
}

func put(t *testing.T, s Store, want *Account) {
	t.Helper()
	err := s.Update(context.Background(), want.Mailbox, func(a *Account) error {
		*a = *want
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func storeKeepsAll(t *testing.T, a, b Store) {
	for _, want := range []*Account{wholeAccount("me@gmail.com"), {Mailbox: "bare@gmail.com"}, wholeAccount("żółw+a/b:%@gmail.com")} {
		put(t, a, want)
		for _, s := range []Store{a, b} {
			got, err := s.Get(context.Background(), want.Mailbox)
			if err != nil {
				t.Fatal(err)
			}
			sameAccount(t, got, want)
		}
	}
}

func storeNoMailbox(t *testing.T, a, _ Store) {
	ctx := context.Background()
	for _, name := range []string{"", ".", "..", "../me", "a\x00b", string(make([]byte, 5000)), "nobody@gmail.com"} {
		if _, err := a.Get(ctx, name); !errors.Is(err, ErrNoMailbox) {
			t.Errorf("Get(%.20q): %v, not ErrNoMailbox", name, err)
		}
	}
	if err := a.Delete(ctx, "nobody@gmail.com"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("Delete: %v, not ErrNoMailbox", err)
	}
	err := a.Update(ctx, "new@gmail.com", func(got *Account) error {
		sameAccount(t, got, &Account{Mailbox: "new@gmail.com"})
		return errors.New("not now")
	})
	if err == nil || errors.Is(err, ErrNoMailbox) {
		t.Errorf("Update: %v, not the error of the edit", err)
	}
	if _, err := a.Get(ctx, "new@gmail.com"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("an edit that failed made a mailbox: %v", err)
	}
}

func storeLists(t *testing.T, a, b Store) {
	want := []string{".dot@x", "a@x", "b@x", "c/d@x", "zażółć@x"}
	for _, m := range []string{"zażółć@x", "b@x", "c/d@x", "a@x", ".dot@x", "gone@x"} {
		put(t, a, wholeAccount(m))
	}
	if err := b.Delete(context.Background(), "gone@x"); err != nil {
		t.Fatal(err)
	}
	got, err := b.Mailboxes(context.Background())
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("Mailboxes: %q, %v; want %q", got, err, want)
	}
	if _, err := a.Get(context.Background(), "gone@x"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("a mailbox that another handle deleted: %v", err)
	}
}

// storeEditDeletes: an edit that waits for the lock meanwhile starts from an empty
// account, and its result stays.
func storeEditDeletes(t *testing.T, a, b Store) {
	ctx := t.Context()
	remove := func(*Account) error { return ErrDelete }
	if err := a.Update(ctx, me, remove); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("of what is not there: %v, not ErrNoMailbox", err)
	}
	put(t, a, wholeAccount(me))
	next := make(chan error, 1)
	err := a.Update(ctx, me, func(x *Account) error {
		go func() {
			next <- b.Update(ctx, me, func(x *Account) error {
				if x.Held() {
					return errors.New("it is still there")
				}
				x.Provider = "outlook"
				return nil
			})
		}()
		return ErrDelete
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Fatal(err)
	}
	for _, s := range []Store{a, b} {
		if got, err := s.Get(ctx, me); err != nil || got.Provider != "outlook" {
			t.Errorf("what was written after it: %v", err)
		}
	}
	if err := b.Update(ctx, me, remove); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Store{a, b} {
		if _, err := s.Get(ctx, me); !errors.Is(err, ErrNoMailbox) {
			t.Errorf("deleted, and %v", err)
		}
	}
}

func storeEditErrs(t *testing.T, a, _ Store) {
	want := wholeAccount(me)
	put(t, a, want)
	no := errors.New("no")
	err := a.Update(context.Background(), me, func(x *Account) error {
		x.Token.Refresh, x.Passwords = "other", nil
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("Update: %v, not the error of the edit", err)
	}
	got, err := a.Get(context.Background(), me)
	if err != nil {
		t.Fatal(err)
	}
	sameAccount(t, got, want)
}

// storeSeesOther changes an account so fast, to records of one size, that times and
// sizes of files do not show it.
func storeSeesOther(t *testing.T, a, b Store) {
	ctx := context.Background()
	for i := range 50 {
		writer, reader := a, b
		if i%2 == 1 {
			writer, reader = b, a
		}
		want := secret.String(fmt.Sprintf("token-%03d", i))
		err := writer.Update(ctx, me, func(x *Account) error {
			x.Token.Access = want
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := reader.Get(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		if got.Token.Access != want {
			t.Fatalf("write %d is not seen", i)
		}
	}
}

func storeExcludes(t *testing.T, a, b Store) {
	const each = 10
	var all sync.WaitGroup
	for _, s := range []Store{a, b, a, b} {
		all.Go(func() {
			for range each {
				err := s.Update(context.Background(), me, func(x *Account) error {
					x.Provider += "x"
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := a.Get(context.Background(), me)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Provider); n != 4*each {
		t.Errorf("%d edits of %d survived", n, 4*each)
	}
}

func storeWaits(t *testing.T, a, b Store) {
	for name, other := range map[string]Store{"the same handle": a, "another handle": b} {
		held, release := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- a.Update(context.Background(), me, func(*Account) error {
				close(held)
				<-release
				return nil
			})
		}()
		<-held
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		err := other.Update(ctx, me, func(*Account) error {
			t.Errorf("%s: edited while locked", name)
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, not the context's error", name, err)
		}
		cancel()
		// Other mailboxes are not locked.
		put(t, other, wholeAccount("other@gmail.com"))
		close(release)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func storeWritesLate(t *testing.T, a, _ Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := a.Update(ctx, me, func(x *Account) error {
		cancel()
		x.Token.Refresh = "the only copy"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Get(context.Background(), me)
	if err != nil || got.Token.Refresh != "the only copy" {
		t.Errorf("a token was lost with its context: %v", err)
	}
}

func storeIsolates(t *testing.T, a, _ Store) {
	put(t, a, wholeAccount(me))
	before, err := a.Get(context.Background(), me)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Update(context.Background(), me, func(x *Account) error {
		x.Passwords[0].Name = "changed"
		x.Token.Scopes[0] = "changed"
		x.Dead.Count = 100
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sameAccount(t, before, wholeAccount(me))
}

// wantDocument checks a document, nil for none, as every handle sees it.
func wantDocument(t *testing.T, name string, want []byte, stores ...Store) {
	t.Helper()
	for i, s := range stores {
		got, err := s.Document(context.Background(), name)
		if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("handle %d: the document %s is %q, %v; want %q", i, name, got, err, want)
		}
	}
}

func storeDocuments(t *testing.T, a, b Store) {
	ctx := context.Background()
	put(t, a, wholeAccount(me))
	wantDocument(t, "users", nil, a, b)
	if got, err := a.Documents(ctx); err != nil || len(got) != 0 {
		t.Errorf("Documents: %q, %v", got, err)
	}
	was := []byte(nil)
	for i, next := range [][]byte{[]byte("one"), {}, []byte("two\x00\xff\n"), []byte("same"), []byte("same"), nil, []byte("back"), bytes.Repeat([]byte("x"), maxDocument)} {
		writer := []Store{a, b}[i%2]
		err := writer.UpdateDocument(ctx, "users", func(old []byte) ([]byte, error) {
			if !bytes.Equal(old, was) || (old == nil) != (was == nil) {
				t.Errorf("edit %d: got %.20q, want %.20q", i, old, was)
			}
			return next, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantDocument(t, "users", next, a, b)
		was = next
	}
	no := errors.New("no")
	for name, edit := range map[string]func([]byte) ([]byte, error){
		"an error":       func(old []byte) ([]byte, error) { old[0] = 'y'; return nil, no },
		"one too large":  func(old []byte) ([]byte, error) { return append(old, 'x'), nil },
		"a change alone": func(old []byte) ([]byte, error) { old[0] = 'y'; return old, no },
	} {
		if err := a.UpdateDocument(ctx, "users", edit); err == nil || name != "one too large" && !errors.Is(err, no) {
			t.Errorf("%s: %v", name, err)
		}
		wantDocument(t, "users", was, a, b)
	}
	wantDocument(t, "user", nil, a, b)
	if err := b.UpdateDocument(ctx, "users-2", func([]byte) ([]byte, error) { return []byte("2"), nil }); err != nil {
		t.Error(err)
	}
	if got, err := a.Documents(ctx); err != nil || !cmp.Equal(got, []string{"users", "users-2"}) {
		t.Errorf("Documents: %q, %v", got, err)
	}
	if got, err := b.Mailboxes(ctx); err != nil || !cmp.Equal(got, []string{me}) {
		t.Errorf("among the mailboxes: %q, %v", got, err)
	}
}

func storeDocumentsExclude(t *testing.T, a, b Store) {
	const each = 10
	var all sync.WaitGroup
	for _, s := range []Store{a, b, a, b} {
		all.Go(func() {
			for range each {
				if err := s.UpdateDocument(context.Background(), "count", func(old []byte) ([]byte, error) { return append(old, 'x'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantDocument(t, "count", bytes.Repeat([]byte("x"), 4*each), a, b)
	for name, other := range map[string]Store{"the same handle": a, "another handle": b} {
		ctx, cancel := context.WithCancel(context.Background())
		err := a.UpdateDocument(ctx, "count", func([]byte) ([]byte, error) {
			short, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer stop()
			err := other.UpdateDocument(short, "count", func([]byte) ([]byte, error) {
				t.Errorf("%s: edited while locked", name)
				return nil, nil
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, not the context's error", name, err)
			}
			cancel() // what was edited is written all the same
			return []byte(name), other.UpdateDocument(context.Background(), "other", func([]byte) ([]byte, error) { return []byte("o"), nil })
		})
		if err != nil {
			t.Error(err)
		}
		wantDocument(t, "count", []byte(name), a, b)
	}
}

func storeDocumentNames(t *testing.T, a, _ Store) {
	for _, name := range []string{"", ".", "../users", "Users", "a.b", "a b", "a\x00", "\u017c", strings.Repeat("a", 65)} {
		if got, err := a.Document(context.Background(), name); err == nil || got != nil {
			t.Errorf("Document(%q): %q, %v", name, got, err)
		}
		err := a.UpdateDocument(context.Background(), name, func([]byte) ([]byte, error) {
			t.Errorf("%q was edited", name)
			return nil, nil
		})
		if err == nil {
			t.Errorf("UpdateDocument(%q): no error", name)
		}
	}
	long := strings.Repeat("a-0", 21) + "z"
	if err := a.UpdateDocument(context.Background(), long, func([]byte) ([]byte, error) { return []byte("1"), nil }); err != nil {
		t.Error(err)
	}
	wantDocument(t, long, []byte("1"), a)
}
