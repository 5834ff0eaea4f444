package check

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"authferry/internal/secret"
	"authferry/internal/xoauth2"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// visit is one login at a mail server, and a look around.
type visit struct {
	grant    *tokens.Grant
	protocol string
	endpoint oauth.Endpoint
	hostname string
	secrets  secrets
	sendTo   string
}

func newVisit(g *tokens.Grant, protocol, hostname string, known secrets) *visit {
	e := endpointOf(g.Provider, protocol)
	return &visit{
		grant: g, protocol: protocol, endpoint: e, hostname: hostname,
		secrets: known.with(g.AccessToken, secret.String(g.Credentials(e).Response())),
	}
}

// make connects and does the visit of the protocol.
func (v *visit) make(ctx context.Context, do func(*greeted) finding) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := open(ctx, v.grant.Provider, v.protocol, v.endpoint)
	if err != nil {
		return tlsFailure(err, v.grant.Provider.Name, v.endpoint.Host, fmt.Sprintf("%s port %d", v.endpoint.Host, v.endpoint.Port))
	}
	defer conn.Close()
	f := do(conn)
	if f.result == Fail && ctx.Err() != nil {
		return failed("try again later; if it stays, look for a firewall that cuts connections", "%s: no answer within %s", v.endpoint.Host, loginTime)
	}
	return f
}

// broke is a conversation that ended before the server had given its verdict.
func (v *visit) broke(doing string, err error) finding {
	return failed("try again later; if it stays, look for a firewall or a virus scanner that cuts connections",
		"%s: %s", doing, v.secrets.said(err.Error()))
}

// imap logs in and lists the folders. Exchange lets everybody in and says only
// to the first command after it that the mailbox is not served.
func (v *visit) imap(conn *greeted) finding {
	client := imapclient.New(emptyAnswers{conn}, nil)
	defer client.Close()
	if err := client.WaitGreeting(); err != nil {
		return v.broke("waiting for the greeting", err)
	}
	login := xoauth2.NewClient(v.grant.Credentials(v.endpoint))
	if err := client.Authenticate(login); err != nil {
		return v.refused(login.Explanation(), err)
	}
	folders, err := client.List("", "*", nil).Collect()
	if err != nil {
		return v.refused("", err)
	}
	if err := client.Logout().Wait(); err != nil {
		return fine("logged in, folders: %d; the server did not say goodbye: %s", len(folders), v.secrets.said(err.Error()))
	}
	return fine("logged in, folders: %d", len(folders))
}

// pop3 logs in and asks for the state of the maildrop: that POP is not enabled
// Gmail says only there. AUTH takes two lines (RFC 5034 §4): one would be too
// long with real tokens, and Microsoft takes no other way.
func (v *visit) pop3(conn *greeted) finding {
	t := textproto.NewConn(conn)
	if line, err := t.ReadLine(); err != nil {
		return v.broke("waiting for the greeting", err)
	} else if !strings.HasPrefix(line, "+OK") {
		return v.refusal(line)
	}
	login := xoauth2.NewClient(v.grant.Credentials(v.endpoint))
	answer, err := authenticate(t, v.grant.Provider.Mechanism, login)
	if err != nil {
		return v.broke("logging in", err)
	}
	if !strings.HasPrefix(answer, "+OK") {
		return v.refusal(explained(answer, login.Explanation()))
	}
	if answer, err = ask(t, "STAT"); err != nil {
		return v.broke("asking for STAT", err)
	}
	if !strings.HasPrefix(answer, "+OK") {
		return v.refusal(answer)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(answer, "+OK")), " ")
	mails, err := strconv.Atoi(text)
	if err != nil {
		return failed("see whether the address in the configuration is a POP3 server's", "the answer to STAT has no number: %s", v.secrets.said(answer))
	}
	if _, err := ask(t, "QUIT"); err != nil {
		return fine("logged in, mails: %d; the server did not say goodbye: %s", mails, v.secrets.said(err.Error()))
	}
	return fine("logged in, mails: %d", mails)
}

// authenticate has the dialogue of POP3's AUTH and returns the verdict.
func authenticate(t *textproto.Conn, mechanism string, login *xoauth2.Client) (answer string, err error) {
	answer, err = ask(t, "AUTH "+mechanism)
	for err == nil && strings.HasPrefix(answer, "+") && !strings.HasPrefix(answer, "+OK") {
		var challenge, response []byte
		if challenge, err = base64.StdEncoding.DecodeString(strings.TrimSpace(answer[1:])); err != nil {
			return "", err
		}
		if response, err = login.Next(challenge); err != nil {
			return "", err
		}
		answer, err = ask(t, base64.StdEncoding.EncodeToString(response))
	}
	return answer, err
}

// ask sends a line and returns the one that answers it.
func ask(t *textproto.Conn, line string) (string, error) {
	if err := t.PrintfLine("%s", line); err != nil {
		return "", err
	}
	return t.ReadLine()
}

// smtp logs in, and sends a mail if there is somebody to send it to.
func (v *visit) smtp(conn *greeted) finding {
	client := smtp.NewClient(conn)
	client.CommandTimeout, client.SubmissionTimeout = loginTime, loginTime
	if err := client.Hello(v.hostname); err != nil {
		return v.refused("", err)
	}
	login := xoauth2.NewSMTPClient(v.grant.Credentials(v.endpoint))
	if err := client.Auth(login); err != nil {
		// go-smtp has sent a stray line, so nothing more can be said here.
		return v.refused(login.Explanation(), err)
	}
	if v.sendTo != "" {
		if f := v.send(client); f.result == Fail {
			return f
		}
	}
	done := "logged in"
	if v.sendTo != "" {
		done = "sent a mail to " + v.sendTo
	}
	if err := client.Quit(); err != nil {
		return fine("%s; the server did not say goodbye: %s", done, v.secrets.said(err.Error()))
	}
	return fine("%s", done)
}

// refused tells a server's verdict, which a challenge may have explained, from a
// connection that broke.
func (v *visit) refused(explanation string, err error) finding {
	var no *imap.Error
	var reply *smtp.SMTPError
	switch {
	case errors.As(err, &no):
		text := string(no.Type)
		if no.Code != "" {
			text += " [" + string(no.Code) + "]"
		}
		return v.refusal(explained(text+" "+no.Text, explanation))
	case errors.As(err, &reply):
		e := reply.EnhancedCode
		text := strconv.Itoa(reply.Code)
		if e != smtp.NoEnhancedCode && e != smtp.EnhancedCodeNotSet {
			text += fmt.Sprintf(" %d.%d.%d", e[0], e[1], e[2])
		}
		return v.refusal(explained(text+" "+reply.Message, explanation))
	}
	return v.broke("talking "+strings.ToUpper(v.protocol), err)
}

// explained adds to a refusal what the challenge before it said.
func explained(text, explanation string) string {
	if explanation == "" {
		return text
	}
	return text + " (challenge: " + explanation + ")"
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
