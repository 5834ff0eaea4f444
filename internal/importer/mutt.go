package importer

import (
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// registrations are what mutt_oauth2.py and oama call the providers that both
// know without being told.
var registrations = map[string]string{"google": "gmail", "microsoft": "microsoft"}

// Mutt reads a token file of mutt_oauth2.py, the script that comes with mutt
// and neomutt: a JSON object, which the script pipes through gpg. Files of
// before August 2020 do not name the client, which was in the script itself.
func Mutt(content []byte) (*Account, error) {
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

// Oama reads a record of oama: JSON, from its keyring or its gpg file. The
// client is not in it but in oama's configuration.
func Oama(content []byte) (*Account, error) {
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

// SASLXOAUTH2 reads a token file of sasl-xoauth2, the plug-in for Postfix, and
// its configuration (/etc/sasl-xoauth2.conf; nil: there is none), over which
// the token file goes. Both are JSON.
func SASLXOAUTH2(content, configuration []byte) (*Account, error) {
	const google = "https://accounts.google.com/o/oauth2/token" // where none is named
	o, err := readObject(content, "and give it to authferry import sasl-xoauth2")
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

// configurationError is what is wrong with the configuration beside a token file.
type configurationError struct{ error }

func (e configurationError) Error() string {
	return "the configuration of sasl-xoauth2: " + e.error.Error()
}
func (e configurationError) Unwrap() error { return e.error }
