package alert

import (
	"errors"
	"strconv"
	"strings"

	"authferry/tokens"
)

// bearer is the client's side of XOAUTH2
// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol) and
// OAUTHBEARER (RFC 7628 §3.1), for go-smtp.
type bearer struct {
	provider *tokens.Provider
	grant    *tokens.Grant
}

// maxInline is the longest response that fits behind AUTH XOAUTH2 in base64: a
// command line has 512 octets (RFC 5321 §4.5.3.1.4), and Microsoft's tokens alone
// are longer.
const maxInline = (512 - len("AUTH OAUTHBEARER \r\n")) / 4 * 3

func (b *bearer) Start() (mechanism string, initial []byte, err error) {
	if r := b.response(); len(r) <= maxInline {
		return b.provider.Mechanism, r, nil
	}
	return b.provider.Mechanism, nil, nil
}

// Next answers the empty challenge that asks for a long response, or the one in
// which the provider explains its refusal: nothing for XOAUTH2, one ^A for
// OAUTHBEARER (§3.2.3). go-smtp takes nil for the end, so nothing is not nil.
func (b *bearer) Next(challenge []byte) ([]byte, error) {
	switch {
	case len(challenge) == 0 && len(b.response()) > maxInline:
		return b.response(), nil
	case len(challenge) == 0:
		return nil, errors.New("the server asks once more for what it was told")
	case b.provider.Mechanism == "OAUTHBEARER":
		return []byte{1}, nil
	}
	return []byte{}, nil
}

func (b *bearer) response() []byte {
	token := "auth=Bearer " + b.grant.AccessToken.Reveal() + "\x01\x01"
	if b.provider.Mechanism == "OAUTHBEARER" {
		name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(b.grant.User)
		e := b.provider.SMTP
		return []byte("n,a=" + name + ",\x01host=" + e.Host + "\x01port=" + strconv.Itoa(e.Port) + "\x01" + token)
	}
	return []byte("user=" + b.grant.User + "\x01" + token)
}
