package check

import (
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"

	"authferry/tokens"
)

// bearer is XOAUTH2 or OAUTHBEARER for imapclient and go-smtp. go-sasl's own
// OAUTHBEARER leaves the challenge that explains a refusal without an answer,
// and it has no XOAUTH2.
type bearer struct {
	mechanism string
	response  string
	// late sends the response when it is asked for instead of with the command,
	// whose line would be too long (RFC 4954 §4).
	late      bool
	said      bool
	challenge string // in which the provider explains why it is about to refuse
}

// maxCommand is the longest SMTP command line (RFC 5321 §4.5.3.1.4).
const maxCommand = 512

func newBearer(g *tokens.Grant, e tokens.Endpoint) *bearer {
	b := &bearer{mechanism: g.Provider.Mechanism}
	auth := "\x01auth=Bearer " + g.AccessToken.Reveal() + "\x01\x01"
	// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
	b.response = "user=" + g.User + auth
	if b.mechanism == "OAUTHBEARER" { // RFC 7628 §3.1
		name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(g.User)
		b.response = "n,a=" + name + ",\x01host=" + e.Host + "\x01port=" + strconv.Itoa(e.Port) + auth
	}
	return b
}

// Start is for [sasl.Client].
func (b *bearer) Start() (mechanism string, initial []byte, err error) {
	if b.late {
		return b.mechanism, nil, nil
	}
	b.said = true
	return b.mechanism, []byte(b.response), nil
}

// Next answers a challenge.
func (b *bearer) Next(challenge []byte) ([]byte, error) {
	if !b.said {
		b.said = true
		return []byte(b.response), nil
	}
	if b.challenge != "" {
		return nil, errors.New("the provider challenges without end")
	}
	b.challenge = string(challenge)
	return b.giveUp(), nil
}

// giveUp answers the challenge: the refusal waits for it. One ^A by RFC 7628
// §3.2.3, nothing by Google's XOAUTH2.
func (b *bearer) giveUp() []byte {
	if b.mechanism == "OAUTHBEARER" {
		return []byte{1}
	}
	return []byte{}
}

// explained adds to a refusal what the challenge before it said.
func (b *bearer) explained(text string) string {
	var c struct{ Status, Scope string }
	switch {
	case b.challenge == "":
		return text
	case json.Unmarshal([]byte(b.challenge), &c) == nil && c.Status != "":
		return text + " (challenge: status " + c.Status + ", scope " + c.Scope + ")"
	}
	return text + " (challenge: " + b.challenge + ")"
}

// emptyAnswers sends an empty SASL answer as an empty line, which XOAUTH2
// wants; imapclient writes a "=".
type emptyAnswers struct{ net.Conn }

func (c emptyAnswers) Write(b []byte) (int, error) {
	if string(b) != "=\r\n" {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[1:])
	return n + 1, err
}
