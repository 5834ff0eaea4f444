package oauth

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"authferry/internal/printable"
)

const (
	// loopbackRead bounds the reading of a browser's request.
	loopbackRead = 10 * time.Second
	// loopbackClose bounds the wait for an answer to be sent.
	loopbackClose = 3 * time.Second
)

// Loopback waits on this machine for a browser coming back from a consent page.
type Loopback struct {
	URL string // the redirect address to ask for

	host   string // what a request must name as its host
	server *http.Server
	visits chan visit
	closed chan struct{}
	once   sync.Once
}

// visit is a browser waiting for its page.
type visit struct {
	address string
	answer  chan error // holds one
}

// ListenLoopback listens on a free port of the loopback interface. host is
// [Provider.RedirectHost].
func ListenLoopback(host string) (*Loopback, error) { return ListenLoopbackAt(host, 0) }

// ListenLoopbackAt is ListenLoopback on a given port, for a browser that comes
// through a tunnel.
func ListenLoopbackAt(host string, at int) (*Loopback, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	if host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("waiting for the browser: %s is not a loopback address", printable.Quote(host))
	}
	first := host
	if host == "localhost" {
		first = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(first, strconv.Itoa(at)))
	if err != nil {
		return nil, fmt.Errorf("waiting for the browser: %w", err)
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	l := &Loopback{host: net.JoinHostPort(host, port), visits: make(chan visit), closed: make(chan struct{})}
	// No path: Microsoft compares it with the registered http://localhost.
	l.URL = "http://" + l.host
	l.server = &http.Server{
		Handler: http.HandlerFunc(l.serve), MaxHeaderBytes: maxRedirect,
		ReadTimeout: loopbackRead,
	}
	l.server.SetKeepAlivesEnabled(false)
	go l.server.Serve(listener)
	if host == "localhost" {
		// Browsers may take localhost for ::1 first. Without IPv6 they do not.
		if six, err := net.Listen("tcp", net.JoinHostPort("::1", port)); err == nil {
			go l.server.Serve(six)
		}
	}
	return l, nil
}

// serve hands a browser over to Wait and shows it the page that follows. All
// else that may come (an icon's request, a page of somebody's that guesses the
// port, a name that was made to point here) is turned away and changes nothing.
func (l *Loopback) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case r.Host != l.host:
		http.Error(w, "not here", http.StatusMisdirectedRequest)
		return
	case r.URL.Path != "/" || !query.Has("code") && !query.Has("error"):
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	v := visit{address: l.URL + r.URL.RequestURI(), answer: make(chan error, 1)}
	gone := errors.New("authferry has stopped waiting: start again")
	select {
	case l.visits <- v:
	case <-r.Context().Done():
		return
	case <-l.closed:
		showPage(w, gone)
		return
	}
	select {
	case err := <-v.answer:
		showPage(w, err)
	case <-l.closed:
		select {
		case err := <-v.answer:
			showPage(w, err)
		default:
			showPage(w, gone)
		}
	}
}

// showPage writes what became of a visit. The page loads nothing and tells
// nobody where it was loaded from, since its address has the code in it.
func showPage(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	title, text := "Connected", "authferry may use the mailbox now. You can close this page."
	if err != nil {
		title, text = "Not connected", err.Error()
		w.WriteHeader(http.StatusBadRequest)
	}
	fmt.Fprintf(w, page, html.EscapeString(title), html.EscapeString(title), html.EscapeString(text))
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%s</title>
<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}</style>
<h1>%s</h1>
<p>%s</p>
</html>
`

// Wait returns the address a browser came back to. answer must be called once
// with what became of it: it decides which page the browser is shown. A visit
// that came to nothing may be followed by another: wait again.
func (l *Loopback) Wait(ctx context.Context) (redirected string, answer func(error), err error) {
	select {
	case v := <-l.visits:
		var once sync.Once
		return v.address, func(err error) { once.Do(func() { v.answer <- err }) }, nil
	case <-l.closed:
		return "", nil, net.ErrClosed
	case <-ctx.Done():
		return "", nil, fmt.Errorf("waiting for the browser: %w", ctx.Err())
	}
}

// Close stops listening, once the last answer has been sent.
func (l *Loopback) Close() error {
	l.once.Do(func() { close(l.closed) })
	ctx, cancel := context.WithTimeout(context.Background(), loopbackClose)
	defer cancel()
	if err := l.server.Shutdown(ctx); err != nil {
		return l.server.Close() // a connection without a request, as browsers keep them
	}
	return nil
}
