package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"authferry/internal/printable"
)

// LoadServiceAccount reads a service account's key: the JSON file that Google's
// console offers for download, as it is. Its errors say nothing of the content.
func LoadServiceAccount(file []byte) (*ServiceAccount, error) {
	file = bytes.TrimSpace(bytes.TrimPrefix(file, []byte("\ufeff")))
	var f struct {
		Type       string          `json:"type"`
		Email      string          `json:"client_email"`
		Client     string          `json:"client_id"`
		KeyID      string          `json:"private_key_id"`
		PrivateKey string          `json:"private_key"`
		Installed  json.RawMessage `json:"installed"`
		Web        json.RawMessage `json:"web"`
	}
	if err := json.Unmarshal(file, &f); err != nil {
		switch {
		case bytes.HasPrefix(file, []byte("-----BEGIN")):
			return nil, errors.New("it is a bare private key: name the whole JSON file that Google's console offers, which says whose key it is")
		case bytes.HasPrefix(file, []byte{0x30, 0x82}): // PKCS #12
			return nil, errors.New("it is a key of the type P12: make one of the type JSON in Google's console")
		}
		return nil, errors.New("it is not JSON: download the key again, of the type JSON")
	}
	switch {
	case f.Installed != nil || f.Web != nil:
		return nil, errors.New("it is an OAuth client (client_secret_....json), which belongs in client_file; a service account's key is made under IAM & Admin, Service accounts, Keys")
	case f.Type == "authorized_user":
		return nil, errors.New("it is a person's sign-in to gcloud, not a service account's key: make one under IAM & Admin, Service accounts, Keys")
	case f.Type != "service_account":
		return nil, fmt.Errorf("its type is %s and not \"service_account\": make a key under IAM & Admin, Service accounts, Keys", printable.Quote(f.Type))
	case f.Email == "" || strings.ContainsFunc(f.Email, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("it has no client_email: download the key again")
	}
	key, err := readRSAKey([]byte(f.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("its private_key is no use: %w", err)
	}
	return &ServiceAccount{Email: f.Email, KeyID: f.KeyID, Client: f.Client, Key: key}, nil
}

// assertMailbox is [FlowServiceAccount]: the account vouches that it may act
// for a mailbox, which is so if an administrator of the domain has delegated
// the scopes to it. There is no grant to keep: the next token is asked for in
// the same way.
// https://developers.google.com/identity/protocols/oauth2/service-account
func (p *Provider) assertMailbox(ctx context.Context, mailbox string, now time.Time) (*Token, error) {
	s := p.ServiceAccount
	if s == nil {
		return nil, p.lacks("service account", "service_account_file")
	}
	issued := now.Add(-assertionEarly)
	header := map[string]string{"alg": "RS256"}
	if s.KeyID != "" {
		header["kid"] = s.KeyID
	}
	assertion, err := signJWT(s.Key, header, map[string]any{
		"iss": s.Email, "sub": mailbox, "scope": strings.Join(p.Scopes, " "), "aud": p.TokenURL,
		"iat": issued.Unix(), "exp": issued.Add(assertionLife).Unix(),
	})
	if err != nil {
		return nil, &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the key of %s cannot sign: %s; make a new one", printable.Quote(s.Email), printable.Quote(err.Error()))}
	}
	t, err := p.askAs(ctx, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion.Reveal()},
	}, now)
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		if fix := p.delegationFix(e, mailbox); fix != "" {
			// The general fix for the code is about clients of people.
			e.reason = strings.TrimSuffix(e.reason, "; "+refusedCodes[e.code]) + "; " + fix
		}
	}
	return t, err
}

// delegationFix is what to do about a refused assertion. Google tells most of
// its reasons apart by the description alone.
func (p *Provider) delegationFix(e *EndpointError, mailbox string) string {
	s, words := p.ServiceAccount, strings.ToLower(e.reason)
	switch {
	case e.code == "unauthorized_client" || e.code == "access_denied":
		return fmt.Sprintf("have an administrator of the domain delegate %s to the client id %s (admin.google.com: Security, API controls, Domain-wide delegation); it may take minutes to count",
			strings.Join(p.Scopes, " "), printable.Quote(s.Client))
	case e.code != "invalid_grant":
		return ""
	case strings.Contains(words, "email or user id"):
		return fmt.Sprintf("see whether %s is a mailbox of the domain, and not an alias or a group", mailbox)
	case strings.Contains(words, "signature"):
		return fmt.Sprintf("the key %s is not one of %s any more: make a new one and name its file in service_account_file", printable.Quote(s.KeyID), printable.Quote(s.Email))
	case strings.Contains(words, "account not found") || strings.Contains(words, "issuer"):
		return fmt.Sprintf("see whether the service account %s still exists", printable.Quote(s.Email))
	}
	return ""
}

// lacks is a provider whose table has not what its flow needs.
func (p *Provider) lacks(what, key string) error {
	return &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the provider %s has no %s; set %s in [provider.%s]", p.Name, what, key, p.Name)}
}
