package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"authferry/internal/roundtrip"
)

// patience bounds every wait of a test.
const patience = time.Minute

var protocols = []string{"imap", "pop3", "smtp"}

// verdict is how a mail program understands the answer to a login.
type verdict string

const (
	welcomed  verdict = "welcome"
	wrong     verdict = "wrong" // the program forgets the password
	temporary verdict = "temporary"
	needsHelp verdict = "needs help" // of a person; the program keeps the password
	dropped   verdict = "dropped"    // the connection ended without an answer
)

// tryLogin logs in and out as a mail program does. Over IMAP and SMTP it uses an
// independent client.
func tryLogin(protocol, address, user, password string) (verdict, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return dropped, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	switch protocol {
	case "imap":
		return imapVerdict(loginIMAP(conn, user, password))
	case "pop3":
		return pop3Verdict(loginPOP3(conn, user, password))
	}
	return smtpVerdict(loginSMTP(conn, user, password))
}

func loginIMAP(conn net.Conn, user, password string) error {
	client := imapclient.New(conn, nil)
	defer client.Close()
	if err := client.Login(user, password).Wait(); err != nil {
		return err
	}
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		return fmt.Errorf("after the login: %w", err)
	}
	return client.Logout().Wait()
}

func imapVerdict(err error) (verdict, error) {
	no, _ := errors.AsType[*imap.Error](err)
	switch {
	case err == nil:
		return welcomed, nil
	case no == nil:
		return dropped, err
	case no.Code == imap.ResponseCodeAuthenticationFailed:
		return wrong, err
	case no.Code == imap.ResponseCodeUnavailable, no.Code == imap.ResponseCodeLimit:
		return temporary, err
	case no.Code == imap.ResponseCodeContactAdmin:
		return needsHelp, err
	}
	return wrong, err // without a code it means a wrong password
}

func loginPOP3(conn net.Conn, user, password string) error {
	p := roundtrip.NewPOP3(conn)
	p.Ask("USER %s", user)
	p.Ask("PASS %s", password)
	p.Ask("STAT")
	p.Ask("QUIT")
	return p.Err
}

func pop3Verdict(err error) (verdict, error) {
	switch {
	case err == nil:
		return welcomed, nil
	case strings.Contains(err.Error(), "-ERR [SYS/TEMP]"), strings.Contains(err.Error(), "-ERR [LOGIN-DELAY]"):
		return temporary, err
	case strings.Contains(err.Error(), "-ERR [SYS/PERM]"):
		return needsHelp, err
	case strings.Contains(err.Error(), "-ERR"):
		return wrong, err
	}
	return dropped, err
}

func loginSMTP(conn net.Conn, user, password string) error {
	client := smtp.NewClient(conn)
	defer client.Close()
	if err := client.Auth(sasl.NewPlainClient("", user, password)); err != nil {
		return err
	}
	if err := client.Noop(); err != nil {
		return fmt.Errorf("after the login: %w", err)
	}
	return client.Quit()
}

func smtpVerdict(err error) (verdict, error) {
	reply, _ := errors.AsType[*smtp.SMTPError](err)
	switch {
	case err == nil:
		return welcomed, nil
	case reply == nil:
		return dropped, err
	case reply.Code/100 == 4:
		return temporary, err
	}
	return wrong, err
}

// mustLogin fails the test unless a login is welcome.
func mustLogin(t *testing.T, protocol, address, user, password string) {
	t.Helper()
	if v, err := tryLogin(protocol, address, user, password); v != welcomed {
		t.Fatalf("%s: %s: %v", protocol, v, err)
	}
}

// holder is a mail program that stays logged in.
type holder struct {
	imap *imapclient.Client
	smtp *smtp.Client
}

func hold(protocol, address, user, password string) (_ *holder, err error) {
	h := &holder{}
	if protocol == "smtp" {
		if h.smtp, err = smtp.Dial(address); err != nil {
			return nil, err
		}
		return h, h.smtp.Auth(sasl.NewPlainClient("", user, password))
	}
	if h.imap, err = imapclient.DialInsecure(address, nil); err != nil {
		return nil, err
	}
	return h, h.imap.Login(user, password).Wait()
}

func (h *holder) noop() error {
	if h.smtp != nil {
		return h.smtp.Noop()
	}
	return h.imap.Noop().Wait()
}

func (h *holder) close() {
	if h.smtp != nil {
		h.smtp.Close()
	}
	if h.imap != nil {
		h.imap.Close()
	}
}

// ended waits until authferry has ended an IMAP session.
func (h *holder) ended() error {
	select {
	case <-h.imap.Closed():
		return nil
	case <-time.After(patience):
		return errors.New("the session goes on")
	}
}
