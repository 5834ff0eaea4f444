package proxy

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"authferry/proxy/gate"
	"authferry/proxy/imapsyntax"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Every cell of the table of refusals, as it goes over the wire.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		err              error
		imap, pop3, smtp string
	}{
		{tokens.ErrBadLogin, "t NO [AUTHENTICATIONFAILED] ", "-ERR [AUTH] ", "535 5.7.8 "},
		{errNeedsTLS, "t NO [PRIVACYREQUIRED] ", "-ERR [AUTH] ", "538 5.7.11 "},
		{gate.ErrTooMany, "t NO [LIMIT] ", "-ERR [LOGIN-DELAY] ", "454 4.7.0 "},
		{oauth.ErrNeedsConsent, "* OK [ALERT] |t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{errTokenRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{errProviderRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{oauth.ErrRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{errProviderBusy, "t NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "},
		{oauth.ErrUnavailable, "t NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "},
		{io.ErrUnexpectedEOF, "t NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "},
		{errors.New("an error nobody foresaw"), "t NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "},
	} {
		r := refusalFor(fmt.Errorf("wrapped: %w", tt.err))
		for _, d := range []struct {
			dialect dialect
			want    string
		}{{&imapDialect{tag: "t"}, tt.imap}, {&pop3Dialect{}, tt.pop3}, {&smtpDialect{}, tt.smtp}} {
			c, peer := pair(t)
			go func() { d.dialect.refuse(c, r); c.Close() }()
			said, _ := io.ReadAll(peer)
			want := strings.ReplaceAll(d.want, "|", r.words+"\r\n") + r.words + "\r\n"
			if string(said) != want || r.words == "" {
				t.Errorf("%v: said %q, want %q", tt.err, said, want)
			}
		}
	}
}

func TestQuotable(t *testing.T) {
	for in, want := range map[string]string{
		"  Invalid credentials\r\na2 OK injected": "Invalid credentialsa2 OK injected",
		"tab\there, é and \xff\x00":               "tab here, ? and ?",
		strings.Repeat("x", 160):                  strings.Repeat("x", 160),
		strings.Repeat("x", 161):                  strings.Repeat("x", 157) + "...",
	} {
		if got := quotable(in); got != want {
			t.Errorf("quotable(%q) = %q, want %q", in, got, want)
		}
	}
}

// What providers say, and what it means. A line's protocol is told by its form.
func TestMeaningOfRefusals(t *testing.T) {
	p := &oauth.Provider{Name: "gmail"}
	meaning := func(line string) error {
		switch {
		case strings.HasPrefix(line, "-ERR"):
			return pop3Refusal(p, strings.TrimPrefix(line, "-ERR "), true)
		case strings.HasPrefix(line, "NO") || strings.HasPrefix(line, "BAD"):
			return imapRefusal(p, imapsyntax.ParseStatus(line), strings.HasPrefix(line, "NO"))
		}
		r, err := readReply(fed(t, line+"\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return smtpRefusal(p, r, errTokenRefused)
	}
	for line, want := range map[string]error{
		"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)":         errTokenRefused,
		"NO AUTHENTICATE failed.":                                         errTokenRefused, // Microsoft
		"NO Lookup failed x2mb241876667wmk":                               errTokenRefused,
		"NO [EXPIRED] token expired":                                      errTokenRefused,
		"NO [AUTHORIZATIONFAILED] not yours":                              errTokenRefused,
		"-ERR [AUTH] Username and Password not accepted.":                 errTokenRefused,
		"-ERR Authentication failure: unknown user name or bad password.": errTokenRefused,
		"535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  https://x - gsmtp": errTokenRefused,
		"535 5.7.3 Authentication unsuccessful [SN2PR00CA0018.namprd00.prod.outlook.com]":                           errTokenRefused,
		"535 5.7.8 Error: authentication failed: (reason unavailable)":                                              errTokenRefused,
		"NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754":      errProviderRefused,
		"NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page (Failure)":      errProviderRefused,
		"NO [ALERT] IMAP access is disabled for your domain.":                                                       errProviderRefused,
		"NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833":      errProviderRefused,
		"NO [CONTACTADMIN] ask":                                       errProviderRefused,
		"NO [NOPERM] no":                                              errProviderRefused,
		"NO [PRIVACYREQUIRED] no":                                     errProviderRefused,
		"NO [CANNOT] Unsupported mechanism":                           errProviderRefused,
		"BAD Error in IMAP command AUTHENTICATE":                      errProviderRefused,
		"-ERR [SYS/PERM] Your account is not enabled for POP access.": errProviderRefused,
		"-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754":                                errProviderRefused,
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.":               errProviderRefused,
		"534-5.7.9 Application-specific password required.\r\n534 5.7.9  https://x - gsmtp":                           errProviderRefused,
		"534-5.7.14 <https://accounts.google.com/signin/continue?plt=AKgnsb>\r\n534 5.7.14 log in and then try again": errProviderRefused,
		"504 5.7.4 Unrecognized Authentication Type.":                                                                 errProviderRefused,
		"555 5.5.2 Syntax error, goodbye.":                                                                            errProviderRefused,
		"501 5.5.124 Invalid XOAUTH2 auth data":                                                                       errProviderRefused,
		"NO [ALERT] Too many simultaneous connections. (Failure)":                                                     errProviderBusy,
		"NO Temporary System Problem. Try again later. (Failure)":                                                     errProviderBusy,
		"NO [UNAVAILABLE] x": errProviderBusy,
		"NO [LIMIT] x":       errProviderBusy,
		"NO [INUSE] x":       errProviderBusy,
		"NO [SERVERBUG] x":   errProviderBusy,
		"NO [OVERQUOTA] x":   errProviderBusy,
		"NO [AUTHENTICATIONFAILED] Account exceeded command or bandwidth limits. (Failure)": errProviderBusy,
		"BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds":              errProviderBusy,
		"-ERR [SYS/TEMP] Temporary system problem. Please try again later.":                 errProviderBusy,
		"-ERR [IN-USE] another session":                                                     errProviderBusy,
		"-ERR [LOGIN-DELAY] wait":                                                           errProviderBusy,
		"-ERR [AUTH] Account exceeded pop command or bandwidth limits (Failure)":            errProviderBusy,
		"454 4.7.0 Too many login attempts, please try again later. x - gsmtp":              errProviderBusy,
		"421 4.7.0 Try again later, closing connection. (EHLO)":                             errProviderBusy,
		"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded":                     errProviderBusy,
	} {
		if err := meaning(line); !errors.Is(err, want) {
			t.Errorf("%s\n\tmeans %v, want %v", line, err, want)
		}
	}
}
