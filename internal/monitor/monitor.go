// Package monitor answers monitoring systems over HTTP, about health and metrics:
//
//	GET /healthz   200 while connections are accepted
//	GET /readyz    200 while logins can be served: connections are accepted, the
//	               store can be read and written, and the server is not stopping
//	GET /metrics   numbers, in Prometheus's text format
//
// The first two answer 503 otherwise, with a line for each reason, or with JSON if
// the request accepts it. The monitor changes nothing and has no login; it is off
// unless the configuration names an address. Metrics can leave out the names of
// mailboxes.
package monitor

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"authferry/internal/address"
	"authferry/internal/alert"
	"authferry/proxy"
	"authferry/tokens"
)

// Subject is what a monitor reports on.
type Subject struct {
	Version, Revision string

	// Alive and Ready return the reasons why the server is not. They bound
	// themselves, and neither is called concurrently with itself.
	Alive, Ready func(context.Context) []error

	Proxy  *proxy.Metrics
	Vault  *tokens.Vault
	Alerts *alert.Watcher
	// NameMailboxes reports whether metrics may name mailboxes, now.
	NameMailboxes func() bool
	// Settings, unless nil, answers programs that ask for their settings on the
	// same address.
	Settings interface{ Mount(*http.ServeMux) }
}

// Monitor answers for a subject.
type Monitor struct {
	mux *http.ServeMux
}

// maxScrapes bounds concurrent requests for metrics: each reads all mailboxes.
const maxScrapes = 4

// New returns a monitor of a subject.
func New(s Subject) *Monitor {
	alive, ready := &question{ask: s.Alive}, &question{ask: s.Ready}
	m := &Monitor{mux: http.NewServeMux()}
	m.mux.Handle("GET /healthz", alive)
	m.mux.Handle("GET /readyz", ready)
	m.mux.Handle("GET /metrics", promhttp.HandlerFor(registry(s, ready), promhttp.HandlerOpts{
		// A failing store must not hide the other metrics, such as sessions.
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes,
	}))
	if s.Settings != nil {
		s.Settings.Mount(m.mux)
	}
	return m
}

// ServeHTTP answers a monitoring system.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// Server is a monitor on an address.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Serve answers on a listener until Close.
func Serve(ln net.Listener, m *Monitor, log *zap.Logger) *Server {
	s := &Server{listener: ln, done: make(chan struct{})}
	s.http = &http.Server{
		Handler: m, ErrorLog: zap.NewStdLog(log.Named("monitor")),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	if at, ok := ln.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		s.http.Handler = onlyLocal(m)
	}
	go func() {
		defer close(s.done)
		s.http.Serve(ln) // until Close
	}()
	return s
}

// Addr returns the address that it answers on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops it.
func (s *Server) Close() error {
	err := s.http.Close()
	s.listener.Close() // Serve may not have reached it yet
	<-s.done
	return err
}

// onlyLocal refuses requests for another host than this machine: a web page can make
// its own name resolve to loopback, and its script could otherwise read the answers
// (DNS rebinding).
func onlyLocal(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !address.IsLoopbackHost(r.Host) {
			http.Error(w, "this address is for programs on this machine: ask for localhost or 127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}
