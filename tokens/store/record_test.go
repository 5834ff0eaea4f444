package store

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"authferry/tokens/oauth"
)

// TestRecordVersion1: files written by earlier versions stay readable. When the
// format changes, add a file and keep this one.
func TestRecordVersion1(t *testing.T) {
	data, err := os.ReadFile("testdata/record-1.json")
	if err != nil {
		t.Fatal(err)
	}
	a, err := decodeRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	sameAccount(t, a, wholeAccount(me))
}

func FuzzDecodeRecord(f *testing.F) {
	whole, err := encodeRecord(wholeAccount(me))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(whole), `{"version":1}`, `{"version":2}`, `{}`, `[]`, `null`, `{"version":1,"x":1}`, `{"version":1,"passwords":[{}]}`,
		`{"version":1,"token":{"expiry":"x"}}`, `{"version":1,"passwords":[{"networks":["::ffff:1.2.3.4/96"],"last_used":{"at":"2026-01-01T00:00:00Z","from":"fe80::1%eth0"}}]}`,
		`{"version":1,"version":2}`, `{"version":1} `, `{"VERSION":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decodeRecord(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 300 {
				t.Errorf("%q from %q", err, data)
			}
			return
		}
		once, err := encodeRecord(a)
		if err != nil {
			return // a time that JSON cannot write
		}
		again, err := decodeRecord(once)
		if err != nil {
			t.Fatalf("%v in what was made of %q: %s", err, data, once)
		}
		twice, err := encodeRecord(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v: %s became %s", err, once, twice)
		}
	})
}

// TestRecordLeavesOutTheOwner: the person who signed in is not stored.
func TestRecordLeavesOutTheOwner(t *testing.T) {
	stored, err := encodeRecord(&Account{Mailbox: me, Token: oauth.Token{Access: "ya29.CANARY", Owner: "you@example.com"}})
	if err != nil || strings.Contains(string(stored), "you@example.com") {
		t.Errorf("%v, or the owner is kept", err)
	}
}
