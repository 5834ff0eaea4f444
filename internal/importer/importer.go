// Package importer reads what other programs keep of mailboxes: OAuth clients,
// refresh tokens, and where they listened. It only reads; what is found is
// proved and kept by whoever asked.
//
// A refresh token is worth something only together with the client it was given
// to, so the two are always handed on together.
package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Limit bounds a file that is read: more is not one of these files.
const Limit = 4 << 20

// Account is a mailbox as another program knew it.
type Account struct {
	Mailbox  string // empty: the file does not say
	Provider Provider
	Refresh  secret.String // empty where nobody signs in, or see Problem
	// Problem is why there is no grant to take over, with what to do about it.
	Problem string
}

// Provider is what another program knew of a mail provider. Fields it did not
// know are empty.
type Provider struct {
	Family string // "gmail" or "microsoft", of [tokens.Builtin]; empty: another
	Flow   oauth.Flow

	AuthURL, TokenURL, DeviceURL string
	Scopes                       []string
	RedirectHost                 string
	ClientID                     string
	ClientSecret                 secret.String

	ServiceAccountFile string        // path of a key as Google's console offers it
	ServiceAccountKey  secret.String // or the key itself
	CertificateFile    string        // with its key, in place of the secret
	CertificateKeyFile string

	IMAP, POP3, SMTP string // as URLs, the way the configuration has them
}

// families are the hosts of token endpoints of the providers that are built in,
// old ones included. National clouds are providers of their own.
var families = map[string]string{
	"oauth2.googleapis.com":     "gmail",
	"accounts.google.com":       "gmail",
	"www.googleapis.com":        "gmail",
	"login.microsoftonline.com": "microsoft",
	"login.live.com":            "microsoft",
}

func familyOf(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil {
		return ""
	}
	return families[strings.ToLower(u.Hostname())]
}

// Is tells whether a configured provider is the one meant: the same client at
// the same place, or, where no client was named, the same place.
func (p *Provider) Is(q *oauth.Provider) bool {
	if p.ClientID != "" && p.ClientID != q.ClientID {
		return false
	}
	if p.Flow.NeedsPerson() != q.Flow.NeedsPerson() {
		return false
	}
	if p.ServiceAccountFile != "" || !p.ServiceAccountKey.Empty() {
		return q.Flow == oauth.FlowServiceAccount && p.sharesPlace(q)
	}
	return p.sharesPlace(q)
}

func (p *Provider) sharesPlace(q *oauth.Provider) bool {
	if p.TokenURL != "" { // for Microsoft, that of a tenant
		return p.TokenURL == q.TokenURL
	}
	return p.Family != "" && (p.Family == familyOf(q.TokenURL) || p.Family == q.Name)
}

// Same tells whether two accounts share one provider.
func (p *Provider) Same(q *Provider) bool {
	return p.Family == q.Family && p.Flow == q.Flow && p.TokenURL == q.TokenURL && p.ClientID == q.ClientID &&
		p.ClientSecret == q.ClientSecret && p.ServiceAccountFile == q.ServiceAccountFile && p.ServiceAccountKey == q.ServiceAccountKey &&
		p.CertificateFile == q.CertificateFile && slices.Equal(p.Scopes, q.Scopes)
}

// maxToken bounds a refresh token, as the vault does.
const maxToken = 16 << 10

// checkToken refuses what cannot be a refresh token: RFC 6749 §A.17.
func checkToken(s secret.String) error {
	text := s.Reveal()
	switch {
	case text == "":
		return errors.New("there is no refresh token in it: sign in with authferry connect instead")
	case len(text) > maxToken, strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("what it has for a refresh token is not one: a token is one word of printable characters")
	case strings.HasPrefix(text, "ya29."):
		return errors.New("that is an access token of Google's, which ends within the hour: the refresh token beside it is wanted, which begins with 1//")
	}
	return nil
}

// Token reads a refresh token that is all there is, as a line of text.
func Token(content []byte) (secret.String, error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	if strings.HasPrefix(text, "{") {
		return "", errors.New("that is JSON, and a refresh token alone was expected: name the program it is from in place of token")
	}
	s := secret.String(text)
	return s, checkToken(s)
}

// object is a JSON object of another program, read with indulgence: what should
// be text may be a number there.
type object map[string]json.RawMessage

// readObject reads a file that should hold one JSON object. decrypt is how to
// decrypt it where it turns out to be encrypted.
func readObject(content []byte, decrypt string) (object, error) {
	if encrypted(content) {
		return nil, fmt.Errorf("it is encrypted: decrypt it on the way, %s", decrypt)
	}
	var o object
	content = []byte(strings.TrimPrefix(string(content), "\ufeff"))
	// The decoder's errors may quote the file, which is made of secrets.
	if err := json.Unmarshal(content, &o); err != nil || o == nil {
		if len(strings.TrimSpace(string(content))) == 0 {
			return nil, errors.New("it is empty: if gpg was to write it, see what gpg said")
		}
		return nil, errors.New("it is not a JSON object, so not a file of that program, or damaged")
	}
	return o, nil
}

// encrypted tells OpenPGP messages, armoured or not (RFC 9580 §4.2: the first
// bit of a packet is set, which no JSON has).
func encrypted(content []byte) bool {
	return len(content) > 0 && content[0] >= 0x80 && content[0] != 0xef ||
		strings.HasPrefix(strings.TrimSpace(string(content)), "-----BEGIN PGP MESSAGE-----")
}

// text is a field as text; empty if there is none.
func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o[name], &s) == nil {
		return strings.TrimSpace(s)
	}
	var n json.Number
	if json.Unmarshal(o[name], &n) == nil {
		return n.String()
	}
	return ""
}

// object is a field as an object; nil if it is none.
func (o object) object(name string) object {
	var inner object
	if json.Unmarshal(o[name], &inner) != nil {
		return nil
	}
	return inner
}

// settle finds the family of a provider by its token endpoint. What is built in
// is newer than what other programs have, so their addresses for Google go; for
// Microsoft they name the tenant.
func (p *Provider) settle() {
	p.Family = familyOf(p.TokenURL)
	if p.Family == "gmail" {
		p.AuthURL, p.TokenURL = "", ""
	}
	if b := oauth.Builtin()[p.Family]; b != nil && p.TokenURL == b.TokenURL {
		p.AuthURL, p.TokenURL, p.DeviceURL = "", "", ""
	}
}
