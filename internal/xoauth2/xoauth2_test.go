package xoauth2

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

type secret string

func (s secret) Reveal() string { return string(s) }

func credentials(mechanism, user, token string) Credentials {
	return Credentials{Mechanism: mechanism, User: user, Token: secret(token), Host: "server.example.com", Port: 143}
}

func TestResponse(t *testing.T) {
	for _, tt := range []struct{ mechanism, user, want string }{
		// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
		{"XOAUTH2", "someuser@example.com", "user=someuser@example.com\x01auth=Bearer tok\x01\x01"},
		// RFC 7628 §4.1
		{"OAUTHBEARER", "user@example.com", "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer tok\x01\x01"},
		{"OAUTHBEARER", "a=b,c", "n,a=a=3Db=2Cc,\x01host=server.example.com\x01port=143\x01auth=Bearer tok\x01\x01"},
	} {
		if got := credentials(tt.mechanism, tt.user, "tok").Response(); string(got) != tt.want {
			t.Errorf("%s: %q", tt.mechanism, got)
		}
	}
}

func TestExplain(t *testing.T) {
	for challenge, want := range map[string]string{
		`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`: "status 400, scope https://mail.google.com/",
		`{"status":"invalid_token","scope":"mail","openid-configuration":"x"}`:   "status invalid_token, scope mail",
		`{"status":401}`: `{"status":401}`,
		"{}":             "{}",
		"not json":       "not json",
		"":               "",
	} {
		if got := Explain([]byte(challenge)); got != want {
			t.Errorf("Explain(%q) = %q, want %q", challenge, got, want)
		}
	}
}

// TestClient has the whole exchange, with the response in the command and on
// request, as each protocol's client asks for it.
func TestClient(t *testing.T) {
	for _, mechanism := range []string{"XOAUTH2", "OAUTHBEARER"} {
		for name, tt := range map[string]struct {
			length   int
			client   func(Credentials) *Client
			deferred bool
		}{
			"IMAP":            {100, NewClient, false},
			"IMAP long token": {5000, NewClient, false},
			"SMTP":            {100, NewSMTPClient, false},
			"SMTP long token": {5000, NewSMTPClient, true},
		} {
			c := credentials(mechanism, "a@x.org", strings.Repeat("t", tt.length))
			client := tt.client(c)
			got, initial, err := client.Start()
			if err != nil || got != mechanism || (initial == nil) != tt.deferred {
				t.Errorf("%s, %s: begins with %s and %d bytes: %v", mechanism, name, got, len(initial), err)
			}
			if tt.deferred {
				if initial, err = client.Next([]byte{}); err != nil {
					t.Error(err)
				}
			}
			if string(initial) != string(c.Response()) {
				t.Errorf("%s, %s: the response is %q", mechanism, name, initial)
			}
			answer, err := client.Next([]byte(`{"status":"401"}`))
			if want := map[string]string{"XOAUTH2": "", "OAUTHBEARER": "\x01"}[mechanism]; err != nil || answer == nil || string(answer) != want {
				t.Errorf("%s, %s: the challenge is answered %q, %v", mechanism, name, answer, err)
			}
			if got := client.Explanation(); got != "status 401, scope " {
				t.Errorf("%s, %s: %q", mechanism, name, got)
			}
			if _, err := client.Next([]byte("{}")); err == nil {
				t.Errorf("%s, %s: a second challenge is answered too", mechanism, name)
			}
		}
	}
}

// TestClientSendsTheTokenOnce: a server that asks again for a response that it
// has is not told it again.
func TestClientSendsTheTokenOnce(t *testing.T) {
	client := NewSMTPClient(credentials("XOAUTH2", "a@x.org", "tok"))
	if _, _, err := client.Start(); err != nil {
		t.Fatal(err)
	}
	if answer, err := client.Next([]byte{}); err != nil || len(answer) != 0 {
		t.Errorf("answered %q, %v", answer, err)
	}
	if _, err := client.Next([]byte{}); err == nil {
		t.Error("the server may ask without end")
	}
}

// TestAskedWithoutStart: POP3 sends AUTH without a response.
func TestAskedWithoutStart(t *testing.T) {
	c := credentials("XOAUTH2", "a@x.org", "tok")
	if got, err := NewClient(c).Next(nil); err != nil || string(got) != string(c.Response()) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSMTPLine: a response is in the command exactly as long as the line fits.
func TestSMTPLine(t *testing.T) {
	deferred := 0
	for length := range 400 {
		c := credentials("XOAUTH2", "a@x.org", strings.Repeat("t", length))
		_, initial, err := NewSMTPClient(c).Start()
		if err != nil {
			t.Fatal(err)
		}
		encoded := (len(c.Response()) + 2) / 3 * 4
		if fits := len("AUTH XOAUTH2 ")+encoded+len("\r\n") <= 512; fits != (initial != nil) {
			t.Fatalf("a token of %d bytes: in the command: %t", length, initial != nil)
		}
		if initial == nil {
			deferred++
		}
	}
	if deferred == 0 || deferred == 400 {
		t.Errorf("%d of 400 wait to be asked for", deferred)
	}
}

func TestNothingPrintsTheToken(t *testing.T) {
	c := credentials("XOAUTH2", "a@x.org", "CANARY")
	client := NewClient(c)
	if _, _, err := client.Start(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{c, &c, client, *client, []Credentials{c}, struct{ C *Client }{client}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "CANARY") || strings.Contains(text, "43414e415259") {
				t.Errorf("%s of %T: %s", verb, v, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "CANARY") {
			t.Errorf("JSON of %T: %s, %v", v, text, err)
		}
	}
}
