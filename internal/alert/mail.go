package alert

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/xoauth2"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	mailTime = time.Minute // for one mailbox
	// mailStep bounds each step: go-smtp would wait five minutes, and after a
	// refused login it waits once more.
	mailStep = 15 * time.Second
	// mostSenders is how many mailboxes are tried before the mail fails.
	mostSenders = 3
)

// mailer sends messages through one of the mailboxes.
type mailer struct {
	vault     *tokens.Vault
	providers func() map[string]*oauth.Provider
	from      string
	to        []string
	look      func(*store.Account) Condition
}

// send mails a message. Mailboxes that the message is about are tried last.
func (s *mailer) send(ctx context.Context, m Message) error {
	senders, err := s.senders(ctx, m)
	if err != nil {
		return err
	}
	var errs []error
	for _, mailbox := range senders {
		if err = s.sendFrom(ctx, mailbox, m); err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("through %s: %w", mailbox, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// senders returns the mailboxes to try, the most likely to work first.
func (s *mailer) senders(ctx context.Context, m Message) ([]string, error) {
	if s.from != "" {
		mailbox, _ := s.vault.Canonical(s.from)
		return []string{mailbox}, nil
	}
	names, err := s.vault.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	// Mailboxes of one provider often fail together: those of others come first.
	var ranks [3][]string
	providers := s.providers()
	for _, name := range names {
		a, err := s.vault.Account(ctx, name)
		if err != nil {
			continue // the watcher has logged it
		}
		p := providers[a.Provider]
		switch {
		case p == nil || p.SMTP.Host == "":
		case s.look(a).Event != "" || a.Trouble != nil:
			ranks[2] = append(ranks[2], name)
		case a.Provider == m.Provider:
			ranks[1] = append(ranks[1], name)
		default:
			ranks[0] = append(ranks[0], name)
		}
	}
	list := slices.Concat(ranks[0], ranks[1], ranks[2])
	if len(list) == 0 {
		return nil, errors.New("no mailbox is connected that mail can be sent through: connect one whose provider has smtp, and name it in mail_from")
	}
	return list[:min(len(list), mostSenders)], nil
}

// sendFrom sends through one mailbox. A cached token that the provider refuses
// is replaced once, as at any login.
func (s *mailer) sendFrom(ctx context.Context, mailbox string, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	a, err := s.vault.Account(ctx, mailbox)
	if err != nil {
		return err
	}
	p := s.providers()[a.Provider]
	if p == nil || p.SMTP.Host == "" {
		return fmt.Errorf("its provider %s serves no smtp: name another mailbox in mail_from", strconv.Quote(a.Provider))
	}
	// A grant without a token gets the stored one, or a new one if that has
	// expired.
	g, err := s.vault.Renew(ctx, &tokens.Grant{Mailbox: mailbox, User: mailbox})
	if err != nil {
		return err
	}
	if err = s.submit(ctx, p, g, m); !errors.Is(err, errTokenRefused) || g.AccessToken != a.Token.Access {
		return err
	}
	if g, err = s.vault.Renew(ctx, g); err != nil {
		return err
	}
	return s.submit(ctx, p, g, m)
}

var errTokenRefused = errors.New("the provider refuses the token")

// submit is one SMTP session.
func (s *mailer) submit(ctx context.Context, p *oauth.Provider, g *tokens.Grant, m Message) error {
	client, err := dial(ctx, p)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", p.SMTP.Host, err)
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	client.CommandTimeout, client.SubmissionTimeout = mailStep, mailStep
	if err := client.Auth(xoauth2.NewSMTPClient(g.Credentials(p.SMTP))); err != nil {
		if e, ok := errors.AsType[*smtp.SMTPError](err); ok && e.Code == 535 {
			return fmt.Errorf("%w: %s", errTokenRefused, printable.Quote(err.Error()))
		}
		return fmt.Errorf("logging in to %s: %s", p.SMTP.Host, printable.Quote(err.Error()))
	}
	if err := client.SendMail(g.Mailbox, s.to, bytes.NewReader(compose(m, g.Mailbox, s.to))); err != nil {
		return fmt.Errorf("sending to %s: %s", strings.Join(s.to, ", "), printable.Quote(err.Error()))
	}
	client.Quit() // the mail is sent already
	return nil
}

// dial connects to a provider's SMTP server with implicit TLS or STARTTLS.
func dial(ctx context.Context, p *oauth.Provider) (*smtp.Client, error) {
	config := &tls.Config{ServerName: p.SMTP.Host, RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12}
	conn, err := upstream.Dial(ctx, p, p.SMTP)
	if err != nil {
		return nil, err
	}
	if !p.SMTP.StartTLS {
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return smtp.NewClient(encrypted), nil
	}
	// NewClientStartTLS reads the greeting and starts TLS before a time limit
	// can be set on the client.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return smtp.NewClientStartTLS(conn, config)
}

// compose writes the mail. Auto-Submitted prevents automatic replies (RFC 3834 §5).
func compose(m Message, from string, to []string) []byte {
	var b bytes.Buffer
	id := make([]byte, 12)
	rand.Read(id) // never fails: crypto/rand
	_, domain, _ := address.Split(from)
	for _, h := range [][2]string{
		{"From", "authferry <" + from + ">"},
		{"To", strings.Join(to, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", "authferry: "+m.Subject())},
		{"Date", m.Time.Format(time.RFC1123Z)},
		{"Message-ID", "<" + hex.EncodeToString(id) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write([]byte(strings.ReplaceAll(m.Text(), "\n", "\r\n"))) // into memory
	w.Close()
	return b.Bytes()
}
