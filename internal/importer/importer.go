// Package importer connects mailboxes with what other programs know of them: their
// OAuth clients, refresh tokens and listeners. [Source.Read] reads the files of
// such a program, and [Import.Run] keeps the grants that work.
//
// A refresh token works only with the OAuth client it was issued to, so the two
// are always passed on together.
package importer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/hint"
	"authferry/internal/secret"
)

// Limit bounds the size of a file: none of these programs writes a larger one.
const Limit = 4 << 20

// Account is a mailbox as another program knew it.
type Account struct {
	Mailbox  string // empty: the file does not say
	Provider Provider
	Refresh  secret.String // empty where no person signs in, and with a Problem
	Problem  string        // why there is no grant to import, and what to do about it
}

// Source is a file of another program.
type Source struct {
	Format       string // one of [Formats]
	File         string // its name; "-" is standard input
	Content      secret.String
	Mailboxes    []string // the owner of the grant, or the accounts to read; empty: as the file says
	ClientConfig string   // sasl-xoauth2: the file that names the client; empty: the usual one, if it exists
	CacheStore   string   // email-oauth2-proxy: the file with its tokens; empty: they are in its configuration
	Password     secret.String
}

// Found is what a file holds.
type Found struct {
	Accounts []Account
	Domains  []Domain
	Listen   string // TOML that suggests listeners
}

var formats = map[string]func(*Source) (*Found, error){
	"token":              readToken,
	"mutt_oauth2":        readAccount(parseMutt),
	"oama":               readAccount(parseOama),
	"sasl-xoauth2":       readSASLXOAUTH2,
	"email-oauth2-proxy": readEmailProxy,
}

// Formats returns the names of the formats that can be read.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Check refuses a source that cannot be read, before its content is asked for.
func (s *Source) Check() error {
	switch {
	case s.Format == "token" && len(s.Mailboxes) != 1:
		return hint.Usage(errors.New("a token does not say which mailbox it is for"), "add --mailbox you@gmail.com")
	case strings.HasPrefix(s.CacheStore, "aws:"):
		return hint.Usage(errors.New("authferry does not read AWS Secrets Manager"),
			"start email-oauth2-proxy once with --cache-store FILE, so that it signs in again and writes the file; or run authferry connect for each mailbox")
	}
	return nil
}

// Read reads the content of a source.
func (s *Source) Read() (*Found, error) { return formats[s.Format](s) }

func readToken(s *Source) (*Found, error) {
	token, err := parseToken([]byte(s.Content.Reveal()))
	if err != nil {
		return nil, err
	}
	return &Found{Accounts: []Account{{Mailbox: s.Mailboxes[0], Refresh: token}}}, nil
}

// readAccount reads a file about one mailbox.
func readAccount(read func([]byte) (*Account, error)) func(*Source) (*Found, error) {
	return func(s *Source) (*Found, error) {
		a, err := read([]byte(s.Content.Reveal()))
		if err != nil {
			return nil, err
		}
		return nameMailbox(s, a)
	}
}

// nameMailbox finds the mailbox of a file about one: in the file, in the source,
// or in the file's name.
func nameMailbox(s *Source, a *Account) (*Found, error) {
	base := strings.TrimSuffix(filepath.Base(s.File), ".oama")
	switch {
	case len(s.Mailboxes) > 1:
		return nil, hint.Usage(errors.New("the file is for one mailbox"), "name one with --mailbox")
	case len(s.Mailboxes) == 1 && a.Mailbox != "" && !strings.EqualFold(a.Mailbox, s.Mailboxes[0]):
		return nil, hint.Usage(fmt.Errorf("the file is for %q, not for %q", a.Mailbox, s.Mailboxes[0]), "omit --mailbox, or name the file of that mailbox")
	case len(s.Mailboxes) == 1:
		a.Mailbox = s.Mailboxes[0]
	case a.Mailbox == "" && address.Check(base) == nil:
		a.Mailbox = base
	case a.Mailbox == "":
		return nil, hint.Usage(errors.New("the file does not say which mailbox it is for"), "add --mailbox you@gmail.com")
	}
	return &Found{Accounts: []Account{*a}}, nil
}

const saslXOAUTH2Config = "/etc/sasl-xoauth2.conf"

func readSASLXOAUTH2(s *Source) (*Found, error) {
	path, named := s.ClientConfig, s.ClientConfig != ""
	if !named {
		path = saslXOAUTH2Config
	}
	configuration, err := os.ReadFile(path)
	if err != nil && named {
		return nil, hint.Usage(fmt.Errorf("the configuration of sasl-xoauth2: %w", err), "name the file that holds its client_id with --client-config")
	}
	if err != nil {
		configuration = nil // the token file may name the client itself
	}
	a, err := parseSASLXOAUTH2([]byte(s.Content.Reveal()), configuration)
	if err != nil {
		return nil, err
	}
	return nameMailbox(s, a)
}

func readEmailProxy(s *Source) (*Found, error) {
	var cache []byte
	if s.CacheStore != "" {
		var err error
		if cache, err = os.ReadFile(s.CacheStore); err != nil {
			return nil, fmt.Errorf("its cache store: %w", err)
		}
	}
	proxy, err := parseEmailProxy([]byte(s.Content.Reveal()), cache, s.Password, s.Mailboxes...)
	if err != nil {
		return nil, err
	}
	return &Found{proxy.Accounts, proxy.Domains, proxy.listenTOML()}, nil
}

// maxToken bounds a refresh token, as the vault does.
const maxToken = 16 << 10

// checkToken refuses what cannot be a refresh token: RFC 6749 §A.17.
func checkToken(s secret.String) error {
	text := s.Reveal()
	switch {
	case text == "":
		return errors.New("the file has no refresh token: sign in with authferry connect instead")
	case len(text) > maxToken, strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the refresh token is not valid: a token is one word of printable characters")
	case strings.HasPrefix(text, "ya29."):
		return errors.New("this is an access token of Google, which ends within the hour: use the refresh token beside it, which begins with 1//")
	}
	return nil
}

// parseToken reads a refresh token from a line of text.
func parseToken(content []byte) (secret.String, error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	if strings.HasPrefix(text, "{") {
		return "", errors.New("expected a refresh token alone, found JSON: name the program that wrote it in place of token")
	}
	s := secret.String(text)
	return s, checkToken(s)
}
