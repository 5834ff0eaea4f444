package loopback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
)

// browse sends one request to a Receiver and returns the whole answer.
func browse(t testing.TB, l *Receiver, method, host, target string) (int, http.Header, string) {
	t.Helper()
	// Not by name: where there is no /etc/hosts, localhost may have no address.
	_, port, err := net.SplitHostPort(l.host)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// TestRedirect: a whole consent through a browser on this machine.
func TestRedirect(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	for _, host := range []string{"127.0.0.1", "localhost", ""} {
		l, err := Listen(host, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := &oauth.Provider{
			Name: "fake", AuthURL: f.URL + "/auth", TokenURL: f.URL + "/token", ClientID: "client", ClientSecret: "secret-CANARY-client",
			Scopes: []string{"https://mail.google.com/"},
		}
		c, err := p.NewConsent(l.URL, oauthtest.Mailbox)
		if err != nil {
			t.Fatal(err)
		}
		type page struct {
			status int
			header http.Header
			body   string
		}
		pages := make(chan page, 1)
		address := f.Visit(t, c.URL)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel() // a browser that fails ends Wait
			status, header, body := browse(t, l, "GET", l.host, strings.TrimPrefix(address, l.URL))
			pages <- page{status, header, body}
		}()
		redirected, answer, err := l.Wait(ctx)
		if err != nil || redirected != address {
			t.Fatalf("%s, %v; want %s", redirected, err, address)
		}
		_, err = c.Finish(context.Background(), redirected)
		answer(err)
		answer(errors.New("a second answer"))
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		got := <-pages
		if err != nil || got.status != 200 || !strings.Contains(got.body, "Connected") || got.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v: %+v", err, got)
		}
		if strings.Contains(got.body, "CANARY") || strings.Contains(got.body, "http") {
			t.Errorf("the page tells a secret or loads something: %s", got.body)
		}
		if _, _, err := l.Wait(context.Background()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Wait after Close: %v", err)
		}
		l.Close()
	}
}

// TestRefusesOthers: a request that is no redirect is refused, and the redirect
// that follows is served.
func TestRefusesOthers(t *testing.T) {
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		method, host, target string
		status               int
	}{
		{"GET", l.host, "/favicon.ico", 404},
		{"GET", l.host, "/", 404},
		{"GET", l.host, "/?state=x", 404},
		{"GET", l.host, "/other?code=x&state=y", 404},
		{"POST", l.host, "/?code=x&state=y", 405},
		{"GET", "evil.example", "/?code=x&state=y", 421},
		{"GET", strings.Replace(l.host, "127.0.0.1", "localhost", 1), "/?code=x&state=y", 421},
	} {
		if status, _, _ := browse(t, l, c.method, c.host, c.target); status != c.status {
			t.Errorf("%s %s at %s: %d, want %d", c.method, c.target, c.host, status, c.status)
		}
	}
	served := make(chan string, 1)
	go func() {
		status, _, body := browse(t, l, "GET", l.host, "/?error=x")
		served <- fmt.Sprint(status, body)
	}()
	_, answer, err := l.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	answer(errors.New(`<script>alert("x")</script>`))
	if page := <-served; !strings.HasPrefix(page, "400") || strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error(page)
	}
}

// TestCloseWhileWaiting: a browser that waits for its page when the receiver closes
// is told so.
func TestCloseWhileWaiting(t *testing.T) {
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 1)
	go func() {
		_, _, body := browse(t, l, "GET", l.host, "/?code=x")
		served <- body
	}()
	_, _, err = l.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if page := <-served; !strings.Contains(page, "has stopped waiting") {
		t.Error(page)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	open, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, _, err := open.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context: %v", err)
	}
	if _, err := Listen("192.0.2.1", 0); err == nil {
		t.Error("listens off loopback")
	}
}
