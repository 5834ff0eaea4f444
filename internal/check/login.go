package check

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/internal/xoauth2"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// loginCheck is one login at a mail server, and a look at the mailbox.
type loginCheck struct {
	grant    *tokens.Grant
	protocol protocol.Protocol
	endpoint oauth.Endpoint
	hostname string // for EHLO
	secrets  secret.Scrubber
	sendTo   string // where SMTP sends a mail; empty: nowhere
}

func newLoginCheck(g *tokens.Grant, proto protocol.Protocol, hostname string, secrets secret.Scrubber) *loginCheck {
	e := g.Provider.Endpoint(proto)
	return &loginCheck{
		grant: g, protocol: proto, endpoint: e, hostname: hostname,
		secrets: secrets.With(g.AccessToken, secret.String(g.Credentials(e).Response())),
	}
}

// run connects and logs in.
func (l *loginCheck) run(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := openMail(ctx, l.grant.Provider, l.protocol, l.endpoint)
	if err != nil {
		return mailTLSFailure(err, l.grant.Provider, l.endpoint)
	}
	defer conn.Close()
	login := map[protocol.Protocol]func(*mailConn) finding{protocol.IMAP: l.imap, protocol.POP3: l.pop3, protocol.SMTP: l.smtp}[l.protocol]
	f := login(conn)
	if f.result == Fail && ctx.Err() != nil {
		return failed("try again later; if it persists, look for a firewall that cuts connections", "%s: no answer within %s", l.endpoint.Host, loginTime)
	}
	return f
}

// connectionLost is a connection that ended before the server responded.
func (l *loginCheck) connectionLost(doing string, err error) finding {
	return failed("try again later; if it persists, look for a firewall or a virus scanner that cuts connections",
		"%s: %s", doing, quoted(l.secrets, err.Error()))
}

// imap logs in and lists the folders. Exchange accepts every login and refuses the first
// command after it if the mailbox has no IMAP.
func (l *loginCheck) imap(conn *mailConn) finding {
	client := imapclient.New(emptyResponses{conn}, nil)
	defer client.Close()
	if err := client.WaitGreeting(); err != nil {
		return l.connectionLost("waiting for the greeting", err)
	}
	login := xoauth2.NewClient(l.grant.Credentials(l.endpoint))
	if err := client.Authenticate(login); err != nil {
		return l.refused(login.Explanation(), err)
	}
	folders, err := client.List("", "*", nil).Collect()
	if err != nil {
		return l.refused("", err)
	}
	if err := client.Logout().Wait(); err != nil {
		return passed("logged in, folders: %d; the server did not end the session properly: %s", len(folders), quoted(l.secrets, err.Error()))
	}
	return passed("logged in, folders: %d", len(folders))
}

// pop3 logs in and sends STAT, whose response is where Gmail says that POP is not
// enabled. AUTH is sent in two lines (RFC 5034 §4): one would be too long with real
// tokens, and Microsoft accepts no other form.
func (l *loginCheck) pop3(conn *mailConn) finding {
	t := textproto.NewConn(conn)
	if line, err := t.ReadLine(); err != nil {
		return l.connectionLost("waiting for the greeting", err)
	} else if !strings.HasPrefix(line, "+OK") {
		return l.refusal(line)
	}
	login := xoauth2.NewClient(l.grant.Credentials(l.endpoint))
	answer, err := authenticate(t, l.grant.Provider.Mechanism, login)
	if err != nil {
		return l.connectionLost("logging in", err)
	}
	if !strings.HasPrefix(answer, "+OK") {
		return l.refusal(explained(answer, login.Explanation()))
	}
	if answer, err = exchange(t, "STAT"); err != nil {
		return l.connectionLost("asking for STAT", err)
	}
	if !strings.HasPrefix(answer, "+OK") {
		return l.refusal(answer)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(answer, "+OK")), " ")
	mails, err := strconv.Atoi(text)
	if err != nil {
		return failed("check whether the address in the configuration is a POP3 server's", "the answer to STAT has no number: %s", quoted(l.secrets, answer))
	}
	if _, err := exchange(t, "QUIT"); err != nil {
		return passed("logged in, mails: %d; the server did not end the session properly: %s", mails, quoted(l.secrets, err.Error()))
	}
	return passed("logged in, mails: %d", mails)
}

// authenticate conducts POP3's AUTH and returns the final response.
func authenticate(t *textproto.Conn, mechanism string, login *xoauth2.Client) (answer string, err error) {
	answer, err = exchange(t, "AUTH "+mechanism)
	for err == nil && strings.HasPrefix(answer, "+") && !strings.HasPrefix(answer, "+OK") {
		var challenge, response []byte
		if challenge, err = base64.StdEncoding.DecodeString(strings.TrimSpace(answer[1:])); err != nil {
			return "", err
		}
		if response, err = login.Next(challenge); err != nil {
			return "", err
		}
		answer, err = exchange(t, base64.StdEncoding.EncodeToString(response))
	}
	return answer, err
}

// smtp logs in, and sends a mail if sendTo is set.
func (l *loginCheck) smtp(conn *mailConn) finding {
	client := smtp.NewClient(conn)
	client.CommandTimeout, client.SubmissionTimeout = loginTime, loginTime
	if err := client.Hello(l.hostname); err != nil {
		return l.refused("", err)
	}
	login := xoauth2.NewSMTPClient(l.grant.Credentials(l.endpoint))
	if err := client.Auth(login); err != nil {
		// go-smtp has sent an extra line, so the connection is out of sync.
		return l.refused(login.Explanation(), err)
	}
	if l.sendTo != "" {
		if f := l.send(client); f.result == Fail {
			return f
		}
	}
	done := "logged in"
	if l.sendTo != "" {
		done = "sent a mail to " + l.sendTo
	}
	if err := client.Quit(); err != nil {
		return passed("%s; the server did not end the session properly: %s", done, quoted(l.secrets, err.Error()))
	}
	return passed("%s", done)
}

// refused distinguishes a server's refusal, which a challenge may have explained, from a
// connection that broke.
func (l *loginCheck) refused(explanation string, err error) finding {
	var no *imap.Error
	var reply *smtp.SMTPError
	switch {
	case errors.As(err, &no):
		text := string(no.Type)
		if no.Code != "" {
			text += " [" + string(no.Code) + "]"
		}
		return l.refusal(explained(text+" "+no.Text, explanation))
	case errors.As(err, &reply):
		e := reply.EnhancedCode
		text := strconv.Itoa(reply.Code)
		if e != smtp.NoEnhancedCode && e != smtp.EnhancedCodeNotSet {
			text += fmt.Sprintf(" %d.%d.%d", e[0], e[1], e[2])
		}
		return l.refusal(explained(text+" "+reply.Message, explanation))
	}
	return l.connectionLost("talking "+l.protocol.Upper(), err)
}

// send sends a small mail.
func (l *loginCheck) send(client *smtp.Client) finding {
	id := rand.Text()
	message := strings.Join([]string{
		"From: <" + l.grant.Mailbox + ">",
		"To: <" + l.sendTo + ">",
		"Subject: authferry check",
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: <" + id + "@check.authferry>",
		"Auto-Submitted: auto-generated", // RFC 3834 §5: suppresses vacation notices
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=us-ascii",
		"",
		fmt.Sprintf("authferry check sent this as %s. No action is needed.", l.grant.Mailbox),
		"",
	}, "\r\n")
	if err := client.SendMail(l.grant.Mailbox, []string{l.sendTo}, strings.NewReader(message)); err != nil {
		f := l.refused("", err)
		f.fix = "check whether " + l.grant.Mailbox + " may send to " + l.sendTo + ": try it in the provider's web mail"
		return f
	}
	return passed("")
}

// refusal is a server's refusal, with what to do about it.
func (l *loginCheck) refusal(text string) finding {
	f := failed("", "%s says %s", l.endpoint.Host, quoted(l.secrets, text))
	f.fix, f.page = refusalAdvice(l.grant, l.protocol, strings.ToLower(text))
	return f
}

// explained adds to a refusal the explanation of the challenge before it.
func explained(text, explanation string) string {
	if explanation == "" {
		return text
	}
	return text + " (challenge: " + explanation + ")"
}

// emptyResponses sends an empty SASL response as an empty line, which XOAUTH2 requires;
// imapclient writes a "=".
type emptyResponses struct{ net.Conn }

func (c emptyResponses) Write(b []byte) (int, error) {
	if string(b) != "=\r\n" {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[1:])
	return n + 1, err
}
