// Command sidecar plays the two others in the test of the image: the provider,
// and an application that knows nothing but a user name and a password.
//
//	sidecar provider             prints the variables that authferry needs to know it,
//	                             a line each, and an empty one; then, for each address of
//	                             a consent page on standard input, where it leads to
//	sidecar application USER PASSWORD   logs in over IMAP, POP3 and SMTP
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"authferry/demo"
)

// mailbox is the only one of the provider.
const mailbox = "demo@gmail.com"

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "provider":
		err = provide()
	case len(os.Args) == 4 && os.Args[1] == "application":
		err = apply(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: sidecar provider | sidecar application USER PASSWORD")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provide() error {
	gmail, err := demo.Start(demo.Options{Mailboxes: []string{mailbox}})
	if err != nil {
		return err
	}
	defer gmail.Close()
	for name, value := range map[string]string{
		"AUTH_URL": gmail.AuthURL, "TOKEN_URL": gmail.TokenURL,
		"CLIENT_ID": gmail.ClientID, "CLIENT_SECRET": gmail.ClientSecret,
		"IMAP": "imaps://" + gmail.IMAP, "POP3": "pop3s://" + gmail.POP3, "SMTP": "smtps://" + gmail.SMTP,
		"CA_FILE": strings.ReplaceAll(string(gmail.CAPEM), "\n", "|"),
	} {
		fmt.Printf("%s=%s\n", name, value)
	}
	fmt.Println()
	pages := bufio.NewScanner(os.Stdin)
	for pages.Scan() {
		redirected, err := gmail.Consent(pages.Text(), mailbox)
		if err != nil {
			return err
		}
		fmt.Println(redirected)
	}
	return pages.Err()
}

func apply(user, password string) error {
	return errors.Join(applyIMAP(user, password), applyPOP3(user, password), applySMTP(user, password))
}

func applyIMAP(user, password string) error {
	conn, err := net.Dial("tcp", "127.0.0.1:1143")
	if err != nil {
		return err
	}
	c := imapclient.New(conn, nil)
	defer c.Close()
	if err := c.Login(user, password).Wait(); err != nil {
		return fmt.Errorf("IMAP: %w", err)
	}
	_, err = c.Select("INBOX", nil).Wait()
	return errors.Join(err, c.Logout().Wait())
}

func applyPOP3(user, password string) error {
	c, err := textproto.Dial("tcp", "127.0.0.1:1110")
	if err != nil {
		return err
	}
	defer c.Close()
	for _, line := range []string{"", "USER " + user, "PASS " + password, "STAT", "QUIT"} {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		answer, err := c.ReadLine()
		if err == nil && !strings.HasPrefix(answer, "+OK") {
			err = errors.New(answer)
		}
		if err != nil {
			verb, _, _ := strings.Cut(line, " ")
			return fmt.Errorf("POP3: after %q: %w", verb, err)
		}
	}
	return nil
}

func applySMTP(user, password string) error {
	c, err := smtp.Dial("127.0.0.1:1587")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", user, password)); err != nil {
		return fmt.Errorf("SMTP: %w", err)
	}
	mail := strings.NewReader("From: " + user + "\r\nTo: " + user + "\r\nSubject: from a container\r\n\r\nHello\r\n")
	if err := c.SendMail(user, []string{user}, mail); err != nil {
		return fmt.Errorf("SMTP: %w", err)
	}
	return c.Quit()
}
