package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/secret"
	"authferry/internal/xoauth2"
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
// the password in the clear on the server, and mail programs choose them first
// if they see them.
const notOffered = "only PLAIN and LOGIN are offered: choose normal password as the authentication method " +
	"(no SPA, NTLM, CRAM-MD5 or encrypted password)"

// hearSASL is the server's side of PLAIN (RFC 4616) and LOGIN. initial is what
// came on the command line: nil if nothing did, "=" if it was empty. ask sends
// a challenge in base64 and returns the line that answers it.
//
// A PLAIN that asks to act for somebody else is tokens.ErrBadLogin: nobody here
// may. Errors of ask are returned as they are.
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
			initial = nil // nothing yet, rather than nobody
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
		err = fmt.Errorf("%w: PLAIN asks to act for somebody else than the user it names", tokens.ErrBadLogin)
	}
	return parts[1], secret.String(parts[2]), err
}

// decodeSASL decodes one line of a client. Padding may be missing, as devices
// leave it out; a lone "=" is an empty response, a lone "*" the end of it.
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

// encodeSASL is how a response goes over the wire.
func encodeSASL(response []byte) string { return base64.StdEncoding.EncodeToString(response) }

// oauthChallenge reads what a failure challenge says, for the log.
func oauthChallenge(line string) string {
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return quotable(line)
	}
	return quotable(xoauth2.Explain(b))
}

// challenged adds to a refusal what the challenge before it said.
func challenged(err error, challenge string) error {
	if challenge == "" {
		return err
	}
	return fmt.Errorf("%w (challenge: %q)", err, challenge)
}

// errUnasked: whoever lets everybody in is not the provider, or has another
// mailbox in mind.
var errUnasked = errors.New("the provider let us in before it had seen the token")
