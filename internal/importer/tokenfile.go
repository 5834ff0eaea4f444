package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// object is a JSON object of another program. A field that should be text may be a
// number there.
type object map[string]json.RawMessage

// readObject reads a file that should hold one JSON object. decrypt says how to
// decrypt a file that is encrypted.
func readObject(content []byte, decrypt string) (object, error) {
	if encrypted(content) {
		return nil, fmt.Errorf("the file is encrypted: decrypt it first, %s", decrypt)
	}
	var o object
	content = []byte(strings.TrimPrefix(string(content), "\ufeff"))
	// The decoder's errors may quote the file, which holds secrets.
	if err := json.Unmarshal(content, &o); err != nil || o == nil {
		if len(strings.TrimSpace(string(content))) == 0 {
			return nil, errors.New("the file is empty: if gpg wrote it, check the messages of gpg")
		}
		return nil, errors.New("the file is not a JSON object: it is damaged, or not a file of that program")
	}
	return o, nil
}

// encrypted reports whether content is an OpenPGP message, armoured or not (RFC 9580
// §4.2: the first bit of a packet is set, which it never is in JSON).
func encrypted(content []byte) bool {
	return len(content) > 0 && content[0] >= 0x80 && content[0] != 0xef ||
		strings.HasPrefix(strings.TrimSpace(string(content)), "-----BEGIN PGP MESSAGE-----")
}

// text returns a field as text; empty if there is none.
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

// object returns a field as an object; nil if it is not one.
func (o object) object(name string) object {
	var inner object
	if json.Unmarshal(o[name], &inner) != nil {
		return nil
	}
	return inner
}

// registrations maps the names that mutt_oauth2.py and oama give to the providers
// that both know.
var registrations = map[string]string{"google": "gmail", "microsoft": "microsoft"}

// parseMutt reads a token file of mutt_oauth2.py, the script that comes with mutt
// and neomutt: a JSON object, which the script pipes through gpg. Files
// older than August 2020 do not name the client, which was in the script.
func parseMutt(content []byte) (*Account, error) {
	o, err := readObject(content, "gpg --decrypt FILE | authferry import mutt_oauth2")
	if err != nil {
		return nil, err
	}
	a := &Account{
		Mailbox: o.text("email"),
		Provider: Provider{
			Family:   registrations[o.text("registration")],
			ClientID: o.text("client_id"), ClientSecret: secret.String(o.text("client_secret")),
		},
		Refresh: secret.String(o.text("refresh_token")),
	}
	if o.text("authflow") == "devicecode" {
		a.Provider.Flow = oauth.FlowDeviceCode
	}
	return a, checkToken(a.Refresh)
}

// parseOama reads a record of oama: JSON, from its keyring or its gpg file. The client
// is in oama's configuration instead.
func parseOama(content []byte) (*Account, error) {
	o, err := readObject(content, "gpg --decrypt FILE | authferry import oama (records in a keyring: secret-tool lookup oama MAILBOX | authferry import oama)")
	if err != nil {
		return nil, err
	}
	a := &Account{
		Mailbox:  o.text("email"),
		Provider: Provider{Family: registrations[o.text("service")]},
		Refresh:  secret.String(o.text("refresh_token")),
	}
	if a.Mailbox == "" {
		a.Mailbox = o.object("email").text("unEmailAddress") // since version 0.20
	}
	return a, checkToken(a.Refresh)
}

// parseSASLXOAUTH2 reads a token file of sasl-xoauth2, the plug-in for Postfix, and
// its configuration (/etc/sasl-xoauth2.conf; nil: there is none). The token file
// takes precedence. Both are JSON.
func parseSASLXOAUTH2(content, configuration []byte) (*Account, error) {
	const google = "https://accounts.google.com/o/oauth2/token" // the default
	o, err := readObject(content, "and pass it to authferry import sasl-xoauth2")
	if err != nil {
		return nil, err
	}
	base := object{}
	if configuration != nil {
		if base, err = readObject(configuration, "and name it with --client-config"); err != nil {
			return nil, configurationError{err}
		}
	}
	either := func(name, otherwise string) string {
		for _, from := range []object{o, base} {
			if s := from.text(name); s != "" {
				return s
			}
		}
		return otherwise
	}
	a := &Account{
		Mailbox: o.text("user"),
		Provider: Provider{
			TokenURL: either("token_endpoint", google),
			ClientID: either("client_id", ""), ClientSecret: secret.String(either("client_secret", "")),
		},
		Refresh: secret.String(o.text("refresh_token")),
	}
	a.Provider.settle()
	return a, checkToken(a.Refresh)
}

// configurationError is an error in the configuration beside a token file.
type configurationError struct{ error }

func (e configurationError) Error() string {
	return "the configuration of sasl-xoauth2: " + e.error.Error()
}
func (e configurationError) Unwrap() error { return e.error }
