// Package frame is what every page of the web console shares: how a request is
// checked, who makes it, and how it is answered.
//
// A request passes the same steps in the same order: the host name and the origin
// are checked (access.go), the session cookie or the reverse proxy's header names
// the user (session.go), the page's audience decides (frame.go), and the handler
// answers through its [Request] (request.go). The pages to sign in, to choose a
// password and to choose a language are here as well (signin.go, account.go).
package frame

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/pages"
	"authferry/internal/console/people"
	"authferry/internal/printable"
	"authferry/tokens"
)

// Deps is what the frame works on.
type Deps struct {
	Version string
	Log     *zap.Logger
	Vault   *tokens.Vault
	Access  func() Access    // in force now
	Menu    []MenuItem       // on every page
	Now     func() time.Time // nil: time.Now
}

// Frame serves the pages that are mounted on it.
type Frame struct {
	Deps
	Users people.UserStore

	mux       *http.ServeMux
	patterns  []string // of all pages
	crossing  *http.CrossOriginProtection
	guesses   *guesses      // wrong passwords and sign-in links
	strangers *guesses      // wrong invitation links
	verifying chan struct{} // bounds concurrent password verifications
	queue     chan struct{} // bounds those and the requests that wait for one
}

// maxVerifying bounds concurrent verifications of passwords, each of which takes
// tens of megabytes.
const maxVerifying = 2

// maxQueued bounds the requests that wait for a verification; others are told to
// come back in queueWait.
const (
	maxQueued = 32
	queueWait = 5 * time.Second
)

// New returns a frame with the pages to sign in.
func New(d Deps) *Frame {
	if d.Now == nil {
		d.Now = time.Now
	}
	f := &Frame{
		Deps: d, Users: people.UserStore{Vault: d.Vault, Now: d.Now},
		mux: http.NewServeMux(), crossing: http.NewCrossOriginProtection(), guesses: newGuesses(), strangers: newGuesses(),
		verifying: make(chan struct{}, maxVerifying), queue: make(chan struct{}, maxQueued),
	}
	f.mux.HandleFunc("GET /static/{file}", pages.ServeStatic)
	f.Handle("POST /language", Anyone, chooseLanguage)
	f.Handle("/", Anyone, func(r *Request) error { return r.Refuse(http.StatusNotFound, "error.page") })
	mountSignIn(f)
	mountAccount(f)
	return f
}

// Audience says who may open a page.
type Audience int

const (
	Anyone Audience = iota
	SignedIn
	Administrators
)

// MenuItem is a page that a menu leads to. Users who may not open it do not see it
// there.
type MenuItem struct {
	Path string
	Key  string // of its text
	Who  Audience
}

// Handler answers a request. Its error is answered with a page.
type Handler func(*Request) error

// Handle mounts a page. A pattern with {mailbox} in it is for users who may see
// that mailbox; for others the mailbox does not exist. Every change is a POST:
// ServeHTTP accepts none from another site, and browsers do not send the session's
// cookie with one.
func (f *Frame) Handle(pattern string, who Audience, do Handler) {
	f.patterns = append(f.patterns, pattern)
	perMailbox := strings.Contains(pattern, "{mailbox}")
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		req := f.request(w, r)
		finish(req, guard(req, who, perMailbox, do))
	})
}

// Patterns returns the patterns of all pages, for tests that try each of them.
func (f *Frame) Patterns() []string { return slices.Clone(f.patterns) }

// maxForm bounds a request's body: the longest form is that of a password.
const maxForm = 64 << 10

// ServeHTTP answers a browser.
func (f *Frame) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	access := f.Access()
	switch {
	case !access.knows(r):
		http.Error(w, "authferry's console does not use the name "+printable.Quote(r.Host)+
			": ask for "+access.URL+", or set public_url under [web] in its configuration to this address", http.StatusMisdirectedRequest)
		return
	case !sameSite(f.crossing, r, access):
		req := f.request(w, r)
		finish(req, req.Refuse(http.StatusForbidden, "error.crosssite"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	f.mux.ServeHTTP(w, r)
}

// HasAdministrator reports whether an administrator has ever signed in. Where the
// header of a reverse proxy names administrators, none has to.
func (f *Frame) HasAdministrator(ctx context.Context) (bool, error) {
	if a := f.Access(); a.Header != "" && len(a.Administrators) > 0 {
		return true, nil
	}
	d, err := f.Users.Read(ctx)
	if err != nil {
		return false, err
	}
	return d.HasAdministrator(), nil
}

func (f *Frame) request(w http.ResponseWriter, r *http.Request) *Request {
	return &Request{
		Printer: pages.Printer{Language: pages.LanguageOf(r), Now: f.Now},
		W:       w, HTTP: r, Access: f.Access(), frame: f,
	}
}

// guard calls do if the user may.
func guard(r *Request, who Audience, perMailbox bool, do Handler) error {
	open := who == Anyone && !perMailbox
	// People whom a reverse proxy names and the console does not know are those
	// that invitations are for.
	if err := identify(r); err != nil && !(open && isUnknownName(err)) {
		return err
	}
	switch {
	case open:
	case r.User == nil:
		return toSignIn(r)
	case who == Administrators && !r.User.Administrator():
		return r.Refuse(http.StatusForbidden, "error.administrators")
	}
	if perMailbox {
		mailbox, _ := r.frame.Vault.Canonical(r.HTTP.PathValue("mailbox"))
		if !r.User.MaySee(mailbox) {
			return r.Refuse(http.StatusNotFound, "error.mailbox", "mailbox", mailbox)
		}
		r.Mailbox = mailbox
	}
	return do(r)
}

// chooseLanguage stores the language that the person chose.
func chooseLanguage(r *Request) error {
	code := r.HTTP.FormValue("language")
	if !pages.IsLanguage(code) {
		return r.Refuse(http.StatusBadRequest, "error.form")
	}
	http.SetCookie(r.W, &http.Cookie{
		Name: pages.LanguageCookie, Value: code, Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteLaxMode,
	})
	return r.Redirect(r.Next())
}
