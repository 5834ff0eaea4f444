package main

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"authferry/internal/config"
	"authferry/internal/roundtrip"
	"authferry/tokens"
)

// narrowPassword adds a password with limits.
func (s *show) narrowPassword(t *testing.T, spec tokens.PasswordSpec) string {
	t.Helper()
	spec.Name = "narrow"
	password, err := s.service.Vault.AddPassword(t.Context(), demoMailbox, spec)
	if err != nil {
		t.Fatal(err)
	}
	return password.Reveal()
}

func send(client *smtp.Client, to ...string) error {
	return client.SendMail(demoMailbox, to, strings.NewReader("Subject: hello\r\n\r\nText.\r\n.\r\n..\r\n"))
}

func smtpClient(t *testing.T, s *show, password string) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(s.service.Address("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.Auth(sasl.NewPlainClient("", demoMailbox, password)); err != nil {
		t.Fatal(err)
	}
	return client
}

func imapClient(t *testing.T, s *show, password string, options *imapclient.Options) *imapclient.Client {
	t.Helper()
	conn, err := net.Dial("tcp", s.service.Address("imap"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	client := imapclient.New(conn, options)
	t.Cleanup(func() { client.Close() })
	if err := client.Login(demoMailbox, password).Wait(); err != nil {
		t.Fatal(err)
	}
	return client
}

// notPermitted wants NO [NOPERM].
func notPermitted(t *testing.T, what string, err error) {
	t.Helper()
	if no, ok := errors.AsType[*imap.Error](err); !ok || no.Code != imap.ResponseCodeNoPerm {
		t.Errorf("%s: %v", what, err)
	}
}

// TestReadOnlyIMAP: with a read-only password, go-imap's client can read; every other
// command is refused, and the mailbox does not change.
func TestReadOnlyIMAP(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	if err := send(smtpClient(t, s, s.password.Reveal()), demoMailbox); err != nil {
		t.Fatal(err)
	}
	exists := make(chan uint32, 10)
	password := s.narrowPassword(t, tokens.PasswordSpec{ReadOnly: true})
	client := imapClient(t, s, password, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		}},
	})
	box, err := client.Select("INBOX", nil).Wait()
	if err != nil || box.NumMessages == 0 {
		t.Fatalf("%+v, %v", box, err)
	}
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	body := &imap.FetchItemBodySection{}
	messages, err := client.Fetch(all, &imap.FetchOptions{Flags: true, UID: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil || len(messages) != int(box.NumMessages) || !strings.Contains(string(messages[len(messages)-1].FindBodySection(body)), "Text.") {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	if found, err := client.UIDSearch(&imap.SearchCriteria{Text: []string{"Tëxt"}}, nil).Wait(); err != nil || len(found.AllUIDs()) > 0 {
		t.Errorf("a search with a literal: %v, %v", found, err)
	}

	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}
	notPermitted(t, "STORE", client.Store(all, deleted, nil).Close())
	notPermitted(t, "EXPUNGE", client.Expunge().Close())
	_, err = client.Copy(all, "Sent").Wait()
	notPermitted(t, "COPY", err)
	_, err = client.Move(all, "Sent").Wait()
	notPermitted(t, "MOVE", err)
	notPermitted(t, "CREATE", client.Create("new", nil).Wait())
	notPermitted(t, "DELETE", client.Delete("INBOX").Wait())
	// A literal of up to 4096 bytes does not wait for a go-ahead, a longer one
	// does: when that is refused, go-imap's client ends its connection.
	other := imapClient(t, s, password, nil)
	for size, client := range map[int]*imapclient.Client{10: client, 4096: client, 1 << 20: other} {
		draft := client.Append("INBOX", int64(size), nil)
		io.WriteString(draft, strings.Repeat("x", size))
		draft.Close()
		_, err := draft.Wait()
		notPermitted(t, "APPEND", err)
	}

	idle, err := client.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if err := send(smtpClient(t, s, s.password.Reveal()), demoMailbox); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-exists:
		if n != box.NumMessages+1 {
			t.Errorf("%d messages while idling", n)
		}
	case <-time.After(patience):
		t.Error("nothing came while idling")
	}
	if err := errors.Join(idle.Close(), idle.Wait()); err != nil {
		t.Error(err)
	}
	for _, m := range messages {
		after, err := client.Fetch(imap.UIDSetNum(m.UID), &imap.FetchOptions{Flags: true}).Collect()
		if err != nil || len(after) != 1 || len(after[0].Flags) != len(m.Flags) {
			t.Errorf("message %d had %v, has %v, %v", m.UID, m.Flags, after, err)
		}
	}
	if err := client.Logout().Wait(); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyPOP3(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	if err := send(smtpClient(t, s, s.password.Reveal()), demoMailbox); err != nil {
		t.Fatal(err)
	}
	password := s.narrowPassword(t, tokens.PasswordSpec{ReadOnly: true})
	count := func() string {
		conn, err := net.Dial("tcp", s.service.Address("pop3"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		p := roundtrip.NewPOP3(conn)
		p.Ask("USER %s", demoMailbox)
		p.Ask("PASS %s", password)
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		had := p.Ask("STAT")
		if p.Ask("DELE 1"); p.Err == nil || !strings.Contains(p.Err.Error(), "read-only") {
			t.Fatalf("DELE: %v", p.Err)
		}
		p.Err = nil
		if p.Ask("QUIT"); p.Err != nil {
			t.Fatal(p.Err)
		}
		return had
	}
	if before, after := count(), count(); before != after {
		t.Errorf("%s before, %s after", before, after)
	}
	if v, err := s.login("smtp", password); v != wrong {
		t.Errorf("a read-only password over SMTP: %s, %v", v, err)
	}
}

// TestSendLimits: go-smtp's client sends up to the limit, and further messages are
// refused temporarily, also over the next connection and after a reload.
func TestSendLimits(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	password := s.narrowPassword(t, tokens.PasswordSpec{MessagesPerHour: 2, Recipients: 2})
	first := smtpClient(t, s, password)
	refused := func(err error, code int) {
		t.Helper()
		if reply, ok := errors.AsType[*smtp.SMTPError](err); !ok || reply.Code != code {
			t.Errorf("%v, want %d", err, code)
		}
	}
	refused(send(first, demoMailbox, demoSecond, demoMailbox), 452)
	if err := errors.Join(first.Reset(), send(first, demoMailbox, demoSecond)); err != nil {
		t.Fatal(err)
	}
	if err := send(smtpClient(t, s, password), demoMailbox); err != nil {
		t.Fatal(err)
	}
	refused(send(first, demoMailbox), 451)
	c, err := config.Load(s.configPath())
	if err == nil {
		err = s.service.Reload(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	refused(send(smtpClient(t, s, password), demoMailbox), 451)
	if err := errors.Join(first.Noop(), first.Quit()); err != nil {
		t.Error(err)
	}
}
