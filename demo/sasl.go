package demo

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// The challenges in which Gmail explains a refusal. The client must answer
// before the refusal itself comes: XOAUTH2 with an empty line
// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol),
// OAUTHBEARER with a lone 0x01 (RFC 7628 §3.2.3).
var (
	xoauth2Challenge     = base64.StdEncoding.EncodeToString([]byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`))
	oauthBearerChallenge = base64.StdEncoding.EncodeToString([]byte(`{"status":"invalid_request","scope":"https://mail.google.com/"}`))
)

var errNotBase64 = errors.New("not base64")

// credentials are what XOAUTH2 and OAUTHBEARER carry. An empty token stands for
// a message that made no sense, which Gmail answers like a bad token.
type credentials struct {
	user, token string
}

// parseBearer reads the one message of XOAUTH2 or OAUTHBEARER (RFC 7628 §3.1).
func parseBearer(mechanism, encoded string) (credentials, error) {
	if encoded == "=" {
		encoded = "" // RFC 4959, RFC 4954, RFC 5034: an empty initial response
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return credentials{}, errNotBase64
	}
	message, ok := strings.CutSuffix(string(b), "\x01\x01")
	if !ok {
		return credentials{}, nil
	}
	head, rest, ok := strings.Cut(message, "\x01")
	if !ok {
		return credentials{}, nil
	}
	var c credentials
	if mechanism == "XOAUTH2" {
		c.user, ok = strings.CutPrefix(head, "user=")
	} else {
		c.user, ok = gs2User(head)
	}
	if !ok {
		return credentials{}, nil
	}
	for _, pair := range strings.Split(rest, "\x01") {
		if value, ok := strings.CutPrefix(pair, "auth="); ok {
			if scheme, token, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") {
				c.token = token
			}
		}
	}
	return c, nil
}

// gs2User takes the user out of a GS2 header, "n,a=user," (RFC 5801 §4).
func gs2User(header string) (string, bool) {
	parts := strings.Split(header, ",")
	if len(parts) != 3 || parts[0] != "n" && parts[0] != "y" || parts[2] != "" {
		return "", false
	}
	user, ok := strings.CutPrefix(parts[1], "a=")
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user), ok
}

// challenge is how a mechanism learns of a refusal.
func challenge(mechanism string) string {
	if mechanism == "XOAUTH2" {
		return xoauth2Challenge
	}
	return oauthBearerChallenge
}

// isBearer tells whether a mechanism is one that takes tokens here.
func isBearer(mechanism string) bool {
	return mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER"
}

// canonical is the form under which an address is known.
func canonical(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// login checks credentials: the token's owner must be let into the mailbox
// named, where POP3's "recent:" in front is a mode and not part of the name.
func (c *conn) login(cr credentials) (*account, identity, bool) {
	user := canonical(cr.user)
	if c.protocol == "pop3" {
		user = strings.TrimPrefix(user, "recent:")
	}
	if c.fault() == MailRefuse {
		c.logf("%s refused on purpose", shown(user))
		return nil, identity{}, false
	}
	id, ok := c.p.grants.use(cr.token)
	switch {
	case !ok:
		c.logf("%s refused: the access token is unknown, expired or revoked", shown(user))
	case !c.p.opens(id, user):
		c.logf("%s refused: the access token is that of %s", shown(user), id)
	case !id.allows(gmailScope):
		c.logf("%s refused: the access token does not cover %s", shown(user), gmailScope)
	default:
		return c.p.accounts[user], id, true
	}
	return nil, identity{}, false
}

// opens tells whether a token's owner is let into a mailbox.
func (p *Provider) opens(id identity, mailbox string) bool {
	a := p.accounts[mailbox]
	if a == nil {
		return false
	}
	if id.app {
		return !p.Faults.delegationDenied()
	}
	return id.mailbox == mailbox || slices.Contains(a.delegates, id.mailbox)
}

// String is whose a token is, for the log.
func (id identity) String() string {
	if id.app {
		return "the client itself"
	}
	return id.mailbox
}
