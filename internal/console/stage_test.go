package console

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/config/document"
	"authferry/internal/console/consoletest"
	"authferry/internal/mailsettings"
	"authferry/proxy"
	"authferry/tokens/oauth"
)

const mine, theirs = consoletest.Mine, consoletest.Theirs

// stage is a console with two mailboxes and a clock of its own.
type stage struct {
	*consoletest.Stage
	console  *Console
	access   Access
	sessions []proxy.SessionInfo
	kicked   []int64
	swept    int
}

// services are what mail programs connect to.
var services = []mailsettings.Service{
	{Protocol: "imap", Host: "mail.example.org", Port: 993, Security: proxy.Implicit},
	{Protocol: "smtp", Host: "mail.example.org", Port: 465, Security: proxy.Implicit},
}

func servers() []mailsettings.Server {
	return []mailsettings.Server{{Protocol: "imap", Host: "mail.example.org", Port: 993, Security: "SSL/TLS"}, {Protocol: "smtp", Host: "mail.example.org", Port: 465, Security: "SSL/TLS"}}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: consoletest.New(t)}
	began := s.Now()
	for i, mailbox := range []string{mine, theirs} {
		s.sessions = append(s.sessions, proxy.SessionInfo{
			ID: int64(i + 1), Protocol: "imap", Client: netip.MustParseAddrPort("192.0.2.1:999"),
			Mailbox: mailbox, Password: "CRM", Since: began.Add(-time.Hour), Moved: began,
		})
	}
	s.console = New(Deps{
		Version: "v1", Log: s.Log, Vault: s.Vault, Now: s.Now,
		Providers: func() []*oauth.Provider { return []*oauth.Provider{s.Provider} },
		Access:    func() Access { return s.access },
		Servers:   servers,
		Cards: func(mailbox, language string) []mailsettings.Card {
			return mailsettings.Cards(mailsettings.CardMailbox{Address: mailbox}, services, language)
		},
		MailSettings: &mailsettings.Responder{
			Services: func() []mailsettings.Service { return services },
			Domains:  func(context.Context) (map[string]bool, error) { return map[string]bool{"example.com": true}, nil },
			Log:      zap.NewNop(),
		},
		Settings: func() (string, []document.Setting) {
			return "/etc/authferry/config.toml", []document.Setting{{Key: "store", Value: `"file:/s"`}, {Key: "provider.gmail.client_id", Value: `"id"`, Line: 7}, {Key: "log.level", Value: `"info"`, Variable: "AUTHFERRY_LOG_LEVEL"}}
		},
		Sessions: func() []proxy.SessionInfo { return slices.Clone(s.sessions) },
		Kick: func(match func(proxy.SessionInfo) bool) (n int) {
			for _, x := range s.sessions {
				if match(x) {
					s.kicked = append(s.kicked, x.ID)
					n++
				}
			}
			return n
		},
		Sweep: func() { s.swept++ },
		Logins: func(q LoginQuery) ([]LoginAttempt, error) {
			var list []LoginAttempt
			for _, m := range []string{mine, theirs} {
				if len(q.Mailboxes) == 0 || slices.Contains(q.Mailboxes, m) {
					list = append(list, LoginAttempt{At: began, Protocol: "imap", From: "192.0.2.1", Mailbox: m, Password: "CRM", OK: true, Result: "ok", Times: 1},
						LoginAttempt{At: began, Protocol: "smtp", From: "192.0.2.1", User: m, Mailbox: m, Result: "bad login", Cause: "wrong <password>", Times: 3})
				}
			}
			return list, nil
		},
	})
	t.Cleanup(s.console.Close)
	s.Serve(s.console)
	s.access.URL = s.URL
	return s
}

// madeSecret finds a password that a page shows.
var madeSecret = regexp.MustCompile(`<code>([a-z]{4}(?: [a-z]{4}){3})</code>`)
