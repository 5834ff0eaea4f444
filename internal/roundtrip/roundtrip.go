// Package roundtrip sends and reads mail through authferry over IMAP, POP3 and SMTP,
// with independent clients, and checks that every byte arrives. It is what
// `authferry demo --check` runs.
package roundtrip

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"authferry/internal/protocol"
	"authferry/internal/secret"
)

// Options name a running authferry and a mailbox of it.
type Options struct {
	IMAP, POP3, SMTP string // addresses of the listeners, without TLS
	Mailbox          string
	Password         secret.String
	// ExpireTokens ends every access token, and Refreshes counts the refreshes
	// so far, as the provider sees them.
	ExpireTokens func()
	Refreshes    func() int
}

// limit bounds a whole round trip, which takes a second or two.
const limit = 30 * time.Second

// Run does a round trip and prints a line for each step. It stops at the first
// step that fails.
func Run(ctx context.Context, w io.Writer, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := &roundTrip{Options: o, mail: awkwardMail(o.Mailbox, "by SMTP"), appended: awkwardMail(o.Mailbox, "by APPEND")}
	defer t.closers.close()
	stop := context.AfterFunc(ctx, t.closers.close) // a read that waits for an answer fails then
	defer stop()
	for _, step := range []struct {
		protocol protocol.Protocol
		do       func() (string, error)
	}{
		{protocol.IMAP, t.logIn},
		{protocol.IMAP, t.idle},
		{protocol.SMTP, t.send},
		{protocol.IMAP, t.awaitIdle},
		{protocol.IMAP, t.fetch},
		{protocol.IMAP, t.append},
		{protocol.POP3, t.retrieve},
		{protocol.IMAP, t.tryWrongPassword},
		{protocol.IMAP, t.refresh},
	} {
		done, err := step.do()
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		if err != nil {
			fmt.Fprintf(w, "failed  %s\n", step.protocol)
			return fmt.Errorf("%s: %w", step.protocol, err)
		}
		fmt.Fprintf(w, "ok  %s  %s\n", step.protocol, done)
	}
	fmt.Fprintln(w, "ok  everything")
	return nil
}

// awkwardMail returns a mail with content that proxies are known to damage: dots at
// the beginning of lines, lines that look like protocol, 8-bit text, lines of
// nearly 1000 octets.
func awkwardMail(mailbox, how string) []byte {
	random := make([]byte, 6000)
	rand.Read(random)
	id := fmt.Sprintf("%x", random[:8])
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: round trip %s %s\r\nMessage-ID: <%s@check.authferry>\r\n", mailbox, mailbox, how, id, id)
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	fmt.Fprintf(&b, ".\r\n..\r\n.leading dot\r\nQUIT\r\na1 LOGOUT\r\n* BYE {3}\r\n+OK\r\n\r\ngrüße, 挨拶 \xff\xfe\r\n")
	b.WriteString(strings.Repeat("x", 990) + "\r\n")
	text := base64.StdEncoding.EncodeToString(random)
	for ; len(text) > 72; text = text[72:] {
		b.WriteString("." + text[:72] + "\r\n")
	}
	fmt.Fprintf(&b, "%s\r\n", text)
	return b.Bytes()
}

// roundTrip is the state of a round trip.
type roundTrip struct {
	Options
	mail     []byte // sent by SMTP
	appended []byte

	client  *imapclient.Client
	idling  *imapclient.IdleCommand
	exists  chan uint32
	closers closers
}

// dialIMAP connects an IMAP client to authferry.
func (t *roundTrip) dialIMAP() (*imapclient.Client, error) {
	client, err := imapclient.DialInsecure(t.IMAP, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(m *imapclient.UnilateralDataMailbox) {
				if m.NumMessages == nil {
					return
				}
				select {
				case t.exists <- *m.NumMessages:
				default: // one is enough
				}
			},
		},
	})
	if err != nil {
		return nil, err
	}
	t.closers.add(client)
	return client, nil
}

func (t *roundTrip) logIn() (string, error) {
	t.exists = make(chan uint32, 1)
	var err error
	if t.client, err = t.dialIMAP(); err != nil {
		return "", err
	}
	if err := t.client.Login(t.Mailbox, t.Password.Reveal()).Wait(); err != nil {
		return "", err
	}
	if !t.client.Caps().Has(imap.CapIdle) {
		return "", errors.New("the provider's capabilities did not arrive")
	}
	selected, err := t.client.Select("INBOX", nil).Wait()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("logged in as %s, %d mails in INBOX", t.Mailbox, selected.NumMessages), nil
}

func (t *roundTrip) idle() (_ string, err error) {
	t.idling, err = t.client.Idle()
	return "IDLE waits for a new mail", err
}

// awaitIdle waits until IDLE reports the mail that was sent.
func (t *roundTrip) awaitIdle() (string, error) {
	select {
	case n := <-t.exists:
		if err := errors.Join(t.idling.Close(), t.idling.Wait()); err != nil {
			return "", err
		}
		return fmt.Sprintf("IDLE saw it arrive as number %d", n), nil
	case <-t.client.Closed():
		return "", errors.New("the connection ended before IDLE saw the new mail")
	}
}

func (t *roundTrip) fetch() (string, error) {
	got, err := t.fetchCopy(t.mail)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("fetched it, %s", digest(got)), nil
}

// fetchCopy fetches the mail with the Message-ID of a mail.
func (t *roundTrip) fetchCopy(mail []byte) ([]byte, error) {
	found, err := t.client.Search(&imap.SearchCriteria{
		Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: headerOf(mail, "Message-ID")}},
	}, nil).Wait()
	if err != nil {
		return nil, err
	}
	if n := len(found.AllSeqNums()); n != 1 {
		return nil, fmt.Errorf("%d mails found instead of the one sent", n)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	fetched, err := t.client.Fetch(found.All, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return nil, err
	}
	if len(fetched) != 1 {
		return nil, fmt.Errorf("%d mails fetched instead of one", len(fetched))
	}
	return expect(fetched[0].FindBodySection(section), mail)
}

func (t *roundTrip) append() (string, error) {
	command := t.client.Append("INBOX", int64(len(t.appended)), nil)
	if _, err := command.Write(t.appended); err != nil {
		return "", err
	}
	if err := command.Close(); err != nil {
		return "", err
	}
	if _, err := command.Wait(); err != nil {
		return "", err
	}
	got, err := t.fetchCopy(t.appended)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("appended another and fetched it, %s", digest(got)), nil
}

func (t *roundTrip) tryWrongPassword() (string, error) {
	client, err := t.dialIMAP()
	if err != nil {
		return "", err
	}
	err = client.Login(t.Mailbox, "not the password").Wait()
	no, _ := errors.AsType[*imap.Error](err)
	if no == nil || no.Code != imap.ResponseCodeAuthenticationFailed {
		return "", fmt.Errorf("a wrong password is answered %v", err)
	}
	return fmt.Sprintf("a wrong password is refused: [%s] %s", no.Code, no.Text), nil
}

// refresh expires every access token and logs in again.
func (t *roundTrip) refresh() (string, error) {
	before := t.Refreshes()
	t.ExpireTokens()
	client, err := t.dialIMAP()
	if err != nil {
		return "", err
	}
	if err := client.Login(t.Mailbox, t.Password.Reveal()).Wait(); err != nil {
		return "", err
	}
	if n := t.Refreshes() - before; n != 1 {
		return "", fmt.Errorf("%d refreshes instead of one after all access tokens ended", n)
	}
	return "access tokens ended, one refresh, logged in again", nil
}

// send sends the mail by SMTP.
func (t *roundTrip) send() (string, error) {
	client, err := smtp.Dial(t.SMTP)
	if err != nil {
		return "", err
	}
	t.closers.add(client)
	if err := client.Auth(sasl.NewPlainClient("", t.Mailbox, t.Password.Reveal())); err != nil {
		return "", err
	}
	if err := client.SendMail(t.Mailbox, []string{t.Mailbox}, bytes.NewReader(t.mail)); err != nil {
		return "", err
	}
	return fmt.Sprintf("sent as %s, %s", t.Mailbox, digest(t.mail)), client.Quit()
}

// retrieve reads the mail by POP3 (RFC 1939). No client library is used for it.
func (t *roundTrip) retrieve() (string, error) {
	conn, err := net.Dial("tcp", t.POP3)
	if err != nil {
		return "", err
	}
	t.closers.add(conn)
	p := NewPOP3(conn)
	p.Ask("USER %s", t.Mailbox)
	p.Ask("PASS %s", t.Password.Reveal())
	var mails, size int
	fmt.Sscanf(p.Ask("STAT"), "%d %d", &mails, &size)
	for n := mails; n > 0 && p.Err == nil; n-- {
		p.Ask("RETR %d", n)
		mail := p.Body()
		if headerOf(mail, "Message-ID") != headerOf(t.mail, "Message-ID") {
			continue
		}
		got, err := expect(mail, t.mail)
		if err != nil {
			return "", err
		}
		p.Ask("QUIT")
		return fmt.Sprintf("retrieved it as number %d of %d, %s", n, mails, digest(got)), p.Err
	}
	return "", errors.Join(p.Err, errors.New("the mail sent is not among those of POP3"))
}

// headerOf returns the value of a header field.
func headerOf(mail []byte, field string) string {
	_, after, _ := bytes.Cut(mail, []byte(field+": "))
	value, _, _ := bytes.Cut(after, []byte("\r\n"))
	return string(value)
}

// expect returns the mail that arrived without the header fields that were added on
// the way (RFC 5321 §4.4), or an error if it is not the mail that was sent.
func expect(got, sent []byte) ([]byte, error) {
	if !bytes.HasSuffix(got, sent) {
		return nil, fmt.Errorf("the mail that arrived (%s) is not the mail that was sent (%s)", digest(got), digest(sent))
	}
	return got[len(got)-len(sent):], nil
}

// digest describes a mail so that two can be compared by eye.
func digest(mail []byte) string {
	return fmt.Sprintf("%d bytes, SHA-256 %.8x", len(mail), sha256.Sum256(mail))
}
