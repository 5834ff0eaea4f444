package alert

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

func sample() Message {
	is := Condition{
		Mailbox: "a@x.org", Provider: "gmail", Event: GrantEnded, Cause: oauth.CauseRevoked, Since: day, At: day,
		Reason: `"Token has been revoked"`, Advice: oauth.Advice{Words: "it was taken back", Fix: "authferry connect a@x.org", Page: "https://example.org/page"},
	}
	return Message{Event: GrantEnded, Cause: oauth.CauseRevoked, Provider: "gmail", Mailboxes: []Condition{is}, Host: "ferry", Time: day}
}

// TestMessage: the stable JSON, and a list that is bounded.
func TestMessage(t *testing.T) {
	m := sample()
	for _, name := range numbered(150) {
		m.Mailboxes = append(m.Mailboxes, Condition{Mailbox: name})
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"event": "grant-ended", "cause": "revoked", "provider": "gmail", "count": 151.0, "reminder": false,
		"words": "it was taken back", "fix": "authferry connect a@x.org", "page": "https://example.org/page", "host": "ferry",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if list := got["mailboxes"].([]any); len(list) != mostListed || list[0].(map[string]any)["mailbox"] != "a@x.org" {
		t.Errorf("%d mailboxes", len(list))
	}
	if c := got["content"].(string); len(c) > mostContent || len(c) < mostContent-3 {
		t.Errorf("content of %d bytes", len(c))
	}
	if text := m.Text(); !strings.Contains(text, "authferry on ferry: 151 mailboxes at gmail must be connected again\n") || !strings.Contains(text, "and 51 more") {
		t.Error(text)
	}
	m.Mailboxes, m.Reminder = m.Mailboxes[:1], true
	if s := m.Subject(); s != "a@x.org must be connected again (reminder)" {
		t.Error(s)
	}
}

// TestCommand: JSON on standard input, a summary in the environment, and no other
// variable of authferry.
func TestCommand(t *testing.T) {
	t.Setenv("AUTHFERRY_SEAL", "CANARY-of-the-seal")
	out := filepath.Join(t.TempDir(), "out")
	if err := runCommand(t.Context(), []string{os.Args[0], "play", "record", out}, sample(), commandTime); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	if !json.Valid([]byte(first)) {
		t.Errorf("not JSON: %s", first)
	}
	for _, want := range []string{"AUTHFERRY_MAILBOX=a@x.org\n", "AUTHFERRY_STATE=grant-ended\n", "AUTHFERRY_CAUSE=revoked\n", "AUTHFERRY_FIX=authferry connect a@x.org\n", "PATH="} {
		if !strings.Contains(rest, want) {
			t.Errorf("no %q in %s", want, rest)
		}
	}
	if strings.Contains(rest, "CANARY") {
		t.Error("the command is given the seal key")
	}
}

// TestCommandFails: the error has the exit code and the beginning of the
// output, fit to print.
func TestCommandFails(t *testing.T) {
	err := runCommand(t.Context(), []string{os.Args[0], "play", "fail"}, sample(), commandTime)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), `no \x1b[31mline`) || len(err.Error()) > 600 {
		t.Errorf("%v", err)
	}
	err = runCommand(t.Context(), []string{"/nowhere/notify"}, sample(), commandTime)
	if err == nil || !strings.Contains(err.Error(), "there is no program") {
		t.Errorf("%v", err)
	}
}

// receiver is a web server that is posted to; its answers are the handler's.
func receiver(t *testing.T, answer http.HandlerFunc) (*webhook, func() []string) {
	t.Helper()
	var posts []string
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		mu.Lock()
		posts = append(posts, string(body))
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	w, err := newWebhook(secret.String(server.URL + "/services/CANARY-path?token=CANARY-query"))
	if err != nil {
		t.Fatal(err)
	}
	w.pause = func(context.Context, time.Duration) error { return nil }
	return w, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(posts)
	}
}

func TestWebhook(t *testing.T) {
	w, posts := receiver(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	if err := w.send(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	if len(posts()) != 1 || !strings.Contains(posts()[0], `"text":"authferry on ferry: a@x.org must be connected again`) {
		t.Errorf("%v", posts())
	}
	w.address.Host = "chat.googleapis.com"
	if data, err := json.Marshal(w.payload(sample())); err != nil || strings.Contains(string(data), "content") {
		t.Errorf("for Google Chat: %s %v", data, err)
	}
}

// TestWebhookFails: what may pass is tried again, at the pace that is asked
// for; nothing is followed; and no part of the address that matters is told,
// even if the answer repeats it.
func TestWebhookFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		tries  int
		says   string
		paused []time.Duration
	}{
		{"500", func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.String(), 500) }, 3, "500", []time.Duration{2 * time.Second, 8 * time.Second}},
		{"429", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "20")
			http.Error(w, "no CANARY-query here", http.StatusTooManyRequests)
		}, 3, "429", []time.Duration{20 * time.Second, 20 * time.Second}},
		{"404", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "CANARY-path", 404) }, 1, "404", nil},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 1, "redirect (307)", nil},
		{"cut", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 3, "posting to http://127.0.0.1", []time.Duration{2 * time.Second, 8 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, posts := receiver(t, test.answer)
			var paused []time.Duration
			w.pause = func(_ context.Context, d time.Duration) error { paused = append(paused, d); return nil }
			err := w.send(t.Context(), sample())
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the address is told: %v", err)
			}
			if len(posts()) != test.tries || !slices.Equal(paused, test.paused) {
				t.Errorf("%d tries, pauses %v", len(posts()), paused)
			}
		})
	}
}

func TestCheckWebhook(t *testing.T) {
	for address, good := range map[string]bool{
		"https://hooks.example.org/CANARY": true, "http://127.0.0.1:8080/CANARY": true, "http://[::1]/x": true, "http://localhost/x": true,
		"http://hooks.example.org/CANARY": false, "CANARY": false, "ftp://x/CANARY": false, "https://": false, "https://x\x7f/CANARY": false,
		"http://localhost.example.org/": false,
	} {
		err := CheckWebhook(secret.String(address))
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the address is told: %v", err)
		}
	}
	c := Config{Webhook: "https://hooks.example.org/CANARY"}
	if name := c.Name(hookWebhook); name != "webhook https://hooks.example.org/..." {
		t.Error(name)
	}
}
