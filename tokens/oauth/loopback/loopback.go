// Package loopback receives the browser that returns from a provider's consent page,
// on the loopback interface of this machine (RFC 8252 §7.3).
package loopback

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
	readTimeout  = 10 * time.Second // for a browser's request
	closeTimeout = 3 * time.Second  // for the last page to be sent
	maxHeader    = 16 << 10         // the request line holds the authorization code
)

// Receiver waits for a browser that a consent page redirects to it.
type Receiver struct {
	URL string // the redirect URI to request

	host      string // the Host header that a request must have
	server    *http.Server
	redirects chan redirect
	closed    chan struct{}
	once      sync.Once
}

// redirect is the request of a browser that waits for its page.
type redirect struct {
	address string
	result  chan error // buffered, for one result
}

// Listen listens on a port of the loopback interface; 0 selects a free port. host
// is the provider's RedirectHost. A fixed port is for a browser that connects
// through a tunnel.
func Listen(host string, port int) (*Receiver, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	if host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("listening for the browser: %s is not a loopback address", printable.Quote(host))
	}
	first := host
	if host == "localhost" {
		first = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(first, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening for the browser: %w", err)
	}
	actual := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	rc := &Receiver{host: net.JoinHostPort(host, actual), redirects: make(chan redirect), closed: make(chan struct{})}
	// No path: Microsoft compares it with the registered http://localhost.
	rc.URL = "http://" + rc.host
	rc.server = &http.Server{
		Handler: http.HandlerFunc(rc.serve), MaxHeaderBytes: maxHeader,
		ReadTimeout: readTimeout,
	}
	rc.server.SetKeepAlivesEnabled(false)
	go rc.server.Serve(listener)
	if host == "localhost" {
		// Browsers may resolve localhost to ::1 first. Without IPv6 they do not.
		if six, err := net.Listen("tcp", net.JoinHostPort("::1", actual)); err == nil {
			go rc.server.Serve(six)
		}
	}
	return rc, nil
}

// serve passes a redirect to Wait and answers with the page for its result. Any
// other request (an icon, a foreign page that guesses the port, a foreign name
// that resolves to this machine) is refused and changes nothing.
func (rc *Receiver) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case r.Host != rc.host:
		http.Error(w, "wrong host", http.StatusMisdirectedRequest)
		return
	case r.URL.Path != "/" || !query.Has("code") && !query.Has("error"):
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	v := redirect{address: rc.URL + r.URL.RequestURI(), result: make(chan error, 1)}
	gone := errors.New("authferry has stopped waiting: start again")
	select {
	case rc.redirects <- v:
	case <-r.Context().Done():
		return
	case <-rc.closed:
		showPage(w, gone)
		return
	}
	select {
	case err := <-v.result:
		showPage(w, err)
	case <-rc.closed:
		select {
		case err := <-v.result:
			showPage(w, err)
		default:
			showPage(w, gone)
		}
	}
}

// showPage writes the page for a result. It loads nothing and sends no referrer,
// since its address contains the code.
func showPage(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	title, text := "Connected", "authferry may now use the mailbox. You can close this page."
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

// Wait returns the address that a browser was redirected to. Call answer once with
// the result, which selects the page that the browser shows. After a failure the
// browser may be redirected again: call Wait again.
func (rc *Receiver) Wait(ctx context.Context) (redirected string, answer func(error), err error) {
	select {
	case v := <-rc.redirects:
		var once sync.Once
		return v.address, func(err error) { once.Do(func() { v.result <- err }) }, nil
	case <-rc.closed:
		return "", nil, net.ErrClosed
	case <-ctx.Done():
		return "", nil, fmt.Errorf("waiting for the browser: %w", ctx.Err())
	}
}

// Close stops listening after the last page has been sent.
func (rc *Receiver) Close() error {
	rc.once.Do(func() { close(rc.closed) })
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := rc.server.Shutdown(ctx); err != nil {
		return rc.server.Close() // browsers keep connections open that have sent no request
	}
	return nil
}
