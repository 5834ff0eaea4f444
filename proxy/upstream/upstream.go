// Package upstream logs in to a provider's mail server with an OAuth token, over
// IMAP, POP3 or SMTP, and finds out what a refusal of the provider means.
//
// [Login] connects (dial.go; through a proxy: outbound.go), starts TLS and speaks
// the protocol up to the login (imap.go, pop3.go, smtp.go). answer.go says what the
// provider's answers mean. [TryLogin] tests a grant.
package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/xoauth2"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// DefaultTimeout bounds a login where [Options].Timeout is zero.
const DefaultTimeout = 30 * time.Second

const (
	// maxLine is the longest line accepted from a provider before login; the
	// longest known are capability lists and challenges of about 1 kB.
	maxLine = 16 << 10
	// maxLines is how many lines a provider may send in answer to one command
	// before login.
	maxLines = 100
)

// Options says how to log in. Only Protocol is required.
type Options struct {
	Protocol protocol.Protocol
	Timeout  time.Duration // from dialling to the end of the login; 0: DefaultTimeout
	Hostname string        // the name of this host, for EHLO
	EHLO     string        // the client's argument of EHLO, which ends up in the trace fields of its mails

	// Sent and Received trace the conversation, without the credentials; nil: no trace.
	Sent, Received func(line string)
	// Step, unless nil, is set to the step under way, in words that follow "while".
	Step *string
}

// Session is a connection that is logged in, and what the provider said while it
// accepted the login.
type Session struct {
	Conn         *relay.Conn
	Accepted     string   // the text of the reply that accepted the login; IMAP: with its response code, SMTP: with an enhanced code
	Capabilities string   // IMAP
	Untagged     []string // IMAP: the untagged responses, without CAPABILITY
	Chunking     bool     // SMTP: the server accepts BDAT (RFC 3030)
}

// Login logs in to the provider of a grant, on a new connection. Until the relay
// starts, the connection has a deadline.
func Login(ctx context.Context, g *tokens.Grant, o Options) (Session, error) {
	e := g.Provider.Endpoint(o.Protocol)
	if e.Host == "" {
		return Session{}, &Error{
			Err:   fmt.Errorf("%w: %s has no %s server", ErrProviderRefused, g.Provider.Name, o.Protocol),
			Words: g.Provider.Name + " has no " + o.Protocol.Upper() + " server in the configuration of authferry",
		}
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o.step("connecting to the provider")
	conn, err := dial(ctx, g.Provider, e)
	if err != nil {
		return Session{}, err
	}
	conn.SetTrace(o.Sent, o.Received)
	// Reads and writes do not watch ctx: a deadline in the past ends them. It is
	// set on the wire, since TLS may start on top of it meanwhile.
	stop := context.AfterFunc(ctx, func() { conn.Wire.SetDeadline(time.Unix(1, 0)) })
	o.step("logging in to the provider")
	session, err := logIn(conn, g, e, &o)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return session, nil
	}
	conn.Close()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		err = context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the provider closed the connection: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the provider did not answer in time: %w", err)
	}
	return Session{}, err
}

func (o *Options) step(words string) {
	if o.Step != nil {
		*o.Step = words
	}
}

// logIn logs in on a connection, from the provider's greeting on.
func logIn(conn *relay.Conn, g *tokens.Grant, e oauth.Endpoint, o *Options) (Session, error) {
	a := attempt{conn: conn, grant: g, endpoint: e, session: Session{Conn: conn}}
	switch o.Protocol {
	case protocol.IMAP:
		l := imapLogin{attempt: a}
		err := l.run()
		return l.session, err
	case protocol.POP3:
		l := pop3Login{attempt: a}
		err := l.run()
		return l.session, err
	}
	l := smtpLogin{attempt: a, hostname: o.Hostname, client: o.EHLO}
	err := l.run()
	return l.session, err
}

// attempt is a login under way, as far as the protocols share it.
type attempt struct {
	conn      *relay.Conn
	grant     *tokens.Grant
	endpoint  oauth.Endpoint
	session   Session
	sent      bool   // the provider has the token
	challenge string // what its challenge after the token said
}

// errUnasked: such a server is not the provider, or has another mailbox in mind.
var errUnasked = errors.New("the provider accepted the login before it had seen the token")

// startTLS starts TLS, which the provider has agreed to.
func (a *attempt) startTLS() error {
	if err := a.conn.StartTLSClient(tlsConfig(a.grant.Provider, a.endpoint)); err != nil {
		return tlsError(a.endpoint, err)
	}
	return nil
}

// authenticate logs in with SASL. The response goes out with the command if the
// line has at most limit bytes, CRLF included, otherwise when the provider asks for
// it. read reads the next reply, and more reports that it asks for a response;
// authenticate returns when it does not.
func (a *attempt) authenticate(command string, limit int, read func() (text string, more bool, err error)) error {
	credentials := a.grant.Credentials(a.endpoint)
	response := base64.StdEncoding.EncodeToString(credentials.Response())
	var err error
	if a.sent = len(command)+len(" ")+len(response)+len("\r\n") <= limit; a.sent {
		err = a.conn.SayCredential(command+" ", response)
	} else {
		err = a.conn.Say(command)
	}
	for range maxLines {
		if err != nil {
			return err
		}
		text, more, readErr := read()
		switch {
		case readErr != nil || !more:
			return readErr
		case !a.sent:
			a.sent = true
			err = a.conn.SayCredential("", response)
		default: // a token that is no good: RFC 7628 §3.2.3
			a.challenge = explainChallenge(text)
			err = a.conn.Say(base64.StdEncoding.EncodeToString(credentials.Answer()))
		}
	}
	return errors.New("too many challenges in answer to " + command)
}

// refused adds to a refusal what the challenge before it said.
func (a *attempt) refused(err error) error {
	if a.challenge == "" {
		return err
	}
	return fmt.Errorf("%w (challenge: %q)", err, a.challenge)
}

// explainChallenge returns what a challenge after the token says, for the log.
func explainChallenge(line string) string {
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return Quotable(line)
	}
	return Quotable(xoauth2.Explain(b))
}

// ErrLoginRefused is the error of [TryLogin] if the provider was reached and
// refuses the grant.
var ErrLoginRefused = errors.New("the login is refused")

// TryLogin logs in with a grant over a protocol, as a session would, and hangs up.
// An error that is not [ErrLoginRefused] says nothing about the grant.
func TryLogin(ctx context.Context, g *tokens.Grant, p protocol.Protocol) error {
	var step string
	session, err := Login(ctx, g, Options{Protocol: p, Hostname: "localhost", Step: &step})
	switch {
	case errors.Is(err, ErrTokenRefused), errors.Is(err, ErrProviderRefused):
		return fmt.Errorf("%w: %w", ErrLoginRefused, err)
	case err != nil:
		return fmt.Errorf("%s: %w", step, err)
	}
	return session.Conn.Close()
}
