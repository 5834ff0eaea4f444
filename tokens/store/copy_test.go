package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authferry/tokens/oauth"
)

func TestCopy(t *testing.T) { testCopy(t, openStore(t, t.TempDir())) }

// testCopy tests that a store is copied whole to an empty store with another key and
// back. It overwrites different content only by force.
func testCopy(t *testing.T, to Store) {
	ctx, from := context.Background(), openStore(t, t.TempDir())
	put(t, from, wholeAccount(me))
	put(t, from, &Account{Mailbox: "bare@gmail.com", Provider: "gmail"})
	if err := from.UpdateDocument(ctx, "users", func([]byte) ([]byte, error) { return []byte("u"), nil }); err != nil {
		t.Fatal(err)
	}
	put(t, to, wholeAccount("own@gmail.com"))
	whole, err := ReadContents(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	if err := whole.Verify(ctx, to); err == nil {
		t.Error("verified before it is there")
	}
	for range 2 { // a copy that was cut short is done again
		if err := whole.Write(ctx, to, false); err != nil {
			t.Fatal(err)
		}
		if err := whole.Verify(ctx, to); err != nil {
			t.Error(err)
		}
	}
	back, err := ReadContents(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	again := openStore(t, t.TempDir())
	if err := errors.Join(back.Write(ctx, again, false), whole.Verify(ctx, again), back.Verify(ctx, again)); err != nil {
		t.Error(err)
	}
	changed := &Account{Mailbox: me, Provider: "changed"}
	put(t, to, changed)
	if err := whole.Write(ctx, to, false); !errors.Is(err, ErrOccupied) {
		t.Errorf("over what is there: %v", err)
	}
	if got, err := to.Get(ctx, me); err != nil || got.Provider != "changed" {
		t.Errorf("overwritten: %v", err)
	}
	if err := whole.Verify(ctx, to); err == nil {
		t.Error("verified what differs")
	}
	if err := errors.Join(whole.Write(ctx, to, true), whole.Verify(ctx, to)); err != nil {
		t.Errorf("by force: %v", err)
	}
}

// TestCopyDamage: a store that cannot be read as a whole is not copied in part.
func TestCopyDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, wholeAccount(me))
	if err := os.WriteFile(filepath.Join(dir, "mailboxes", "bad@x.age"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadContents(context.Background(), s); err == nil {
		t.Error("read whole")
	}
}

// TestContentsPrintNothing: contents hold every token and document of a store.
func TestContentsPrintNothing(t *testing.T) {
	c := &Contents{
		accounts:  []*Account{{Mailbox: me, Token: oauth.Token{Refresh: "CANARY"}}},
		documents: map[string][]byte{"users": []byte("CANARY")},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, "CANARY") || strings.Contains(text, fmt.Sprint([]byte("CANARY"))[1:17]) || strings.Contains(text, "0x43, 0x41") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
