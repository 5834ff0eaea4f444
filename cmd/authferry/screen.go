package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"authferry/internal/console/people"
)

// screen shows all that is needed to try the demo, on one screen of 80x24.
func (s *show) screen(w io.Writer) error {
	imap, pop3, smtp := s.service.Address("imap"), s.service.Address("pop3"), s.service.Address("smtp")
	var b strings.Builder
	b.WriteString("A simulated Gmail that accepts only OAuth, and authferry in front of it.\n\n")
	fmt.Fprintf(&b, "        host        port   user name        password             encryption\n")
	for _, p := range []struct{ name, address string }{{"IMAP", imap}, {"POP3", pop3}, {"SMTP", smtp}} {
		host, port, _ := net.SplitHostPort(p.address)
		fmt.Fprintf(&b, "  %s  %-10s  %-5s  %-15s  %-19s  none\n", p.name, host, port, demoMailbox, s.password.Reveal())
	}
	user := demoMailbox + ":" + strings.ReplaceAll(s.password.Reveal(), " ", "")
	b.WriteString("\nPaste into another terminal, to send, to list, and to read twice:\n")
	fmt.Fprintf(&b, "printf 'Subject: Hello\\n\\nSent by curl.\\n' | curl -s --crlf -T - \\\n")
	fmt.Fprintf(&b, "  -u %s \\\n  --mail-from %s --mail-rcpt %s smtp://%s\n", user, demoMailbox, demoMailbox, smtp)
	fmt.Fprintf(&b, "curl -s -u %s imap://%s\n", user, imap)
	fmt.Fprintf(&b, "curl -s -u %s \\\n  'imap://%s/INBOX;MAILINDEX=*'\n", user, imap)
	fmt.Fprintf(&b, "curl -s -u %s pop3://%s/1\n", user, pop3)
	link, _, err := people.NewLink(context.Background(), s.service.Vault, people.LinkOptions{Name: "demo", Lasts: 24 * time.Hour, URL: s.service.Access().URL})
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nThe web console, in your browser:\n%s\n", link.Reveal())
	fmt.Fprintf(&b, "\nConnect a second mailbox, by the simulated consent page in your browser:\n")
	fmt.Fprintf(&b, "%s connect %s \\\n  --config %s\n", startedAs(), demoSecond, s.configPath())
	fmt.Fprintf(&b, "\nWhat happens is logged here. Ctrl-C ends it all.\n")
	_, err = io.WriteString(w, b.String())
	return err
}

// startedAs is how to run this program once more: `go run` builds it into a
// directory that is gone soon.
func startedAs() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/authferry"
	}
	return os.Args[0]
}
