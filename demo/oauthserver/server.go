// Package oauthserver is the OAuth side of the simulated Gmail: the consent page,
// the token endpoint, device codes, revocation, and information about tokens.
package oauthserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
	"authferry/demo/random"
)

// ClientConfig is the configuration of an OAuth client.
type ClientConfig struct {
	AuthURL, TokenURL, RevokeURL string // http:// on loopback
	TokenInfoURL                 string // Google's tokeninfo: ?access_token=...
	UserInfoURL                  string // Gmail's users/me/profile: the token as Bearer
	// DeviceURL issues device codes (RFC 8628 §3.1), which Google does not for
	// mail and Microsoft does. A person types the code at DevicePage.
	DeviceURL, DevicePage string
	// IntrospectURL is RFC 7662 token introspection, which Google lacks and
	// Dovecot speaks: token=... by GET or POST, or the token as Bearer.
	IntrospectURL          string
	ClientID, ClientSecret string
	Scope                  string
}

// Options describe the server. The durations are as in demo.Options, with their
// defaults filled in.
type Options struct {
	Store  *mailstore.Store
	Faults *fault.Injector
	Log    *eventlog.Log

	TokenLife, GrantLife, DeviceLife, DeviceInterval time.Duration
	PublicClient, NoDeviceMail                       bool
}

// Server is a running OAuth server.
type Server struct {
	client  ClientConfig
	options Options
	store   *mailstore.Store
	faults  *fault.Injector
	log     *eventlog.Log
	grants  *grants

	web     *http.Server
	running sync.WaitGroup
	closing chan struct{}
	once    sync.Once

	mu         sync.Mutex
	tokenCalls map[string]int
}

// Start serves on a listener until it is closed.
func Start(l net.Listener, o Options) *Server {
	base := "http://" + l.Addr().String()
	s := &Server{
		client: ClientConfig{
			AuthURL:       base + "/o/oauth2/v2/auth",
			TokenURL:      base + "/token",
			RevokeURL:     base + "/revoke",
			TokenInfoURL:  base + "/tokeninfo",
			IntrospectURL: base + "/introspect",
			UserInfoURL:   base + "/gmail/v1/users/me/profile",
			DeviceURL:     base + "/device/code",
			DevicePage:    base + "/device",
			ClientID:      "100000000000-demo.apps.googleusercontent.com",
			ClientSecret:  "GOCSPX-" + random.Token(28),
			Scope:         gmailScope,
		},
		options: o, store: o.Store, faults: o.Faults, log: o.Log,
		grants:     newGrants(),
		closing:    make(chan struct{}),
		tokenCalls: make(map[string]int),
	}
	if o.PublicClient {
		s.client.ClientSecret = ""
	}
	s.web = &http.Server{
		Handler:           s.dated(s.routes()),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that vanishes is no error
	}
	s.running.Go(func() { s.web.Serve(l) })
	return s
}

// routes has the endpoints on Google's paths.
func (s *Server) routes() http.Handler {
	consent := &consentEndpoint{s}
	devices := &devices{Server: s, byCode: make(map[string]*device)}
	token := &tokenEndpoint{s, devices}
	resources := &resourceEndpoints{s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/oauth2/v2/auth", consent.show)
	mux.HandleFunc("POST /o/oauth2/v2/auth", consent.take)
	mux.HandleFunc("POST /token", token.serve)
	mux.HandleFunc("POST /revoke", resources.revoke)
	mux.HandleFunc("/tokeninfo", resources.tokenInfo)
	mux.HandleFunc("/introspect", resources.introspect)
	mux.HandleFunc("GET /gmail/v1/users/me/profile", resources.profile)
	mux.HandleFunc("POST /device/code", devices.authorize)
	mux.HandleFunc("GET /device", devices.show)
	mux.HandleFunc("POST /device", devices.take)
	return mux
}

// Close closes the listener and ends every connection.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closing)
		s.web.Close()
	})
	s.running.Wait()
}

// Client returns the configuration of a client.
func (s *Server) Client() ClientConfig { return s.client }

// TokenCalls returns how many requests the token endpoint has had, by grant type.
func (s *Server) TokenCalls(grantType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokenCalls[grantType]
}

// ExpireAccessTokens makes every access token issued so far invalid.
func (s *Server) ExpireAccessTokens() {
	s.grants.expireAccess()
	s.log.Printf("oauth: every access token issued so far has expired")
}

// RevokeGrants revokes every grant of a mailbox.
func (s *Server) RevokeGrants(mailbox string) {
	s.grants.revokeMailbox(mailstore.Canonical(mailbox))
	s.log.Printf("oauth: %s revoked what it had allowed", mailstore.Canonical(mailbox))
}

// Authorize checks that an access token opens a mailbox to mail clients, and
// returns when the token expires.
func (s *Server) Authorize(token, mailbox string) (expires time.Time, err error) {
	id, ok := s.grants.use(token)
	switch {
	case !ok:
		return time.Time{}, errors.New("the access token is unknown, expired or revoked")
	case !s.opens(id, mailbox):
		return time.Time{}, fmt.Errorf("the access token is that of %s", id)
	case !id.allows(gmailScope):
		return time.Time{}, fmt.Errorf("the access token does not cover %s", gmailScope)
	}
	return id.expires, nil
}

// opens reports whether a token's owner may open a mailbox.
func (s *Server) opens(id identity, mailbox string) bool {
	m := s.store.Find(mailbox)
	if m == nil {
		return false
	}
	if id.app {
		return !s.faults.DelegationDenied()
	}
	return m.Opens(id.mailbox)
}

func (s *Server) isClient(id string) bool { return id == s.client.ClientID }

// oauthError is an answer of RFC 6749 §5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	Subtype     string `json:"error_subtype,omitempty"`
	URI         string `json:"error_uri,omitempty"`
	status      int
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

// refuse logs a refusal and returns it as an error.
func (s *Server) refuse(status int, code, description string) error {
	s.log.Printf("oauth: refused a token request: %s (%s)", code, description)
	return &oauthError{Code: code, Description: description, status: status}
}

// now returns the time by the provider's clock.
func (s *Server) now() time.Time { return time.Now().Add(s.faults.ClockError()) }

// dated puts the provider's time into every answer.
func (s *Server) dated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// answerJSON answers as Google's endpoints do.
func answerJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // the types hold nothing that JSON lacks
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// isLoopback reports whether an address is one a desktop program may be
// redirected to: plain http to this machine, any port (RFC 8252 §7.3).
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
