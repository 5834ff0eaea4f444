package oauthserver

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Visit does what a person does on the consent page: it opens the address, chooses
// the mailbox and answers "allow" or "deny". It returns the address it was
// redirected to without following it.
func Visit(address, mailbox, answer string) (string, error) {
	reply, err := fillIn(address, url.Values{"mailbox": {mailbox}, "answer": {answer}})
	if err != nil {
		return "", fmt.Errorf("the consent page: %w", err)
	}
	if reply.StatusCode != http.StatusFound {
		return "", fmt.Errorf("answering the consent page as %s: it says %s, is the mailbox one of Options.Mailboxes?", mailbox, reply.Status)
	}
	return reply.Header.Get("Location"), nil
}

// VisitDevice does what a person does who is shown a device's code: it opens the
// device page, types the code, chooses the mailbox and answers "allow" or "deny".
func VisitDevice(page, userCode, mailbox, answer string) error {
	reply, err := fillIn(page, url.Values{"user_code": {userCode}, "mailbox": {mailbox}, "answer": {answer}})
	if err != nil {
		return fmt.Errorf("the device page: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("typing the code %s as %s: the device page says %s, is a device waiting with it, and is the mailbox one of Options.Mailboxes?", userCode, mailbox, reply.Status)
	}
	return nil
}

// fillIn opens a page and sends its form. It follows no redirect, and the
// reply's body has been read.
func fillIn(address string, form url.Values) (*http.Response, error) {
	browser := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	page, err := browser.Get(address)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	io.Copy(io.Discard, page.Body)
	page.Body.Close()
	if page.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("opening it: it says %s", page.Status)
	}
	reply, err := browser.PostForm(address, form)
	if err != nil {
		return nil, fmt.Errorf("answering it: %w", err)
	}
	io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
	return reply, nil
}
