package proxy

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"authferry/proxy/gate"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// TestRefusals checks every cell of the table of refusals, as the client receives
// it.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		err              error
		imap, pop3, smtp string
	}{
		{tokens.ErrBadLogin, "t NO [AUTHENTICATIONFAILED] ", "-ERR [AUTH] ", "535 5.7.8 "},
		{errNeedsTLS, "t NO [PRIVACYREQUIRED] ", "-ERR [AUTH] ", "538 5.7.11 "},
		{gate.ErrTooMany, "t NO [LIMIT] ", "-ERR [LOGIN-DELAY] ", "454 4.7.0 "},
		{oauth.ErrNeedsConsent, "* OK [ALERT] |t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{upstream.ErrTokenRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{upstream.ErrProviderRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{oauth.ErrRefused, "t NO [CONTACTADMIN] ", "-ERR [SYS/PERM] ", "454 4.7.0 "},
		{upstream.ErrProviderBusy, "t NO [UNAVAILABLE] ", "-ERR [SYS/TEMP] ", "454 4.7.0 "},
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
