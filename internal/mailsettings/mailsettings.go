// Package mailsettings says what to type into a mail program to use a mailbox
// through authferry: cards for people, ready configuration files, and the answers
// to programs that look their settings up themselves (Thunderbird's autoconfig,
// Microsoft's autodiscover, Apple's configuration profiles).
package mailsettings

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"authferry/internal/address"
	"authferry/proxy"
	"authferry/tokens"
)

// MailService is where mail programs come in: a listener, as they see it.
type MailService struct {
	Protocol string // "imap", "pop3" or "smtp"
	Host     string
	Port     int
	Security proxy.Security
	// Reserved says that it is for some programs only: it has networks of its
	// own, or takes TLS that is too old for others. It is told to those alone
	// that are set up by hand, and last.
	Reserved bool
}

// onLoopback tells whether programs of the same machine alone get there.
func (s MailService) onLoopback() bool { return address.IsLoopbackHost(s.Host) }

// openStartTLS tells a service with STARTTLS that any program may use.
func (s MailService) openStartTLS() bool { return s.Security == proxy.StartTLS && !s.Reserved }

// reach says where a program is that is to be told of services.
type reach int

const (
	elsewhere reach = iota // on another machine
	here                   // on this one, where loopback needs no certificate
	anywhere               // nobody knows: elsewhere, if there is a choice
)

// preference orders the ways TLS starts, the best first: RFC 8314 §3. What stays
// within the machine does best without: a certificate for localhost is one more
// thing that can be wrong.
var (
	preference           = map[proxy.Security]int{proxy.Implicit: 0, proxy.Either: 1, proxy.StartTLS: 2, proxy.Plain: 3}
	preferenceOnLoopback = map[proxy.Security]int{proxy.Plain: 0, proxy.Implicit: 1, proxy.Either: 2, proxy.StartTLS: 3}
)

// reachable are the services of a protocol for a program, the best first. It is
// told of loopback, or of what else there is, but not of both: one of them would
// lead it astray.
func reachable(all []MailService, protocol string, r reach) []MailService {
	var near, far []MailService
	for _, s := range all {
		switch {
		case s.Protocol != protocol:
		case s.onLoopback():
			near = append(near, s)
		default:
			far = append(far, s)
		}
	}
	list, rank := far, preference
	if r == here && len(near) > 0 || r == anywhere && len(far) == 0 {
		list, rank = near, preferenceOnLoopback
	}
	slices.SortStableFunc(list, func(a, b MailService) int {
		return cmp.Or(reservedLast(a, b), cmp.Compare(rank[a.Security], rank[b.Security]))
	})
	return list
}

func reservedLast(a, b MailService) int {
	switch {
	case a.Reserved == b.Reserved:
		return 0
	case a.Reserved:
		return 1
	}
	return -1
}

// public are the services of a protocol that any program may be told of. Those
// without TLS are left out where there is one with it: programs that find two
// differ in which they take.
func public(all []MailService, protocol string, r reach) []MailService {
	list := slices.DeleteFunc(reachable(all, protocol, r), func(s MailService) bool { return s.Reserved })
	if len(list) > 0 && !list[0].onLoopback() && list[0].Security != proxy.Plain {
		list = slices.DeleteFunc(list, func(s MailService) bool { return s.Security == proxy.Plain })
	}
	return list
}

// MailSettings tells mail programs that ask by themselves how to reach the
// mailboxes of a domain:
//
//	GET  /mail/config-v1.1.xml, /.well-known/autoconfig/mail/config-v1.1.xml
//	     Thunderbird, K-9, Evolution, KMail
//	POST /autodiscover/autodiscover.xml
//	     Outlook
//	GET  /email.mobileconfig?email=ADDRESS
//	     Apple Mail on iPhone, iPad and Mac
//
// Anybody may ask, so the answers tell nothing of mailboxes: they are the same
// for every address of a domain, there or not, and no password is in them.
type MailSettings struct {
	Services func() []MailService
	// Domains are the mail domains there are answers for, in lower case and in
	// all their forms.
	Domains func(context.Context) (map[string]bool, error)
	// Certificate signs profiles for Apple Mail; nil, or nil from it, leaves
	// them unsigned.
	Certificate func() (*tls.Certificate, error)
	Log         *zap.Logger
}

// Handler answers on its own.
func (s *MailSettings) Handler() http.Handler {
	mux := http.NewServeMux()
	s.Mount(mux)
	return mux
}

// Mount answers beside others. Programs ask by host names of their own making,
// such as autoconfig.example.com, so nothing before it may insist on one.
func (s *MailSettings) Mount(mux *http.ServeMux) {
	for _, path := range []string{"/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"} {
		mux.HandleFunc("GET "+path, s.answerAutoconfig)
	}
	// Exchange does not mind the case of letters, and programs differ in it.
	for _, path := range []string{"/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"} {
		mux.HandleFunc("POST "+path, s.answerAutodiscover)
	}
	mux.HandleFunc("GET /email.mobileconfig", s.answerProfile)
}

// refusedSettings is the one answer for whatever is not served here.
const refusedSettings = "there are no settings for mail programs under this address"

// serves tells whether a domain is answered for; if not, or if that cannot be
// told, the program has been answered.
func (s *MailSettings) serves(w http.ResponseWriter, r *http.Request, domain string) bool {
	domains, err := s.Domains(r.Context())
	switch {
	case err != nil:
		s.Log.Warn("settings not told", zap.Error(err))
		http.Error(w, "the settings cannot be told now: try again later", http.StatusServiceUnavailable)
	case domain == "" || !domains[domain]:
		http.Error(w, refusedSettings, http.StatusNotFound)
	default:
		return true
	}
	return false
}

// write sends an answer, which is about an address and so nobody's to keep.
func (s *MailSettings) write(w http.ResponseWriter, kind string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if _, err := w.Write(content); err != nil {
		s.Log.Debug("settings not taken", zap.Error(err))
	}
}

// askedHere tells whether a program of this machine asks, by what it asks for:
// what comes from loopback may be a reverse proxy's. Some of these hide even what
// was asked for, so that this is a reason to tell of loopback only where there is
// nothing else.
func askedHere(r *http.Request) bool {
	return address.IsLoopbackHost(r.RemoteAddr) && address.IsLoopbackHost(r.Host)
}

// toldAt is where programs are that are told of services: elsewhere, unless one
// is known to be on this machine.
func toldAt(local bool) reach {
	if local {
		return anywhere
	}
	return elsewhere
}

// hostOf is the host a request asks for, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// domainOf is the domain of a mail address, in lower case; "" if it is none.
func domainOf(text string) string {
	if address.Check(text) != nil || strings.ContainsFunc(text, neverInAddress) {
		return ""
	}
	return address.Domain(text)
}

// neverInAddress are characters that only quoted local parts could have, which
// no provider has mailboxes with.
func neverInAddress(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == utf8.RuneError || strings.ContainsRune(`<>"\`, r)
}

// Server is a line of what mail programs ask for.
type Server struct {
	Protocol string // "imap", "pop3" or "smtp"
	Host     string
	Port     int
	Security string // in the words of mail programs, such as "SSL/TLS"
}

// ServersFor returns the servers that a password can be used with.
func ServersFor(all []Server, spec *tokens.PasswordSpec) (list []Server) {
	for _, s := range all {
		if (len(spec.Protocols) == 0 || slices.Contains(spec.Protocols, s.Protocol)) && !(spec.ReadOnly && s.Protocol == "smtp") {
			list = append(list, s)
		}
	}
	return list
}
