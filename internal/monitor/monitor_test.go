package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"authferry/internal/alert"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subject returns a healthy subject without mailboxes.
func subject(t *testing.T) (Subject, *store.Files) {
	t.Helper()
	s, store, _ := subjectIn(t)
	return s, store
}

// subjectIn is subject, and returns the directory of its mailboxes as well.
func subjectIn(t *testing.T) (_ Subject, _ *store.Files, mailboxes string) {
	t.Helper()
	dir := t.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	vault := tokens.NewVault(store, tokens.Settings{}, nil)
	t.Cleanup(func() {
		if err := vault.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	fine := func(context.Context) []error { return nil }
	return Subject{
		Version: "v1", Alive: fine, Ready: fine, Proxy: new(proxy.Metrics), Vault: vault, Alerts: alert.NewWatcher(alert.Options{}),
		NameMailboxes: func() bool { return true },
	}, store, filepath.Join(dir, "mailboxes")
}

// ask requests a page of a monitor, with an Accept header.
func ask(h http.Handler, path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHealth(t *testing.T) {
	s, _ := subject(t)
	s.Ready = func(context.Context) []error {
		return []error{errors.New("stopping"), errors.Join(errors.New("imap is stuck"), errors.New("pop3 is stuck"))}
	}
	m := New(s)
	for _, test := range []struct {
		path, accept string
		status       int
		body         string
	}{
		{"/healthz", "", 200, "ok\n"},
		{"/healthz", "application/json", 200, `{"status":"ok"}` + "\n"},
		{"/readyz", "*/*", 503, "stopping\nimap is stuck\npop3 is stuck\n"},
		{"/readyz", "text/html, application/json;q=0.9", 503, `{"status":"failing","reasons":["stopping","imap is stuck","pop3 is stuck"]}` + "\n"},
		{"/", "", 404, "404 page not found\n"},
	} {
		if w := ask(m, test.path, test.accept); w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s for %q: %d %q", test.path, test.accept, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// TestOneLookServesAll: concurrent requests, some of them cancelled, share one
// question, which has a context of its own.
func TestOneLookServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, begun := 0, make(chan context.Context)
		proceed := make(chan struct{})
		q := &question{ask: func(ctx context.Context) []error {
			looks++
			begun <- ctx
			<-proceed
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		answers := make(chan []string)
		for range 10 {
			go func() { answers <- q.answer(ctx) }()
		}
		looking := <-begun
		synctest.Wait()
		cancel()
		if looking.Err() != nil {
			t.Error("one who left ended the look of all")
		}
		close(proceed)
		for range 10 {
			if why := <-answers; len(why) > 0 {
				t.Error(why)
			}
		}
		if looks != 1 {
			t.Errorf("%d looks", looks)
		}
	})
}

func TestServe(t *testing.T) {
	s, _ := subject(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := Serve(ln, New(s), zap.NewNop())
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for host, want := range map[string]int{
		"127.0.0.1": 200, "localhost:8026": 200, "LOCALHOST": 200, "[::1]:8026": 200, "127.8.0.1": 200,
		"rebound.example.org": 421, "rebound.example.org:8026": 421, "192.0.2.1": 421, "localhost.example.org": 421,
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+ln.Addr().String()+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("asked as %s: %s", host, resp.Status)
		}
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // another process may listen there by now
		t.Errorf("it listens on: %v", err)
	}
}

// TestDocumented: docs/metrics.md lists exactly the metrics, with their help texts.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, have []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `authferry_") {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	for _, f := range families {
		kind := map[bool]string{true: "histogram"}[f.histogram]
		if kind == "" {
			kind = strings.ToLower(f.kind.ToDTO().String())
		}
		labels := ""
		for _, l := range f.labels {
			labels += ", `" + l + "`"
		}
		cell := " " + strings.TrimPrefix(labels, ", ") + " "
		if labels == "" {
			cell = " "
		}
		have = append(have, "| `"+f.name+"` | "+kind+" |"+cell+"| "+f.help+" |")
	}
	if diff := cmp.Diff(have, documented); diff != "" {
		t.Errorf("metrics (-) and docs/metrics.md (+): %s", diff)
	}
	for _, state := range states {
		if !strings.Contains(string(page), "`"+string(state)+"`") {
			t.Errorf("docs/metrics.md does not mention the state %s", state)
		}
	}
	for row := range new(proxy.Metrics).Snapshot().Protocols["imap"].Refused {
		if !strings.Contains(string(page), "`"+labelOf(row)+"`") {
			t.Errorf("docs/metrics.md does not mention the result %s", labelOf(row))
		}
	}
}

var when = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// fill puts mailboxes of each kind into a store.
func fill(t *testing.T, files *store.Files) {
	t.Helper()
	for mailbox, edit := range map[string]func(*store.Account){
		"fresh@example.org":  func(a *store.Account) {},
		"ending@example.org": func(a *store.Account) { a.Token.RefreshExpiry = when.Add(time.Hour) },
		"dead@example.org":   func(a *store.Account) { a.Dead = &store.Failure{At: when.Add(time.Minute), Since: when} },
		"gone@example.org":   func(a *store.Account) { a.Provider = "" },
	} {
		err := files.Update(t.Context(), mailbox, func(a *store.Account) error {
			a.Provider = "gmail"
			a.Token = oauth.Token{Access: "CANARY", Refresh: "CANARY", Minted: time.Now(), Expiry: time.Now().Add(time.Hour)}
			edit(a)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetrics(t *testing.T) {
	s, store := subject(t)
	fill(t, store)
	s.Ready = func(context.Context) []error { return []error{errors.New("stopping")} }
	named := true
	s.NameMailboxes = func() bool { return named }
	m := New(s)
	got := ask(m, "/metrics", "").Body.String()
	for _, want := range []string{
		`authferry_build_info{goversion="go1`,
		`authferry_ready 0`,
		`authferry_sessions{protocol="pop3"} 0`,
		`authferry_logins_total{protocol="imap",result="needs_tls"} 0`,
		`authferry_logins_total{protocol="smtp",result="ok"} 0`,
		`authferry_login_duration_seconds_bucket{protocol="imap",le="0.01"} 0`,
		`authferry_login_duration_seconds_bucket{protocol="imap",le="+Inf"} 0`,
		`authferry_grants{state="fresh"} 2`,
		`authferry_grants{state="needs-consent"} 1`,
		`authferry_grants{state="disconnected"} 1`,
		`authferry_grants{state="unreadable"} 0`,
		`authferry_grant_needs_person_timestamp_seconds{mailbox="dead@example.org",provider="gmail"} 1.7952516e+09`,
		`authferry_grant_needs_person_timestamp_seconds{mailbox="ending@example.org",provider="gmail"} 1.7952552e+09`,
		`authferry_person_needed_timestamp_seconds 1.7952516e+09`,
		`process_start_time_seconds `,
		`go_goroutines `,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, "CANARY") || strings.Contains(got, "fresh@example.org") || strings.Contains(got, "gone@example.org") {
		t.Error("it names what it should not")
	}
	named = false
	if got := ask(m, "/metrics", "").Body.String(); strings.Contains(got, "@example.org") || !strings.Contains(got, "authferry_person_needed_timestamp_seconds") {
		t.Error("mailboxes are named that should not be, or their times are lost")
	}
}

// TestMetricsOfAStoreThatFails: a mailbox that cannot be read is counted as such. A
// store that cannot be listed does not count as empty, and hides no other metric.
func TestMetricsOfAStoreThatFails(t *testing.T) {
	s, store, dir := subjectIn(t)
	fill(t, store)
	mailboxes, err := store.Mailboxes(t.Context())
	if err != nil || !slices.Contains(mailboxes, "dead@example.org") {
		t.Fatal(mailboxes, err)
	}
	if err := os.WriteFile(dir+"/dead@example.org.age", []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := New(s)
	if got := ask(m, "/metrics", "").Body.String(); !strings.Contains(got, `authferry_grants{state="unreadable"} 1`) {
		t.Error("a mailbox that cannot be read is not counted")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w := ask(m, "/metrics", "")
	if got := w.Body.String(); w.Code != 200 || strings.Contains(got, "authferry_grants") || !strings.Contains(got, "authferry_sessions") {
		t.Errorf("a store that is gone: %d\n%s", w.Code, got)
	}
}

// TestJSONOfHealth: the JSON can be read back into Health.
func TestJSONOfHealth(t *testing.T) {
	s, _ := subject(t)
	var h Health
	if err := json.Unmarshal(ask(New(s), "/readyz", "application/json").Body.Bytes(), &h); err != nil || h.Status != "ok" {
		t.Errorf("%+v, %v", h, err)
	}
}
