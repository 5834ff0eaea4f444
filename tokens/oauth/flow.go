package oauth

import (
	"crypto"
	"fmt"
	"strings"
	"time"

	"authferry/internal/secret"
)

// Flow is how a provider gives tokens for a mailbox.
type Flow string

const (
	// FlowConsent: the owner signs in once on the consent page (RFC 6749 §4.1);
	// a refresh token follows. The zero value of Flow means it too.
	FlowConsent Flow = "consent"
	// FlowDeviceCode: the same, but the owner types a code on any device (RFC 8628).
	FlowDeviceCode Flow = "device_code"
	// FlowServiceAccount: a Google service account with domain-wide delegation
	// signs an assertion with the mailbox as its subject (RFC 7523).
	FlowServiceAccount Flow = "service_account"
	// FlowClientCredentials: the OAuth client itself may open the mailbox
	// (RFC 6749 §4.4), proved by its secret or by a certificate (RFC 7523 §2.2).
	FlowClientCredentials Flow = "client_credentials"
	// FlowTokenCommand: a program of the administrator's prints a token.
	FlowTokenCommand Flow = "token_command"
)

// Flows lists them all.
var Flows = []Flow{FlowConsent, FlowDeviceCode, FlowServiceAccount, FlowClientCredentials, FlowTokenCommand}

// NeedsPerson tells whether the mailbox's owner has to sign in. Where nobody
// does, whoever may ask for tokens opens every mailbox in reach: such mailboxes
// are enrolled by an administrator, never by a login.
func (f Flow) NeedsPerson() bool {
	return f == "" || f == FlowConsent || f == FlowDeviceCode
}

// ServiceAccount is a Google service account's key, as its console offers it
// for download.
type ServiceAccount struct {
	Email  string        // of the account itself: the issuer of its assertions
	KeyID  string        // names the key to the provider
	Client string        // the numeric client id that an administrator delegates to
	Key    crypto.Signer // RSA
}

// ClientCertificate proves a client in place of a secret.
type ClientCertificate struct {
	Thumbprint [32]byte  // SHA-256 of the certificate: x5t#S256 (RFC 7515 §4.1.8)
	SHA1       [20]byte  // of the same: x5t, which Microsoft asks for
	Expires    time.Time // of the certificate; zero: not known
	Key        crypto.Signer
}

// What holds a key prints as its name, and tells encoders (JSON, XML, TOML) no
// more: they would write out an RSA key field by field.

func (s ServiceAccount) Format(f fmt.State, _ rune) {
	fmt.Fprint(f, "service account "+strings.TrimSpace(s.Email))
}
func (s ServiceAccount) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(s)), nil }
func (c ClientCertificate) Format(f fmt.State, _ rune) {
	fmt.Fprint(f, "client certificate "+secret.Redacted)
}
func (c ClientCertificate) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }
