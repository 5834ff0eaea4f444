package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/hint"
	"authferry/internal/network"
	"authferry/proxy"
)

const (
	// maxPath is the longest path a unix socket may have on every system:
	// sun_path less its NUL on macOS, the shortest.
	maxPath = 103
	// maxBody bounds a request.
	maxBody = 64 << 10
	// probeTime is how long another server has to answer.
	probeTime = 2 * time.Second
)

// Actions are what an administrator can do with a server.
type Actions struct {
	Status   func() Status
	Sessions func() []proxy.SessionInfo
	Kick     func(match func(proxy.SessionInfo) bool) int
	Reload   func(context.Context) error // a line of the error for each problem
	Sweep    func()
	Monitor  http.Handler // the pages for monitors
}

// Server answers administrators.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Listen makes the socket. It replaces one that a dead server left, and fails if
// another server answers.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path of the admin socket is too long (%d bytes, at most %d): %s; choose a shorter one with admin = \"PATH\"", len(path), maxPath, path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	if status, err := NewClient(path).Status(ctx); err == nil {
		return nil, fmt.Errorf("another authferry (process %d) answers on %s: two servers cannot share a store's directory; stop that one, or use one of its own", status.PID, path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("the admin socket %s cannot be made: there is something else of that name", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing the admin socket of an earlier run: %w", err)
	}
	ln, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("making the admin socket: %w", err)
	}
	return ln, nil
}

// Serve answers on a socket until Close.
func Serve(ln net.Listener, a Actions, log *zap.Logger) *Server {
	s := &Server{listener: ln, done: make(chan struct{})}
	s.http = &http.Server{
		Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: zap.NewStdLog(log.Named("admin")),
	}
	go func() {
		defer close(s.done)
		s.http.Serve(ln) // until Close
	}()
	return s
}

// Close ends the server and removes the socket.
func (s *Server) Close() error {
	err := s.http.Close()
	s.listener.Close() // in case Serve has not started
	<-s.done
	return err
}

func (a Actions) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Status()) })
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) {
		list := []Session{}
		for _, s := range a.Sessions() {
			list = append(list, sessionOf(s))
		}
		answer(w, list)
	})
	mux.HandleFunc("POST /kick", a.kick)
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Reload(r.Context()); err != nil {
			refuse(w, http.StatusUnprocessableEntity, err)
			return
		}
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /sweep", func(w http.ResponseWriter, _ *http.Request) {
		a.Sweep()
		answer(w, struct{}{})
	})
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if a.Monitor != nil {
			mux.Handle("GET "+path, a.Monitor)
		}
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (a Actions) kick(w http.ResponseWriter, r *http.Request) {
	var which Which
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&which); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the request cannot be read: %w", err))
		return
	}
	match, err := which.matcher()
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, kicked{a.Kick(match)})
}

type kicked struct {
	Ended int `json:"ended"`
}

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(failure{err.Error(), hint.Of(err)})
}

func sessionOf(s proxy.SessionInfo) Session {
	return Session{
		ID: s.ID, Protocol: string(s.Protocol), TLS: s.TLS, Client: s.Client.String(), Name: s.Name,
		Mailbox: s.Mailbox, Password: s.Password, Provider: s.Provider,
		Since: s.Since, Sent: s.Sent, Received: s.Received, Moved: s.Moved,
	}
}

// matcher returns the test for the selected sessions.
func (w Which) matcher() (func(proxy.SessionInfo) bool, error) {
	var within netip.Prefix
	if w.Address != "" {
		var err error
		if within, err = network.Parse(w.Address); err != nil {
			return nil, err
		}
	}
	if w == (Which{}) {
		return nil, errors.New("say which sessions to end: by mailbox, id, password or address")
	}
	return func(s proxy.SessionInfo) bool {
		return (w.ID == 0 || w.ID == s.ID) &&
			(w.Mailbox == "" || strings.EqualFold(w.Mailbox, s.Mailbox)) &&
			(w.Password == "" || strings.EqualFold(w.Password, s.Password)) &&
			(w.Address == "" || within.Contains(s.Client.Addr().Unmap().WithZone("")))
	}, nil
}

// PathIn returns the path of a store's socket.
func PathIn(store string) string { return filepath.Join(store, SocketName) }
