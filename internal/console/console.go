package console

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/check"
	"authferry/internal/config/document"
	"authferry/internal/mailsettings"
	"authferry/internal/printable"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Backing is what the console shows and works on.
type Backing struct {
	Version   string
	Log       *zap.Logger
	Vault     *tokens.Vault
	Providers func() []*oauth.Provider
	Access    func() Access // in force now

	// Servers are what mail programs are told to connect to.
	Servers func() []MailServer
	// Cards say how each program is set up for a mailbox, in a language.
	Cards func(mailbox, language string) []mailsettings.Card
	// MailSettings answer programs that ask for their settings; nil: nobody does.
	MailSettings *mailsettings.MailSettings
	// Settings are the configuration in force, without its secrets, and its file.
	Settings func() (file string, settings []document.Setting)

	// Sessions are those that are logged in; Kick ends those that match, Sweep
	// those whose password or mailbox is gone.
	Sessions func() []proxy.SessionInfo
	Kick     func(match func(proxy.SessionInfo) bool) int
	Sweep    func()

	// Check walks the way of a login for a mailbox, and reports each step.
	Check func(ctx context.Context, mailbox string, report func(check.Step))

	// Logins returns the logins that were tried, the newest first; nil where no
	// record of them is kept.
	Logins func(LoginQuery) ([]LoginAttempt, error)
}

// Access says how the console is reached, and who is let in without a password
// of its own.
type Access struct {
	// URL is where people reach the console, without a slash at its end. Links
	// begin with it, and redirects from consent pages lead to it.
	URL string
	// Names are the host names that requests may ask for. Addresses, and
	// localhost on loopback, are always among them.
	Names []string
	// Header names who is signed in at a reverse proxy in one of the Trusted
	// networks; empty: there is none. Of those named, Administrators are some.
	Header         string
	Trusted        []netip.Prefix
	Administrators []string
}

// MailServer is a line of what mail programs ask for.
type MailServer struct {
	Protocol string // "imap", "pop3" or "smtp"
	Host     string
	Port     int
	Security string // in the words of mail programs: "SSL/TLS", "STARTTLS" ...
}

// Console answers browsers.
type Console struct {
	Backing
	mux       *http.ServeMux
	programs  *http.ServeMux // for mail programs, which come by names of their own
	patterns  []string       // of all pages
	crossing  *http.CrossOriginProtection
	guesses   *guesses
	verifying chan struct{} // bounds the verifications at a time
	queue     chan struct{} // bounds those and who waits for one
	now       func() time.Time
	closers   []func() // end what the parts have under way
}

// maxVerifying bounds the verifications of passwords at a time, each of which
// takes tens of megabytes.
const maxVerifying = 2

// maxQueued bounds who waits for that; others are told to come back in queueWait.
const (
	maxQueued = 32
	queueWait = 5 * time.Second
)

// NewConsole returns a console.
func NewConsole(b Backing) *Console {
	c := &Console{
		Backing: b, mux: http.NewServeMux(), programs: http.NewServeMux(), crossing: http.NewCrossOriginProtection(),
		guesses: newGuesses(), verifying: make(chan struct{}, maxVerifying), queue: make(chan struct{}, maxQueued), now: time.Now,
	}
	if b.MailSettings != nil {
		b.MailSettings.Mount(c.programs)
	}
	for _, mount := range parts {
		mount(c)
	}
	return c
}

// parts are what the console is made of; each mounts its pages.
var parts = []func(*Console){
	(*Console).mountFrame,
	(*Console).mountSignIn,
	(*Console).mountOverview,
	(*Console).mountMailbox,
	(*Console).mountPasswords,
	(*Console).mountLogins,
	(*Console).mountPeople,
	(*Console).mountConfiguration,
	(*Console).mountConnect,
	(*Console).mountTrial,
}

// navigation is the menu, in its order. Those who may not open a page do not
// see it there.
var navigation = []navItem{
	{"/", "nav.mailboxes", signedIn},
	{"/invitations", "nav.invitations", administrators},
	{"/logins", "nav.logins", signedIn},
	{"/people", "nav.people", administrators},
	{"/configuration", "nav.configuration", administrators},
}

type navItem struct {
	Path string
	Key  string // of its text
	who  access
}

// access says who may open a page.
type access int

const (
	anyone access = iota
	signedIn
	administrators
)

// handle mounts a page. A pattern with {mailbox} in it is for those who may see
// that mailbox; to others it does not exist. What changes something is a POST:
// ServeHTTP lets no other site make one, and the session's cookie would not come
// along with it.
func (c *Console) handle(pattern string, who access, do func(*visit) error) {
	c.patterns = append(c.patterns, pattern)
	perMailbox := strings.Contains(pattern, "{mailbox}")
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(w, r)
		v.finish(v.run(who, perMailbox, do))
	})
}

// run calls do, if the visitor may.
func (v *visit) run(who access, perMailbox bool, do func(*visit) error) error {
	open := who == anyone && !perMailbox
	// Those whom a reverse proxy lets through and nobody here knows are who
	// invitations are for.
	if err := v.identify(); err != nil && !(open && isStranger(err)) {
		return err
	}
	switch {
	case open:
	case v.user == nil:
		return v.toSignIn()
	case who == administrators && !v.user.administrator():
		return v.refuse(http.StatusForbidden, "error.administrators")
	}
	if perMailbox {
		mailbox, _ := v.Vault.Canonical(v.r.PathValue("mailbox"))
		if !v.user.maySee(mailbox) {
			return v.refuse(http.StatusNotFound, "error.mailbox", "mailbox", mailbox)
		}
		v.mailbox = mailbox
	}
	return do(v)
}

// mountFrame mounts what every page needs.
func (c *Console) mountFrame() {
	c.mux.HandleFunc("GET /static/{file}", serveStatic)
	c.handle("POST /language", anyone, (*visit).chooseLanguage)
	c.handle("/", anyone, func(v *visit) error { return v.refuse(http.StatusNotFound, "error.page") })
}

// maxForm bounds what a browser may send: the longest form is that of a password.
const maxForm = 64 << 10

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, pattern := c.programs.Handler(r); pattern != "" {
		h.ServeHTTP(w, r)
		return
	}
	protect(w.Header())
	access := c.Access()
	switch {
	case !access.knows(r):
		http.Error(w, "authferry's console does not go by the name "+printable.Quote(r.Host)+
			": ask for "+access.URL+", or name this address in public_url under [web] in its configuration", http.StatusMisdirectedRequest)
		return
	case !c.sameSite(r, access):
		v := c.visit(w, r)
		v.finish(v.refuse(http.StatusForbidden, "error.crosssite"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.mux.ServeHTTP(w, atCallback(r))
}

// Close ends what is under way beside requests, and waits for it.
func (c *Console) Close() {
	for _, end := range c.closers {
		end()
	}
}

// HasAdministrator tells whether an administrator has ever been let in. Where one comes by
// the header of a reverse proxy, none need be.
func (c *Console) HasAdministrator(ctx context.Context) (bool, error) {
	if a := c.Access(); a.Header != "" && len(a.Administrators) > 0 {
		return true, nil
	}
	reg, err := c.readRegister(ctx)
	if err != nil {
		return false, err
	}
	for _, u := range reg.Users {
		if u.administrator() {
			return true, nil
		}
	}
	return false, nil
}

// Navigation is what of the menu the visitor may open.
func (v *visit) Navigation() []navItem {
	return slices.DeleteFunc(slices.Clone(navigation), func(n navItem) bool {
		return v.user == nil || n.who == administrators && !v.user.administrator()
	})
}
