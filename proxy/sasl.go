package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/secret"
	"authferry/tokens"
)

// maxSASLLine is the longest line of a SASL exchange: RFC 4954 §4 asks servers
// to take 12288 octets, other protocols name no number.
const maxSASLLine = 12288

// The challenges of LOGIN are compared byte by byte by Thunderbird, Xerox
// printers and others: draft-murchison-sasl-login-00 §2.
const (
	loginUserName = "VXNlcm5hbWU6" // Username:
	loginPassword = "UGFzc3dvcmQ6" // Password:
)

var (
	errSASLMechanism = errors.New("no such mechanism")
	errSASLCancelled = errors.New("authentication cancelled")
	errSASLEncoding  = errors.New("not valid base64, or not a response of this mechanism")
)

// notOffered says what to do about mechanisms that are never offered: they need
// the password in plain text on the server, and mail programs prefer them.
const notOffered = "only PLAIN and LOGIN are offered: choose normal password as the authentication method " +
	"(no SPA, NTLM, CRAM-MD5 or encrypted password)"

// hearSASL is the server's side of PLAIN (RFC 4616) and LOGIN. initial is the
// initial response on the command line: nil if there was none, "=" if it was
// empty. ask sends a challenge in base64 and returns the line that answers it.
//
// A PLAIN with the authorization identity of another user is
// [tokens.ErrBadLogin]. Errors of ask are returned as they are.
func hearSASL(mechanism string, initial *string, ask func(challenge string) (string, error)) (user string, password secret.String, err error) {
	next := func(challenge string) (string, error) {
		var line string
		if initial != nil {
			line, initial = *initial, nil
		} else if line, err = ask(challenge); err != nil {
			return "", err
		}
		return decodeSASL(line)
	}
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		response, err := next("")
		if err != nil {
			return "", "", err
		}
		return splitPlain(response)
	case "LOGIN":
		if initial != nil && *initial == "=" {
			initial = nil // no user name yet, not an empty one
		}
		user, err := next(loginUserName)
		if err != nil {
			return "", "", err
		}
		p, err := next(loginPassword)
		return user, secret.String(p), err
	}
	return "", "", errSASLMechanism
}

func splitPlain(response string) (user string, password secret.String, err error) {
	parts := strings.Split(response, "\x00")
	if len(parts) != 3 {
		return "", "", errSASLEncoding
	}
	if authzid := parts[0]; authzid != "" && !strings.EqualFold(authzid, parts[1]) {
		err = fmt.Errorf("%w: PLAIN asks to act for another user than the one it names", tokens.ErrBadLogin)
	}
	return parts[1], secret.String(parts[2]), err
}

// decodeSASL decodes one line of a client. Some devices omit the padding. A lone
// "=" is an empty response, a lone "*" cancels the exchange.
func decodeSASL(line string) (string, error) {
	line = strings.TrimRight(line, " \t")
	if line == "*" {
		return "", errSASLCancelled
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(line, "="))
	if err != nil {
		return "", errSASLEncoding // err itself would quote a piece of the password
	}
	return string(b), nil
}
