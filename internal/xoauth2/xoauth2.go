// Package xoauth2 logs in to mail servers with an OAuth access token, by the
// SASL mechanism XOAUTH2
// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol) or
// OAUTHBEARER (RFC 7628).
//
// [Credentials] makes the two messages of a client. [Client] is the exchange for
// the mail clients of go-imap and go-smtp: go-sasl has no XOAUTH2, and its
// OAUTHBEARER does not answer the challenge that explains a refusal, so that the
// refusal never comes.
package xoauth2

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// OAUTHBEARER is the mechanism of RFC 7628. Any other name is XOAUTH2's.
const OAUTHBEARER = sasl.OAuthBearer

// maxSMTPCommand is the longest SMTP command line with its CRLF (RFC 5321
// §4.5.3.1.4). Microsoft's tokens alone are longer.
const maxSMTPCommand = 512

// Credentials are what a client sends to log in. They print as the user's name.
type Credentials struct {
	Mechanism string // as in the provider's configuration: XOAUTH2 or OAUTHBEARER
	User      string
	Token     interface{ Reveal() string }
	Host      string // of the mail server; only OAUTHBEARER sends it and the port
	Port      int
}

// Format and MarshalText keep every verb and encoder from writing the token.
func (c Credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, "credentials of "+strconv.Quote(c.User))
}

// MarshalText keeps encoders (JSON, TOML, XML) from writing the token.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

// Response returns the initial response.
func (c Credentials) Response() []byte {
	auth := "\x01auth=Bearer " + c.Token.Reveal() + "\x01\x01"
	if c.Mechanism != OAUTHBEARER {
		return []byte("user=" + c.User + auth)
	}
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.User) // saslname, RFC 5801 §4
	return []byte("n,a=" + name + ",\x01host=" + c.Host + "\x01port=" + strconv.Itoa(c.Port) + auth)
}

// Answer returns the response to the challenge in which a server explains why it is
// about to refuse: one ^A for OAUTHBEARER (RFC 7628 §3.2.3), nothing for XOAUTH2.
// The refusal comes only after it. It is never nil, which ends an exchange of
// go-smtp.
func (c Credentials) Answer() []byte {
	if c.Mechanism == OAUTHBEARER {
		return []byte{1}
	}
	return []byte{}
}

// Explain returns what the challenge before a refusal says, for people. The
// status differs between providers for the same cause (400 at Gmail, 401 at
// Dovecot, "invalid_request" at Gmail for OAUTHBEARER), so no decision may depend on it.
// The text is the server's: see package printable.
func Explain(challenge []byte) string {
	var c struct{ Status, Scope string }
	if json.Unmarshal(challenge, &c) != nil || c.Status == "" {
		return string(challenge)
	}
	return "status " + c.Status + ", scope " + c.Scope
}

// Client is one login. It is a [sasl.Client].
type Client struct {
	credentials Credentials
	deferred    bool // the response waits for the server to ask for it
	sent        bool
	challenged  bool
	explanation string
}

var _ sasl.Client = (*Client)(nil)

// NewClient returns a client for one login over IMAP or POP3.
func NewClient(c Credentials) *Client { return &Client{credentials: c} }

// NewSMTPClient returns a client for one login over SMTP. A response too long
// for the AUTH command's line is sent when the server asks for it (RFC 4954 §4).
func NewSMTPClient(c Credentials) *Client {
	length := len("AUTH "+c.Mechanism+" \r\n") + base64.StdEncoding.EncodedLen(len(c.Response()))
	return &Client{credentials: c, deferred: length > maxSMTPCommand}
}

// Format keeps every verb from printing the token.
func (c Client) Format(f fmt.State, verb rune) { c.credentials.Format(f, verb) }

// Start is for [sasl.Client].
func (c *Client) Start() (mechanism string, initial []byte, err error) {
	if c.deferred {
		return c.credentials.Mechanism, nil, nil
	}
	c.sent = true
	return c.credentials.Mechanism, c.credentials.Response(), nil
}

// Next answers a challenge: the first with the response, unless Start returned
// it, the next with [Credentials.Answer]. It sends the token once.
func (c *Client) Next(challenge []byte) ([]byte, error) {
	switch {
	case !c.sent:
		c.sent = true
		return c.credentials.Response(), nil
	case c.challenged:
		return nil, errors.New("the server challenges a second time")
	}
	c.challenged = true
	c.explanation = Explain(challenge)
	return c.credentials.Answer(), nil
}

// Explanation returns the text of the server's challenge, or "" without one.
func (c *Client) Explanation() string { return c.explanation }
