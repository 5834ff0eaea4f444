// Package console is the web console: in a browser, administrators and mailbox
// owners see the state of mailboxes, connect them, hand out local passwords, read
// the login record and test a login step by step.
//
// Every page is rendered on the server and works without JavaScript. This package
// has the pages about mailboxes, users, logins and the configuration. Below it,
// frame checks every request and signs people in, connect brings mailboxes in from
// their providers' sign-in pages, people keeps users and invitations in the store,
// form reads the forms about passwords, and pages holds templates and texts.
package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/check"
	"authferry/internal/config/document"
	"authferry/internal/console/connect"
	"authferry/internal/console/frame"
	"authferry/internal/mailsettings"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Deps is what the console shows and works on.
type Deps struct {
	Version   string
	Log       *zap.Logger
	Vault     *tokens.Vault
	Providers func() []*oauth.Provider
	Access    func() Access    // in force now
	Now       func() time.Time // nil: time.Now

	// Servers are what mail programs are told to connect to.
	Servers func() []mailsettings.Server
	// Cards say how each program is set up for a mailbox, in a language; may be
	// nil.
	Cards func(mailbox, language string) []mailsettings.Card
	// MailSettings answers programs that ask for their settings; nil: they get no
	// answer.
	MailSettings *mailsettings.Responder
	// Settings are the configuration in force, without its secrets, and its file.
	Settings func() (file string, settings []document.Setting)

	// Sessions are the sessions that are logged in. Kick ends those that match,
	// and Sweep those whose password or mailbox is gone.
	Sessions func() []proxy.SessionInfo
	Kick     func(match func(proxy.SessionInfo) bool) int
	Sweep    func()

	// Check tests the login of a mailbox, and reports each step.
	Check func(ctx context.Context, mailbox string, report func(check.Step))

	// Logins returns attempted logins, the newest first; nil if they are not
	// recorded.
	Logins func(LoginQuery) ([]LoginAttempt, error)
}

// Access says how the console is reached, and whom it trusts to name users.
type Access = frame.Access

// Console answers browsers.
type Console struct {
	Deps
	frame     *frame.Frame
	programs  *http.ServeMux // for mail programs, which use host names of their own
	connector *connect.Connector
	checks    *checkRuns
}

// menu is the menu on every page.
var menu = []frame.MenuItem{
	{Path: "/", Key: "nav.mailboxes", Who: frame.SignedIn},
	{Path: "/invitations", Key: "nav.invitations", Who: frame.Administrators},
	{Path: "/logins", Key: "nav.logins", Who: frame.SignedIn},
	{Path: "/people", Key: "nav.people", Who: frame.Administrators},
	{Path: "/configuration", Key: "nav.configuration", Who: frame.Administrators},
}

// New returns a console.
func New(d Deps) *Console {
	if d.Now == nil {
		d.Now = time.Now
	}
	c := &Console{Deps: d, programs: http.NewServeMux()}
	if d.MailSettings != nil {
		d.MailSettings.Mount(c.programs)
	}
	c.frame = frame.New(frame.Deps{Version: d.Version, Log: d.Log, Vault: d.Vault, Access: d.Access, Menu: menu, Now: d.Now})
	c.connector = connect.Mount(c.frame, connect.Deps{
		Vault: d.Vault, Log: d.Log, Now: d.Now, Providers: d.Providers, Servers: d.Servers, Cards: c.cards,
	})
	c.checks = newCheckRuns(d.Check, d.Now)
	c.mount("GET /{$}", frame.SignedIn, overviewPage)
	mountMailbox(c)
	mountChecks(c)
	c.mount("GET /logins", frame.SignedIn, loginsPage)
	c.mount("GET /people", frame.Administrators, usersPage)
	c.mount("POST /people/link", frame.Administrators, makeLink)
	c.mount("POST /people/remove", frame.Administrators, removeUser)
	c.mount("GET /configuration", frame.Administrators, configurationPage)
	return c
}

func (c *Console) mount(pattern string, who frame.Audience, do func(*Console, *frame.Request) error) {
	c.frame.Handle(pattern, who, func(r *frame.Request) error { return do(c, r) })
}

// ServeHTTP answers a browser, or a mail program that asks for its settings.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, pattern := c.programs.Handler(r); pattern != "" {
		h.ServeHTTP(w, r)
		return
	}
	c.frame.ServeHTTP(w, connect.ToCallback(r))
}

// Close ends the sign-ins and checks under way, and waits for it.
func (c *Console) Close() {
	c.connector.Close()
	c.checks.close()
}

// HasAdministrator reports whether an administrator can sign in or ever has.
func (c *Console) HasAdministrator(ctx context.Context) (bool, error) {
	return c.frame.HasAdministrator(ctx)
}

// cards returns how each program is set up for a mailbox.
func (c *Console) cards(mailbox, language string) []mailsettings.Card {
	if c.Cards == nil {
		return nil
	}
	return c.Cards(mailbox, language)
}

// settingGroup is a table of the configuration.
type settingGroup struct {
	Table    string
	Settings []document.Setting
}

// configurationPage shows the configuration, and where each value comes from. It
// has no form: the file keeps comments and history.
func configurationPage(c *Console, r *frame.Request) error {
	file, settings := c.Settings()
	var groups []settingGroup
	for _, s := range settings {
		table := ""
		if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
			table = s.Key[:i]
		}
		i := slices.IndexFunc(groups, func(g settingGroup) bool { return g.Table == table })
		if i < 0 {
			i = len(groups)
			groups = append(groups, settingGroup{Table: table})
		}
		s.Key = strings.TrimPrefix(s.Key, table+".")
		groups[i].Settings = append(groups[i].Settings, s)
	}
	return r.Show("configuration", struct {
		File   string
		Groups []settingGroup
	}{file, groups})
}
