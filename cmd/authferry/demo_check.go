package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// checkTime bounds a whole round trip; it takes a second or two.
const checkTime = 30 * time.Second

// check does a round trip over the three protocols, with clients that are not
// ours, and says what worked. It ends at what did not.
func (s *show) check(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	t := &trip{show: s, mail: awkwardMail("by SMTP"), appended: awkwardMail("by APPEND")}
	defer t.hangUp()
	stop := context.AfterFunc(ctx, t.hangUp) // whoever waits for an answer gets an error
	defer stop()
	for _, step := range []struct {
		protocol string
		do       func() (string, error)
	}{
		{"imap", t.logIn},
		{"imap", t.idle},
		{"smtp", t.send},
		{"imap", t.noticed},
		{"imap", t.fetch},
		{"imap", t.append},
		{"pop3", t.retrieve},
		{"imap", t.wrongPassword},
		{"imap", t.refresh},
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

// awkwardMail is a mail with what goes wrong on the way elsewhere: dots at the
// beginnings of lines, lines like protocol, 8-bit, lines of nearly 1000 octets.
func awkwardMail(how string) []byte {
	random := make([]byte, 6000)
	rand.Read(random)
	id := fmt.Sprintf("%x", random[:8])
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: round trip %s %s\r\nMessage-ID: <%s@check.authferry>\r\n", demoMailbox, demoMailbox, how, id, id)
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

// trip is the state of a round trip.
type trip struct {
	show     *show
	mail     []byte // sent by SMTP
	appended []byte

	client  *imapclient.Client
	idling  *imapclient.IdleCommand
	exists  chan uint32
	closers closers
}

func (t *trip) hangUp() { t.closers.close() }

func (t *trip) plainPassword() string { return t.show.password.Reveal() }

// imapClient connects an IMAP client to authferry.
func (t *trip) imapClient() (*imapclient.Client, error) {
	client, err := imapclient.DialInsecure(t.show.service.Address("imap"), &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(m *imapclient.UnilateralDataMailbox) {
				if m.NumMessages == nil {
					return
				}
				select {
				case t.exists <- *m.NumMessages:
				default: // one is enough to know of
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

func (t *trip) logIn() (string, error) {
	t.exists = make(chan uint32, 1)
	var err error
	if t.client, err = t.imapClient(); err != nil {
		return "", err
	}
	if err := t.client.Login(demoMailbox, t.plainPassword()).Wait(); err != nil {
		return "", err
	}
	if !t.client.Caps().Has(imap.CapIdle) {
		return "", errors.New("the provider's capabilities did not arrive")
	}
	selected, err := t.client.Select("INBOX", nil).Wait()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("logged in as %s, %d mails in INBOX", demoMailbox, selected.NumMessages), nil
}

func (t *trip) idle() (_ string, err error) {
	t.idling, err = t.client.Idle()
	return "IDLE waits for a new mail", err
}

// noticed waits until the idling client has been told of the mail just sent.
func (t *trip) noticed() (string, error) {
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

func (t *trip) fetch() (string, error) {
	got, err := t.fetchLike(t.mail)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("fetched it, %s", same(got)), nil
}

// fetchLike fetches the mail with the Message-ID of another.
func (t *trip) fetchLike(mail []byte) ([]byte, error) {
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

func (t *trip) append() (string, error) {
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
	got, err := t.fetchLike(t.appended)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("appended another and fetched it, %s", same(got)), nil
}

func (t *trip) wrongPassword() (string, error) {
	client, err := t.imapClient()
	if err != nil {
		return "", err
	}
	err = client.Login(demoMailbox, "not the password").Wait()
	no, _ := errors.AsType[*imap.Error](err)
	if no == nil || no.Code != imap.ResponseCodeAuthenticationFailed {
		return "", fmt.Errorf("a wrong password is answered %v", err)
	}
	return fmt.Sprintf("a wrong password is refused: [%s] %s", no.Code, no.Text), nil
}

// refresh makes every access token bad and logs in once more.
func (t *trip) refresh() (string, error) {
	before := t.show.gmail.TokenCalls("refresh_token")
	t.show.gmail.ExpireAccessTokens()
	client, err := t.imapClient()
	if err != nil {
		return "", err
	}
	if err := client.Login(demoMailbox, t.plainPassword()).Wait(); err != nil {
		return "", err
	}
	if n := t.show.gmail.TokenCalls("refresh_token") - before; n != 1 {
		return "", fmt.Errorf("%d refreshes instead of one after all access tokens ended", n)
	}
	return "access tokens ended, one refresh, logged in again", nil
}

// headerOf is the value of a header field.
func headerOf(mail []byte, field string) string {
	_, after, _ := bytes.Cut(mail, []byte(field+": "))
	value, _, _ := bytes.Cut(after, []byte("\r\n"))
	return string(value)
}

// expect returns what arrived if it ends with what was sent, after header
// fields added on the way (RFC 5321 §4.4).
func expect(got, sent []byte) ([]byte, error) {
	if !bytes.HasSuffix(got, sent) {
		return nil, fmt.Errorf("what arrived, %s, is not what was sent, %s", same(got), same(sent))
	}
	return got[len(got)-len(sent):], nil
}

// same describes a mail so that two can be compared by eye.
func same(mail []byte) string {
	return fmt.Sprintf("%d bytes, SHA-256 %.8x", len(mail), sha256.Sum256(mail))
}
